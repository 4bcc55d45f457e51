//! Tasks that wait to be published. First publish, retry and rescue all pass through here.

use chrono::{DateTime, Utc};
use tokio_postgres::Client;
use uuid::Uuid;

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

/// How far ahead a due time may lie and be meant so, as in `longshore.is_due`.
const FARTHEST_DUE: &str = "now() + interval '1 hour'";

/// Of a `longshore.task`: it is one of the dataset's in the index `task_unpublished`.
const IS_OPEN: &str = "task.dataset_id = dataset.id AND task.status = 'NEW' AND task.published_time IS NULL";

/// At most `limit` tasks to publish: of each dataset in turn the one that is due longest, so that a dataset with a million of them
/// keeps no other waiting.
///
/// Each dataset that has any gets the same share of the limit, and what others leave of theirs comes with the next call: so
/// no more is read than twice the limit, however many are due.
pub async fn unpublished(client: &Client, limit: i64) -> Result<Vec<Unpublished>, tokio_postgres::Error> {
    let datasets = datasets_with_due_tasks(client).await?;
    if datasets.is_empty() {
        return Ok(Vec::new());
    }
    // A parameter by itself, so that the plan knows how few it is.
    let share = limit.max(1).unsigned_abs().div_ceil(datasets.len() as u64).cast_signed();
    // Two ranges of the index; an OR would read what lies between them.
    let rows = client
        .query(
            &format!(
                "SELECT task.id, dataset.name, task.attempt, task.due_time, task.traceparent
                 FROM longshore.dataset
                 CROSS JOIN LATERAL (
                     SELECT due.*, row_number() OVER (ORDER BY due.due_time, due.id) AS turn
                     FROM ((SELECT id, attempt, due_time, traceparent FROM longshore.task
                            WHERE {IS_OPEN} AND task.due_time <= now()
                            ORDER BY task.due_time, task.id LIMIT $3)
                           UNION ALL
                           (SELECT id, attempt, due_time, traceparent FROM longshore.task
                            WHERE {IS_OPEN} AND task.due_time > {FARTHEST_DUE}
                            ORDER BY task.due_time, task.id LIMIT $3)) AS due
                 ) AS task
                 WHERE dataset.id = ANY($2)
                 ORDER BY turn, task.due_time, task.id
                 LIMIT $1"
            ),
            &[&limit, &datasets, &share],
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

/// The ids of datasets with tasks to publish: the first entry of each in the index, whatever the statistics say.
async fn datasets_with_due_tasks(client: &Client) -> Result<Vec<i32>, tokio_postgres::Error> {
    let sql = format!(
        "SELECT dataset.id FROM longshore.dataset
         WHERE (SELECT true FROM longshore.task WHERE {IS_OPEN} AND task.due_time <= now()
                ORDER BY task.due_time, task.id LIMIT 1)
            OR (SELECT true FROM longshore.task WHERE {IS_OPEN} AND task.due_time > {FARTHEST_DUE}
                ORDER BY task.due_time, task.id LIMIT 1)"
    );
    let rows = client.query(&sql, &[]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
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
