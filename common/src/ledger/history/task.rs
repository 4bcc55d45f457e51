//! A task, its files in numbers, and its attempts.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use crate::ledger::overview::RowCounts;

/// How many of a task's files are named.
const NAMED_FILES: i64 = 5;

/// A task as it stands, and how it came there.
#[derive(Debug, Clone, Serialize)]
pub struct TaskHistory {
    /// The task.
    pub id: Uuid,
    /// Its dataset's name.
    pub dataset: String,
    /// NEW, PROCESSING, LOADED or FAILED.
    pub status: String,
    /// Claims so far.
    pub attempt: i32,
    /// Workers that died while they loaded it, since it was made or retried by an operator.
    pub deaths: i32,
    /// When it may be claimed.
    pub due_time: DateTime<Utc>,
    /// When the broker had its message; `None` if it has to be published.
    pub published_time: Option<DateTime<Utc>>,
    /// When it first failed since it was made or retried by an operator.
    pub first_failure_time: Option<DateTime<Utc>>,
    /// Why it failed, or why it was tried again.
    pub failure_msg: Option<String>,
    /// When it was made.
    pub created_time: DateTime<Utc>,
    /// When it last changed.
    pub modified_time: DateTime<Utc>,
    /// If its dataset waits for its target table: why, and when the next task is tried.
    pub table_wait: Option<TableWait>,
    /// Whether a session holds its lease: whether its worker lives, while it is PROCESSING.
    pub is_leased: bool,
    /// Files in it.
    pub files: i64,
    /// Bytes of its files, as stored.
    pub size_in_bytes: i64,
    /// Full URIs of its first files.
    pub first_files: Vec<String>,
    /// Where newer versions have taken the place of all its files: the newest one of its first file.
    pub superseded_by: Option<NewerVersion>,
    /// What its loaded files came to.
    pub rows: Option<RowCounts>,
    /// Loaded files whose rows were removed again since, replaced or unloaded.
    pub removed_files: i64,
    /// Its attempts, in their order.
    pub attempts: Vec<AttemptRecord>,
}

/// A version of a file that has taken an older one's place.
#[derive(Debug, Clone, Serialize)]
pub struct NewerVersion {
    /// `longshore.file.id`.
    pub file_id: i64,
    /// By the store.
    pub file_modified_time: DateTime<Utc>,
    /// SCANNED, or the state of its task.
    pub status: String,
    /// Its task.
    pub task_id: Option<Uuid>,
}

/// A dataset's wait for its target table.
#[derive(Debug, Clone, Serialize)]
pub struct TableWait {
    /// Since when.
    pub since: DateTime<Utc>,
    /// What the last try ended with.
    pub reason: String,
    /// When another task is tried, if none is on its way.
    pub next_try_time: DateTime<Utc>,
    /// Whether this task is the one that is tried.
    pub is_tried: bool,
}

/// One claim of a task.
#[derive(Debug, Clone, Serialize)]
pub struct AttemptRecord {
    /// Its number.
    pub attempt: i32,
    /// Whose it was.
    pub worker: String,
    /// Version of the spec that it loaded by.
    pub dataset_version: i32,
    /// When it was claimed.
    pub started_time: DateTime<Utc>,
    /// When its worker last said how far it was; `None` if it never did.
    pub heartbeat_time: Option<DateTime<Utc>>,
    /// Decompressed bytes that were read: all, if it loaded, otherwise by its last heartbeat.
    pub bytes_read: Option<i64>,
    /// Rows likewise.
    pub rows_read: Option<i64>,
    /// When it ended; `None` while it runs.
    pub finished_time: Option<DateTime<Utc>>,
    /// How it ended: LOADED, RETRY, STOPPED, DIED or FAILED.
    pub outcome: Option<String>,
    /// Why it did not load.
    pub error: Option<String>,
}

/// Reads a task; `None` if it is not known.
pub(super) async fn read(
    snapshot: &Transaction<'_>,
    id: Uuid,
) -> Result<Option<TaskHistory>, tokio_postgres::Error> {
    let task = snapshot
        .query_opt(
            "SELECT task.id, dataset.name, task.status, task.attempt, task.deaths, task.due_time, task.published_time,
                    task.first_failure_time, task.failure_msg, task.created_time, task.modified_time,
                    EXISTS (
                        SELECT FROM pg_locks
                        WHERE locktype = 'advisory' AND granted AND objsubid = 1
                          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                          AND ((classid::bigint << 32) | objid::bigint) = task.lease_key
                    ) AS is_leased,
                    file.files, file.size_in_bytes, file.is_superseded,
                    since, reason, next_try_time, target_wait.task_id IS NOT DISTINCT FROM task.id AS is_tried
             FROM longshore.task
             JOIN longshore.dataset ON dataset.id = task.dataset_id
             LEFT JOIN longshore.target_wait ON target_wait.dataset_id = task.dataset_id
             CROSS JOIN LATERAL (
                 SELECT count(*) AS files, coalesce(sum(size_in_bytes), 0)::bigint AS size_in_bytes,
                        coalesce(bool_and(superseded_by IS NOT NULL), false) AS is_superseded
                 FROM longshore.file WHERE file.task_id = task.id
             ) AS file
             WHERE task.id = $1",
            &[&id],
        )
        .await?;
    let Some(task) = task else { return Ok(None) };
    let superseded_by =
        if task.try_get("is_superseded")? { newest_version(snapshot, id).await? } else { None };
    let (rows, removed_files) = rows(snapshot, id).await?;
    Ok(Some(TaskHistory {
        id,
        dataset: task.try_get("name")?,
        status: task.try_get("status")?,
        attempt: task.try_get("attempt")?,
        deaths: task.try_get("deaths")?,
        due_time: task.try_get("due_time")?,
        published_time: task.try_get("published_time")?,
        first_failure_time: task.try_get("first_failure_time")?,
        failure_msg: task.try_get("failure_msg")?,
        created_time: task.try_get("created_time")?,
        modified_time: task.try_get("modified_time")?,
        table_wait: table_wait(&task)?,
        is_leased: task.try_get("is_leased")?,
        files: task.try_get("files")?,
        size_in_bytes: task.try_get("size_in_bytes")?,
        first_files: first_files(snapshot, id).await?,
        superseded_by,
        rows,
        removed_files,
        attempts: attempts(snapshot, id).await?,
    }))
}

fn table_wait(task: &Row) -> Result<Option<TableWait>, tokio_postgres::Error> {
    let Some(since) = task.try_get("since")? else { return Ok(None) };
    Ok(Some(TableWait {
        since,
        reason: task.try_get("reason")?,
        next_try_time: task.try_get("next_try_time")?,
        is_tried: task.try_get("is_tried")?,
    }))
}

async fn first_files(snapshot: &Transaction<'_>, id: Uuid) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = snapshot
        .query(
            "SELECT uri FROM longshore.file WHERE task_id = $1 ORDER BY file_modified_time, id LIMIT $2",
            &[&id, &NAMED_FILES],
        )
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// The newest version of the task's first file.
async fn newest_version(
    snapshot: &Transaction<'_>,
    id: Uuid,
) -> Result<Option<NewerVersion>, tokio_postgres::Error> {
    let row = snapshot
        .query_opt(
            "SELECT newer.id, newer.file_modified_time, coalesce(task.status, 'SCANNED'), newer.task_id
             FROM (SELECT dataset_id, uri FROM longshore.file WHERE task_id = $1
                   ORDER BY file_modified_time, id LIMIT 1) AS first
             JOIN longshore.file AS newer ON newer.dataset_id = first.dataset_id AND newer.uri = first.uri
             LEFT JOIN longshore.task ON task.id = newer.task_id
             WHERE NOT newer.is_ignored
             ORDER BY newer.id DESC
             LIMIT 1",
            &[&id],
        )
        .await?;
    row.map(|row| {
        Ok(NewerVersion {
            file_id: row.try_get(0)?,
            file_modified_time: row.try_get(1)?,
            status: row.try_get(2)?,
            task_id: row.try_get(3)?,
        })
    })
    .transpose()
}

/// What the loads came to, and how many of them were removed again.
async fn rows(
    snapshot: &Transaction<'_>,
    id: Uuid,
) -> Result<(Option<RowCounts>, i64), tokio_postgres::Error> {
    let row = snapshot
        .query_one(
            "SELECT sum(rows_read)::bigint, sum(rows_loaded)::bigint, sum(rows_rejected)::bigint, count(removed_time)
             FROM longshore.file_load WHERE task_id = $1",
            &[&id],
        )
        .await?;
    let counts = match row.try_get(0)? {
        Some(read) => Some(RowCounts { read, loaded: row.try_get(1)?, rejected: row.try_get(2)? }),
        None => None,
    };
    Ok((counts, row.try_get(3)?))
}

/// A load that is shorter than the time between two heartbeats has none: what an attempt loaded is counted, what it only
/// read is not known then.
async fn attempts(snapshot: &Transaction<'_>, id: Uuid) -> Result<Vec<AttemptRecord>, tokio_postgres::Error> {
    let rows = snapshot
        .query(
            "SELECT attempt.attempt, worker, dataset_version, started_time, beat.heartbeat_time,
                    coalesce(load.bytes_read, beat.bytes_read) AS bytes_read,
                    coalesce(load.rows_read, beat.rows_read) AS rows_read, finished_time, outcome, error
             FROM longshore.attempt
             LEFT JOIN LATERAL (SELECT attempt.heartbeat_time, attempt.bytes_read, attempt.rows_read) AS beat
               ON attempt.heartbeat_time > attempt.started_time
             LEFT JOIN (
                 SELECT attempt, sum(bytes_read)::bigint AS bytes_read, sum(rows_read)::bigint AS rows_read
                 FROM longshore.file_load WHERE task_id = $1
                 GROUP BY attempt
             ) AS load ON load.attempt = attempt.attempt
             WHERE attempt.task_id = $1
             ORDER BY attempt.attempt",
            &[&id],
        )
        .await?;
    rows.iter().map(attempt).collect()
}

fn attempt(row: &Row) -> Result<AttemptRecord, tokio_postgres::Error> {
    Ok(AttemptRecord {
        attempt: row.try_get("attempt")?,
        worker: row.try_get("worker")?,
        dataset_version: row.try_get("dataset_version")?,
        started_time: row.try_get("started_time")?,
        heartbeat_time: row.try_get("heartbeat_time")?,
        bytes_read: row.try_get("bytes_read")?,
        rows_read: row.try_get("rows_read")?,
        finished_time: row.try_get("finished_time")?,
        outcome: row.try_get("outcome")?,
        error: row.try_get("error")?,
    })
}
