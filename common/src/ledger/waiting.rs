//! Files that no task has yet.

use chrono::{DateTime, Utc};
use tokio_postgres::Client;

/// Of a `longshore.file` that is SCANNED: no task has it, and one shall. As the index `file_waiting` has it.
pub(super) const IS_WAITING: &str = "file.task_id IS NULL AND NOT file.is_ignored";

/// A file that no task has yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingFile {
    /// `longshore.file.id`.
    pub id: i64,
    /// Of the stored bytes.
    pub size_in_bytes: u64,
    /// When it was recorded.
    pub created_time: DateTime<Utc>,
}

/// The dataset's SCANNED files in the order of their modified time, and the database's time.
pub async fn waiting_files(
    client: &Client,
    dataset_id: i32,
) -> Result<(Vec<WaitingFile>, DateTime<Utc>), tokio_postgres::Error> {
    let now = client.query_one("SELECT clock_timestamp()", &[]).await?.try_get(0)?;
    let rows = client
        .query(
            &format!(
                "SELECT id, size_in_bytes, created_time FROM longshore.file
                 WHERE dataset_id = $1 AND {IS_WAITING}
                 ORDER BY file_modified_time, id"
            ),
            &[&dataset_id],
        )
        .await?;
    let file = |row: &tokio_postgres::Row| WaitingFile {
        id: row.get(0),
        size_in_bytes: u64::try_from(row.get::<_, i64>(1)).unwrap_or(0),
        created_time: row.get(2),
    };
    Ok((rows.iter().map(file).collect(), now))
}

/// Whether the dataset has SCANNED files.
pub async fn has_waiting_files(client: &Client, dataset_id: i32) -> Result<bool, tokio_postgres::Error> {
    let row = client
        .query_one(
            &format!("SELECT EXISTS (SELECT FROM longshore.file WHERE dataset_id = $1 AND {IS_WAITING})"),
            &[&dataset_id],
        )
        .await?;
    row.try_get(0)
}
