//! Tasks that wait to be published. First publish, retry and rescue all pass through here.

use chrono::{DateTime, Utc};
use tokio_postgres::Client;
use uuid::Uuid;

use super::target_wait::WAITS_FOR_TABLE;

/// The channel on which the relay hears that a task has become due.
pub const TASK_CHANNEL: &str = "longshore_task";

/// Wakes the relay when the transaction commits: an expression for the statements that make a task NEW and due now.
/// Many of them in one transaction are one notification.
///
/// Such commits queue behind each other, so statements that leave nothing to publish do without it.
pub(super) const WAKE_RELAY: &str = "pg_notify('longshore_task', '')";

/// A task that is NEW, due and not published.
#[derive(Debug)]
pub struct Unpublished {
    /// The task.
    pub id: Uuid,
    /// Its dataset's name.
    pub dataset: String,
    /// Its attempts so far: with the due time the fence of the mark.
    pub attempt: i32,
    /// Since when it is due. Whatever makes it NEW again, or due later, gives it another.
    pub due_time: DateTime<Utc>,
    /// W3C trace context of the scan that made it.
    pub traceparent: Option<String>,
}

/// At most `limit` tasks to publish, those that are due longest first. Of a dataset that waits for its target table, only the
/// task that is tried.
pub async fn unpublished(client: &Client, limit: i64) -> Result<Vec<Unpublished>, tokio_postgres::Error> {
    let rows = client
        .query(
            &format!(
                "SELECT task.id, dataset.name, task.attempt, task.due_time, task.traceparent
                 FROM longshore.task
                 JOIN longshore.dataset ON dataset.id = task.dataset_id
                 WHERE task.status = 'NEW' AND task.published_time IS NULL AND task.due_time <= now()
                   AND NOT {WAITS_FOR_TABLE}
                 ORDER BY task.due_time, task.id
                 LIMIT $1"
            ),
            &[&limit],
        )
        .await?;
    let task = |row: &tokio_postgres::Row| Unpublished {
        id: row.get(0),
        dataset: row.get(1),
        attempt: row.get(2),
        due_time: row.get(3),
        traceparent: row.get(4),
    };
    Ok(rows.iter().map(task).collect())
}

/// Marks confirmed tasks as published; gives the number of marks.
///
/// A task that a worker has claimed since, or that is to be published again since, is not marked: status, attempt and due time
/// are the fence. Without the due time, a late mark would hide that its message is answered already.
pub async fn mark_published(client: &Client, tasks: &[&Unpublished]) -> Result<u64, tokio_postgres::Error> {
    let ids: Vec<Uuid> = tasks.iter().map(|task| task.id).collect();
    let attempts: Vec<i32> = tasks.iter().map(|task| task.attempt).collect();
    let due_times: Vec<DateTime<Utc>> = tasks.iter().map(|task| task.due_time).collect();
    client
        .execute(
            "UPDATE longshore.task
             SET published_time = now(), publications = publications + 1, modified_time = now()
             FROM unnest($1::uuid[], $2::integer[], $3::timestamptz[]) AS confirmed (id, attempt, due_time)
             WHERE task.id = confirmed.id AND task.attempt = confirmed.attempt AND task.due_time = confirmed.due_time
               AND task.status = 'NEW' AND task.published_time IS NULL",
            &[&ids, &attempts, &due_times],
        )
        .await
}
