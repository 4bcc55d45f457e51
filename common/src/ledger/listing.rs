//! The lists of `longshore tasks` and `longshore files`.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{totals::TOTALS, waiting::IS_WAITING};

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
    let Some((dataset_id, source)) = source(client, "task", "tasks", dataset).await? else {
        return Ok(Vec::new());
    };
    let rows = client
        .query(
            &format!("SELECT task.id, dataset.name, task.status, task.attempt, file.files, file.size_in_bytes,
                    attempt.worker, task.created_time, task.modified_time,
                    coalesce(etl_task.failure_msg, CASE task.status WHEN 'NEW' THEN target_wait.reason END), file.file_name
             FROM {source} AS task
             JOIN longshore.etl_task ON etl_task.id = task.id
             JOIN longshore.dataset ON dataset.id = task.dataset_id
             LEFT JOIN longshore.attempt ON attempt.task_id = task.id AND attempt.attempt = task.attempt
             LEFT JOIN longshore.target_wait ON target_wait.dataset_id = task.dataset_id
             CROSS JOIN LATERAL (
                 SELECT count(*) AS files, coalesce(sum(size_in_bytes), 0)::bigint AS size_in_bytes,
                        CASE count(*) WHEN 1 THEN min(uri) END AS file_name
                 FROM longshore.file WHERE file.task_id = task.id
             ) AS file
             WHERE ($1::text IS NULL OR task.status = $1) AND ($2::integer IS NULL OR task.dataset_id = $2)
             ORDER BY task.id DESC
             LIMIT $3"),
            &[&status, &dataset_id, &limit],
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

/// What `FILE_STATE = state` says, as the indexes have it; as an expression over three joins, it would be asked of every file.
fn is_in_state(state: &str) -> &'static str {
    match state {
        "SCANNED" => IS_WAITING,
        "IGNORED" => "file.is_ignored",
        "REPLACED" => "file_load.removed_time IS NOT NULL AND file_load.replaced_by IS NOT NULL",
        "UNLOADED" => "file_load.removed_time IS NOT NULL AND file_load.replaced_by IS NULL",
        _ => "task.status = $1 AND file_load.removed_time IS NULL",
    }
}

/// The newest files, at most `limit`, filtered by state and dataset.
pub async fn list_files(
    client: &Client,
    status: Option<&str>,
    dataset: Option<&str>,
    limit: i64,
) -> Result<Vec<FileRow>, tokio_postgres::Error> {
    let Some((dataset_id, source)) = source(client, "file", "files", dataset).await? else {
        return Ok(Vec::new());
    };
    let is_in_state = status.map_or("true", is_in_state);
    let rows = client
        .query(
            &format!(
                "SELECT file.id, dataset.name, file.uri, {FILE_STATE}, file.size_in_bytes,
                    file.file_modified_time, file.created_time, file.task_id,
                    CASE WHEN removed_time IS NULL THEN rows_loaded END,
                    CASE WHEN removed_time IS NULL THEN rows_rejected END
             FROM {source} AS file
             JOIN longshore.dataset ON dataset.id = file.dataset_id
             LEFT JOIN longshore.task ON task.id = file.task_id
             LEFT JOIN longshore.file_load ON file_load.file_id = file.id
             WHERE ($1::text IS NULL OR {is_in_state}) AND ($2::integer IS NULL OR file.dataset_id = $2)
             ORDER BY file.id DESC
             LIMIT $3"
            ),
            &[&status, &dataset_id, &limit],
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

/// What a dataset has at most, if that is read and sorted for a list. Of more, the newest are soon found from the table's end;
/// of few, behind millions of other datasets', they are not.
const FEW: i64 = 50_000;

/// Where a list of `longshore.task` or `longshore.file` is read from, and the id of its dataset; `None` if there is no such dataset. The
/// number of rows decides, which is known, because the planner takes them for spread over all of the table.
async fn source(
    client: &Client,
    table: &str,
    counted_as: &str,
    dataset: Option<&str>,
) -> Result<Option<(Option<i32>, String)>, tokio_postgres::Error> {
    let Some(name) = dataset else { return Ok(Some((None, format!("longshore.{table}")))) };
    let sql = format!(
        "SELECT id, (SELECT coalesce(sum({counted_as}), 0)::bigint FROM {TOTALS} AS total WHERE dataset_id = dataset.id)
         FROM longshore.dataset WHERE name = $1"
    );
    let Some(row) = client.query_opt(&sql, &[&name]).await? else { return Ok(None) };
    // OFFSET 0 keeps the planner from walking the whole table in the order of the list.
    let source = match row.try_get::<_, i64>(1)? {
        0..=FEW => format!("(SELECT * FROM longshore.{table} WHERE dataset_id = $2 OFFSET 0)"),
        _ => format!("longshore.{table}"),
    };
    Ok(Some((Some(row.try_get(0)?), source)))
}
