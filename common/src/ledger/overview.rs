//! The numbers of `longshore status`.

use serde::Serialize;
use tokio_postgres::Client;

use super::{after_load::AfterLoadCounts, totals::TOTALS, waiting::IS_WAITING};

/// Files, tasks and rows in numbers.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// Files by state.
    pub files: FileCounts,
    /// Tasks by state.
    pub tasks: TaskCounts,
    /// Rows of loaded files that are in their tables now.
    pub rows: RowCounts,
    /// Loaded files that are still to be moved or deleted.
    pub after_load: AfterLoadCounts,
    /// Rows that running loads have read so far, as of their last heartbeat.
    #[serde(skip)]
    pub rows_in_progress: i64,
}

/// Files by state.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct FileCounts {
    /// Waiting for a batch.
    pub scanned: i64,
    /// Part of a task.
    pub sent_for_etl: i64,
}

/// Tasks by state.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct TaskCounts {
    /// Waiting for a worker.
    pub new: i64,
    /// A worker has it.
    pub processing: i64,
    /// Its rows are in the target table.
    pub loaded: i64,
    /// It needs an operator.
    pub failed: i64,
}

/// Rows of loaded files.
#[derive(Debug, Clone, Serialize)]
pub struct RowCounts {
    /// loaded + rejected.
    pub read: i64,
    /// In the target tables.
    pub loaded: i64,
    /// In the reject table.
    pub rejected: i64,
}

/// Counts everything, in one snapshot. What is nearly everything (files in tasks, LOADED tasks) is the total without the
/// others, which have indexes of their own.
pub async fn overview(client: &Client) -> Result<Overview, tokio_postgres::Error> {
    let row = client
        .query_one(
            &format!(
                "SELECT file.scanned, total.files - total.files_ignored - file.scanned,
                    task.new, task.processing, total.tasks - task.new - task.processing - task.failed, task.failed,
                    total.rows_read, total.rows_loaded, total.rows_rejected, running.rows_read,
                    after_load.open, after_load.failing
             FROM (SELECT coalesce(sum(files), 0)::bigint AS files,
                          coalesce(sum(files_ignored), 0)::bigint AS files_ignored,
                          coalesce(sum(tasks), 0)::bigint AS tasks,
                          coalesce(sum(rows_read), 0)::bigint AS rows_read,
                          coalesce(sum(rows_loaded), 0)::bigint AS rows_loaded,
                          coalesce(sum(rows_rejected), 0)::bigint AS rows_rejected FROM {TOTALS} AS total) AS total,
                  (SELECT count(*) AS scanned FROM longshore.file WHERE {IS_WAITING}) AS file,
                  (SELECT count(*) FILTER (WHERE status = 'NEW') AS new,
                          count(*) FILTER (WHERE status = 'PROCESSING') AS processing,
                          count(*) FILTER (WHERE status = 'FAILED') AS failed
                   FROM longshore.task WHERE status <> 'LOADED') AS task,
                  (SELECT coalesce(sum(attempt.rows_read), 0)::bigint AS rows_read
                   FROM longshore.task JOIN longshore.attempt ON attempt.task_id = task.id AND attempt.attempt = task.attempt
                   WHERE task.status = 'PROCESSING' AND attempt.finished_time IS NULL) AS running,
                  (SELECT count(*) AS open, count(*) FILTER (WHERE tries > 0) AS failing
                   FROM longshore.after_load WHERE done_time IS NULL) AS after_load"
            ),
            &[],
        )
        .await?;
    Ok(Overview {
        files: FileCounts { scanned: row.try_get(0)?, sent_for_etl: row.try_get(1)? },
        tasks: TaskCounts {
            new: row.try_get(2)?,
            processing: row.try_get(3)?,
            loaded: row.try_get(4)?,
            failed: row.try_get(5)?,
        },
        rows: RowCounts { read: row.try_get(6)?, loaded: row.try_get(7)?, rejected: row.try_get(8)? },
        rows_in_progress: row.try_get(9)?,
        after_load: AfterLoadCounts { open: row.try_get(10)?, failing: row.try_get(11)? },
    })
}

/// Tasks that are NEW and published: a worker that empties the queue waits for them.
pub async fn open_published_tasks(client: &Client) -> Result<i64, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT count(*) FROM longshore.task WHERE status = 'NEW' AND published_time IS NOT NULL",
            &[],
        )
        .await?;
    row.try_get(0)
}
