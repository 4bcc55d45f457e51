//! What is to become of files once their rows are in the table: a row a file, written with the load and worked off later.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use serde::Serialize;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::store::{AfterLoadOutcome, LoadedFile, StoredFile};

/// Plans the step for the files that this load has loaded. Only what commits with the load is ever worked off.
pub async fn plan_after_load(
    transaction: &Transaction<'_>,
    task_id: Uuid,
    attempt: i32,
) -> Result<(), tokio_postgres::Error> {
    // A file that is loaded again, after its rows were removed, is worked off again.
    let statement = transaction
        .prepare_cached(
            "INSERT INTO longshore.after_load (file_id, dataset_id)
             SELECT file_load.file_id, file.dataset_id
             FROM longshore.file_load
             JOIN longshore.file ON file.id = file_load.file_id
             WHERE file_load.task_id = $1 AND file_load.attempt = $2
             ON CONFLICT (file_id) DO UPDATE
             SET tries = 0, due_time = now(), done_time = NULL, outcome = NULL, reason = NULL, moved_to = NULL",
        )
        .await?;
    transaction.execute(&statement, &[&task_id, &attempt]).await?;
    Ok(())
}

/// A file for which the step is due.
#[derive(Debug, Clone)]
pub struct DueAfterLoad {
    /// The file, in the version that was loaded.
    pub file: LoadedFile,
    /// Whether its rows are in the table now, and no newer version or reload of it is about to replace them: that needs the
    /// file, and has this step itself.
    pub is_loaded: bool,
}

/// The names of the datasets for whose files the step is due.
pub async fn datasets_with_due_after_loads(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT name FROM longshore.dataset
             WHERE EXISTS (SELECT FROM longshore.after_load
                           WHERE after_load.dataset_id = dataset.id AND done_time IS NULL AND due_time <= now())
             ORDER BY name",
            &[],
        )
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// At most `limit` files of a dataset for which the step is due, those first that have failed the least often.
pub async fn due_after_loads(
    client: &Client,
    dataset_id: i32,
    limit: i64,
) -> Result<Vec<DueAfterLoad>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT file.id, file.uri, file.file_modified_time, file.size_in_bytes, file.etag,
                    file.superseded_by IS NULL AND EXISTS (
                        SELECT FROM longshore.file_load
                        WHERE file_load.file_id = file.id AND file_load.removed_time IS NULL
                    )
             FROM longshore.after_load
             JOIN longshore.file ON file.id = after_load.file_id
             WHERE after_load.dataset_id = $1 AND after_load.done_time IS NULL AND after_load.due_time <= now()
             ORDER BY after_load.tries, after_load.due_time
             LIMIT $2",
            &[&dataset_id, &limit],
        )
        .await?;
    rows.iter().map(due).collect()
}

fn due(row: &Row) -> Result<DueAfterLoad, tokio_postgres::Error> {
    let stored = StoredFile {
        uri: row.try_get(1)?,
        modified_time: row.try_get(2)?,
        size_in_bytes: row.try_get(3)?,
        etag: row.try_get(4)?,
    };
    Ok(DueAfterLoad { file: LoadedFile { id: row.try_get(0)?, stored }, is_loaded: row.try_get(5)? })
}

/// Records what has become of files, each given by its `longshore.file.id`, or why that failed: then it is due again after a
/// backoff with jitter of at most five minutes. What is recorded as done already stays as it is.
pub async fn record_after_loads(
    client: &Client,
    outcomes: &[(i64, Result<AfterLoadOutcome, String>)],
) -> Result<(), tokio_postgres::Error> {
    let mut file_ids = Vec::with_capacity(outcomes.len());
    let (mut names, mut reasons, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for (file_id, outcome) in outcomes {
        let (name, reason, target) = match outcome {
            Ok(AfterLoadOutcome::Moved(target)) => (Some("MOVED"), None, Some(target.as_str())),
            Ok(AfterLoadOutcome::Deleted) => (Some("DELETED"), None, None),
            Ok(AfterLoadOutcome::Gone) => (Some("GONE"), None, None),
            Ok(AfterLoadOutcome::Left(reason)) => (Some("LEFT"), Some(reason.as_str()), None),
            Err(reason) => (None, Some(reason.as_str()), None),
        };
        file_ids.push(*file_id);
        names.push(name);
        reasons.push(reason);
        targets.push(target);
    }
    client
        .execute(
            "UPDATE longshore.after_load
             SET tries = tries + CASE WHEN ended.outcome IS NULL THEN 1 ELSE 0 END,
                 due_time = CASE WHEN ended.outcome IS NULL
                     THEN now() + make_interval(secs => least(300, 0.5 * power(2, least(tries, 20))) * (0.5 + random() / 2))
                     ELSE due_time END,
                 done_time = CASE WHEN ended.outcome IS NOT NULL THEN now() END,
                 outcome = ended.outcome, reason = ended.reason, moved_to = ended.moved_to
             FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS ended (file_id, outcome, reason, moved_to)
             WHERE after_load.file_id = ended.file_id AND done_time IS NULL",
            &[&file_ids, &names, &reasons, &targets],
        )
        .await?;
    Ok(())
}

/// Whether the step has failed for a file of the dataset and is still to be tried again.
pub async fn has_failing_after_loads(
    client: &Client,
    dataset_id: i32,
) -> Result<bool, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT FROM longshore.after_load
                            WHERE dataset_id = $1 AND done_time IS NULL AND tries > 0)",
            &[&dataset_id],
        )
        .await?;
    row.try_get(0)
}

/// Files for which the step is not done yet.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct AfterLoadCounts {
    /// All of them.
    pub open: i64,
    /// Those among them for which it has failed at least once.
    pub failing: i64,
}

/// What is recorded about the step for one file.
#[derive(Debug, Clone, Serialize)]
pub struct AfterLoadRecord {
    /// MOVED, DELETED, GONE or LEFT; `None` while it is not done.
    pub outcome: Option<String>,
    /// Why the last try failed, or why the file was left where it is.
    pub reason: Option<String>,
    /// Where the file lies now, if it was moved.
    pub moved_to: Option<String>,
    /// Tries that failed.
    pub tries: i32,
    /// When it is tried next.
    pub due_time: DateTime<Utc>,
    /// When it was done.
    pub done_time: Option<DateTime<Utc>>,
}
