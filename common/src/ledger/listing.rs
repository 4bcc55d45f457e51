//! The lists of `longshore tasks` and `longshore files`.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Client;
use uuid::Uuid;

/// A task's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStatus {
    /// Waiting for a worker.
    New,
    /// A worker has it.
    Processing,
    /// Its rows are in the target table.
    Loaded,
    /// It needs an operator.
    Failed,
}

impl FromStr for TaskStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_uppercase().as_str() {
            "NEW" => Ok(Self::New),
            "PROCESSING" => Ok(Self::Processing),
            "LOADED" => Ok(Self::Loaded),
            "FAILED" => Ok(Self::Failed),
            _ => Err("allowed are NEW, PROCESSING, LOADED, FAILED".to_owned()),
        }
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::New => "NEW",
            Self::Processing => "PROCESSING",
            Self::Loaded => "LOADED",
            Self::Failed => "FAILED",
        })
    }
}

/// A task of the list.
#[derive(Debug, Serialize)]
pub struct TaskRow {
    /// The task.
    pub id: Uuid,
    /// Its dataset's name.
    pub dataset: String,
    /// NEW, PROCESSING, LOADED or FAILED.
    pub status: String,
    /// Claims so far.
    pub attempt: i32,
    /// Files in it.
    pub files: i64,
    /// Full URI, if it is one file.
    pub file_name: Option<String>,
    /// Bytes of its files, as stored.
    pub size_in_bytes: i64,
    /// The last worker that claimed it.
    pub worker: Option<String>,
    /// When it was made.
    pub created_time: DateTime<Utc>,
    /// When it last changed.
    pub modified_time: DateTime<Utc>,
    /// Why it failed, or why it was tried again.
    pub failure_msg: Option<String>,
}

/// The newest tasks, at most `limit`, filtered by state and dataset.
pub async fn list_tasks(
    client: &Client,
    status: Option<TaskStatus>,
    dataset: Option<&str>,
    limit: i64,
) -> Result<Vec<TaskRow>, tokio_postgres::Error> {
    let status = status.map(|status| status.to_string());
    let rows = client
        .query(
            "SELECT task.id, dataset.name, task.status, task.attempt, file.files, file.size_in_bytes,
                    attempt.worker, task.created_time, task.modified_time,
                    coalesce(etl_task.failure_msg, CASE task.status WHEN 'NEW' THEN target_wait.reason END), file.file_name
             FROM longshore.task
             JOIN longshore.etl_task ON etl_task.id = task.id
             JOIN longshore.dataset ON dataset.id = task.dataset_id
             LEFT JOIN longshore.attempt ON attempt.task_id = task.id AND attempt.attempt = task.attempt
             LEFT JOIN longshore.target_wait ON target_wait.dataset_id = task.dataset_id
             CROSS JOIN LATERAL (
                 SELECT count(*) AS files, coalesce(sum(size_in_bytes), 0)::bigint AS size_in_bytes,
                        CASE count(*) WHEN 1 THEN min(uri) END AS file_name
                 FROM longshore.file WHERE file.task_id = task.id
             ) AS file
             WHERE ($1::text IS NULL OR task.status = $1) AND ($2::text IS NULL OR dataset.name = $2)
             ORDER BY task.id DESC
             LIMIT $3",
            &[&status, &dataset, &limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(TaskRow {
                id: row.try_get(0)?,
                dataset: row.try_get(1)?,
                status: row.try_get(2)?,
                attempt: row.try_get(3)?,
                files: row.try_get(4)?,
                size_in_bytes: row.try_get(5)?,
                worker: row.try_get(6)?,
                created_time: row.try_get(7)?,
                modified_time: row.try_get(8)?,
                failure_msg: row.try_get(9)?,
                file_name: row.try_get(10)?,
            })
        })
        .collect()
}

/// The state that is shown of a `file`, joined with its `task` and `file_load`.
pub(super) const FILE_STATE: &str = "CASE WHEN file.is_ignored THEN 'IGNORED'
    WHEN file_load.replaced_by IS NOT NULL THEN 'REPLACED'
    WHEN file_load.removed_time IS NOT NULL THEN 'UNLOADED'
    ELSE coalesce(task.status, 'SCANNED') END";

/// A file of the list.
#[derive(Debug, Serialize)]
pub struct FileRow {
    /// `longshore.file.id`, which rows carry as `_file_id`.
    pub id: i64,
    /// Its dataset's name.
    pub dataset: String,
    /// Full URI.
    pub file_name: String,
    /// SCANNED, IGNORED, the state of its task, or REPLACED or UNLOADED if its rows have been removed again.
    pub status: String,
    /// As stored.
    pub size_in_bytes: i64,
    /// By the store.
    pub file_modified_time: DateTime<Utc>,
    /// When a scan recorded it.
    pub created_time: DateTime<Utc>,
    /// Its task.
    pub task_id: Option<Uuid>,
    /// Rows in the target table, while they are there.
    pub rows_loaded: Option<i64>,
    /// Rows in the reject table, likewise.
    pub rows_rejected: Option<i64>,
}

/// The newest files, at most `limit`, filtered by state and dataset.
pub async fn list_files(
    client: &Client,
    status: Option<&str>,
    dataset: Option<&str>,
    limit: i64,
) -> Result<Vec<FileRow>, tokio_postgres::Error> {
    let rows = client
        .query(
            &format!(
                "SELECT file.id, dataset.name, file.uri, {FILE_STATE}, file.size_in_bytes,
                    file.file_modified_time, file.created_time, file.task_id,
                    CASE WHEN removed_time IS NULL THEN rows_loaded END,
                    CASE WHEN removed_time IS NULL THEN rows_rejected END
             FROM longshore.file
             JOIN longshore.dataset ON dataset.id = file.dataset_id
             LEFT JOIN longshore.task ON task.id = file.task_id
             LEFT JOIN longshore.file_load ON file_load.file_id = file.id
             WHERE ($1::text IS NULL OR {FILE_STATE} = $1)
               AND ($2::text IS NULL OR dataset.name = $2)
             ORDER BY file.id DESC
             LIMIT $3"
            ),
            &[&status, &dataset, &limit],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(FileRow {
                id: row.try_get(0)?,
                dataset: row.try_get(1)?,
                file_name: row.try_get(2)?,
                status: row.try_get(3)?,
                size_in_bytes: row.try_get(4)?,
                file_modified_time: row.try_get(5)?,
                created_time: row.try_get(6)?,
                task_id: row.try_get(7)?,
                rows_loaded: row.try_get(8)?,
                rows_rejected: row.try_get(9)?,
            })
        })
        .collect()
}
