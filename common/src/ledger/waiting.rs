//! Files that no task has yet.

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, types::ToSql};

use crate::dataset::Batch;

/// Of a `longshore.file` that is SCANNED: no task has it, and one shall. As the index `file_waiting` has it.
pub(super) const IS_WAITING: &str = "file.task_id IS NULL AND NOT file.is_ignored";

/// A file that no task has yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingFile {
    /// `longshore.file.id`.
    pub id: i64,
    /// As the store gave it.
    pub file_modified_time: DateTime<Utc>,
    /// Of the stored bytes.
    pub size_in_bytes: u64,
    /// When it was recorded.
    pub created_time: DateTime<Utc>,
}

/// At most `limit` of the dataset's SCANNED files, in the order of their modified time, from the one behind `after` on.
pub async fn waiting_files(
    client: &Client,
    dataset_id: i32,
    after: Option<&WaitingFile>,
    limit: i64,
) -> Result<Vec<WaitingFile>, tokio_postgres::Error> {
    let (after_time, after_id) = after.map(|file| (file.file_modified_time, file.id)).unzip();
    let rows = client
        .query(
            &format!(
                "SELECT id, file_modified_time, size_in_bytes, created_time FROM longshore.file
                 WHERE dataset_id = $1 AND {IS_WAITING}
                   AND (file_modified_time, id) > (coalesce($2::timestamptz, '-infinity'), coalesce($3::bigint, 0))
                 ORDER BY file_modified_time, id
                 LIMIT $4"
            ),
            &[&dataset_id, &after_time, &after_id, &limit],
        )
        .await?;
    let file = |row: &tokio_postgres::Row| WaitingFile {
        id: row.get(0),
        file_modified_time: row.get(1),
        size_in_bytes: u64::try_from(row.get::<_, i64>(2)).unwrap_or(0),
        created_time: row.get(3),
    };
    Ok(rows.iter().map(file).collect())
}

/// Whether the dataset's SCANNED files fill a batch, or one of them has waited for `max_wait`. One that was recorded in the future
/// has: the clock has been set back since.
///
/// It looks at no more files than a batch may have: where there are as many, one is full. In the order of the index, so that no plan looks at
/// other files, whatever the statistics say.
pub async fn is_batch_due(
    client: &Client,
    dataset_id: i32,
    limits: &Batch,
) -> Result<bool, tokio_postgres::Error> {
    let max_bytes = i64::try_from(limits.max_bytes.0).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT coalesce(count(*) >= $2
                         OR sum(size_in_bytes) >= $3::bigint
                         OR min(created_time) <= clock_timestamp() - make_interval(secs => $4)
                         OR max(created_time) > clock_timestamp(), false)
         FROM (SELECT size_in_bytes, created_time FROM longshore.file
               WHERE dataset_id = $1 AND {IS_WAITING}
               ORDER BY file_modified_time, id
               LIMIT $2) AS waiting"
    );
    let parameters: [&(dyn ToSql + Sync); 4] =
        [&dataset_id, &i64::from(limits.max_files), &max_bytes, &limits.max_wait.0.as_secs_f64()];
    client.query_one(&sql, &parameters).await?.try_get(0)
}

/// The database's time, by which files wait.
pub async fn database_time(client: &Client) -> Result<DateTime<Utc>, tokio_postgres::Error> {
    client.query_one("SELECT clock_timestamp()", &[]).await?.try_get(0)
}
