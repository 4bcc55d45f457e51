//! A file: its versions, and what became of each.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::{Row, Transaction, types::Json};
use uuid::Uuid;

use super::task::{self, TaskHistory};
use crate::{
    dataset::{Batch, Discovery, HumanDuration, OnChange},
    ledger::{after_load::AfterLoadRecord, listing::FILE_STATE, overview::RowCounts, waiting::IS_WAITING},
};

/// One version of a file.
#[derive(Debug, Clone, Serialize)]
pub struct FileVersion {
    /// `longshore.file.id`, which rows carry as `_file_id`.
    pub id: i64,
    /// Its dataset's name.
    pub dataset: String,
    /// Full URI.
    pub file_name: String,
    /// By the store.
    pub file_modified_time: DateTime<Utc>,
    /// As stored.
    pub size_in_bytes: i64,
    /// Empty where the store's etag does not describe content.
    pub etag: String,
    /// When a scan recorded it.
    pub created_time: DateTime<Utc>,
    /// SCANNED, IGNORED, the state of its task, or REPLACED or UNLOADED if its rows have been removed again.
    pub status: String,
    /// A newer version of the same file, which has taken this one's place or is about to.
    pub superseded_by: Option<i64>,
    /// Its rows, if it was loaded.
    pub rows: Option<RowCounts>,
    /// What becomes of the file itself now that it is loaded, if its dataset moves or deletes such files.
    pub after_load: Option<AfterLoadRecord>,
    /// When they were removed from their tables again.
    pub removed_time: Option<DateTime<Utc>>,
    /// The newer version whose load removed them; `None` if an operator unloaded them.
    pub replaced_by: Option<i64>,
    /// What becomes of new content under this name, by the dataset's current spec.
    pub on_change: OnChange,
    /// What it waits for, if no task has it yet.
    pub waiting: Option<WaitingBatch>,
    /// Its task.
    pub task: Option<TaskHistory>,
}

/// A partial batch that waits for more files.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct WaitingBatch {
    /// Files of the dataset that no task has yet.
    pub files: i64,
    /// For how long the oldest of them may wait: the dataset's `batch.max_wait`.
    pub max_wait: HumanDuration,
    /// When the batch is sent, full or not.
    pub until: DateTime<Utc>,
}

/// Reads all versions of a file, the newest first.
pub(super) async fn read(
    snapshot: &Transaction<'_>,
    uri: &str,
) -> Result<Vec<FileVersion>, tokio_postgres::Error> {
    let rows = snapshot
        .query(
            &format!("SELECT file.id, dataset.name, file.uri, file.file_modified_time, file.size_in_bytes, file.etag,
                    file.created_time, file.superseded_by, file.dataset_id, file.task_id, file.is_ignored,
                    {FILE_STATE} AS state,
                    file_load.rows_read, file_load.rows_loaded, file_load.rows_rejected, file_load.removed_time,
                    file_load.replaced_by, coalesce(dataset_version.spec -> 'discovery', '{{}}') AS discovery,
                    after_load.outcome, after_load.reason, after_load.moved_to, after_load.tries, after_load.due_time,
                    after_load.done_time
             FROM longshore.file
             JOIN longshore.dataset ON dataset.id = file.dataset_id
             JOIN longshore.dataset_version
               ON dataset_version.dataset_id = dataset.id AND dataset_version.version = dataset.current_version
             LEFT JOIN longshore.task ON task.id = file.task_id
             LEFT JOIN longshore.file_load ON file_load.file_id = file.id
             LEFT JOIN longshore.after_load ON after_load.file_id = file.id
             WHERE file.uri = $1
             ORDER BY file.id DESC"),
            &[&uri],
        )
        .await?;
    let mut versions = Vec::with_capacity(rows.len());
    for row in &rows {
        versions.push(version(snapshot, row).await?);
    }
    Ok(versions)
}

async fn version(snapshot: &Transaction<'_>, row: &Row) -> Result<FileVersion, tokio_postgres::Error> {
    let task_id: Option<Uuid> = row.try_get("task_id")?;
    let (task, waiting) = match task_id {
        Some(id) => (task::read(snapshot, id).await?, None),
        None if row.try_get("is_ignored")? => (None, None),
        None => (None, Some(waiting_batch(snapshot, row.try_get("dataset_id")?).await?)),
    };
    let Json(Discovery { on_change, .. }) = row.try_get("discovery")?;
    Ok(FileVersion {
        id: row.try_get("id")?,
        dataset: row.try_get("name")?,
        file_name: row.try_get("uri")?,
        file_modified_time: row.try_get("file_modified_time")?,
        size_in_bytes: row.try_get("size_in_bytes")?,
        etag: row.try_get("etag")?,
        created_time: row.try_get("created_time")?,
        status: row.try_get("state")?,
        superseded_by: row.try_get("superseded_by")?,
        rows: rows_of(row)?,
        after_load: after_load_of(row)?,
        removed_time: row.try_get("removed_time")?,
        replaced_by: row.try_get("replaced_by")?,
        on_change,
        waiting,
        task,
    })
}

fn rows_of(row: &Row) -> Result<Option<RowCounts>, tokio_postgres::Error> {
    let Some(read) = row.try_get("rows_read")? else { return Ok(None) };
    Ok(Some(RowCounts { read, loaded: row.try_get("rows_loaded")?, rejected: row.try_get("rows_rejected")? }))
}

fn after_load_of(row: &Row) -> Result<Option<AfterLoadRecord>, tokio_postgres::Error> {
    let Some(tries) = row.try_get("tries")? else { return Ok(None) };
    Ok(Some(AfterLoadRecord {
        outcome: row.try_get("outcome")?,
        reason: row.try_get("reason")?,
        moved_to: row.try_get("moved_to")?,
        tries,
        due_time: row.try_get("due_time")?,
        done_time: row.try_get("done_time")?,
    }))
}

/// The dataset's SCANNED files, of which there is at least one.
async fn waiting_batch(
    snapshot: &Transaction<'_>,
    dataset_id: i32,
) -> Result<WaitingBatch, tokio_postgres::Error> {
    let row = snapshot
        .query_one(
            &format!("SELECT waiting.files, waiting.oldest, coalesce(dataset_version.spec -> 'batch', '{{}}')
             FROM longshore.dataset
             JOIN longshore.dataset_version
               ON dataset_version.dataset_id = dataset.id AND dataset_version.version = dataset.current_version
             CROSS JOIN LATERAL (
                 SELECT count(*) AS files, min(created_time) AS oldest
                 FROM longshore.file WHERE file.dataset_id = dataset.id AND {IS_WAITING}
             ) AS waiting
             WHERE dataset.id = $1"),
            &[&dataset_id],
        )
        .await?;
    let oldest: DateTime<Utc> = row.try_get(1)?;
    let Json(Batch { max_wait, .. }) = row.try_get(2)?;
    Ok(WaitingBatch { files: row.try_get(0)?, max_wait, until: oldest + max_wait.0 })
}
