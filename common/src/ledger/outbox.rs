//! Tasks that wait to be published. First publish, retry and rescue all pass through here.

use chrono::{DateTime, Utc};
use deadpool_postgres::ClientWrapper;
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
    /// The installation that it belongs to, for its message.
    pub installation: Uuid,
    /// W3C trace context of the scan that made it.
    pub traceparent: Option<String>,
}

/// How far ahead a due time may lie and be meant so, as in `longshore.is_due`.
const FARTHEST_DUE: &str = "now() + interval '1 hour'";

/// Of a `longshore.task`: it is one of the dataset's in the index `task_unpublished`, and the dataset does not wait for its target
/// table. The second is known before any task is read.
const IS_OPEN: &str = "task.dataset_id = dataset.id AND wait.dataset_id IS NULL
    AND task.status = 'NEW' AND task.published_time IS NULL";

/// Of a `longshore.task`: its dataset waits, and it is the one that is tried.
const IS_TRIED: &str = "task.id = wait.task_id AND task.status || '' = 'NEW' AND task.published_time IS NULL
    AND longshore.is_due(task.due_time)";

/// At most `limit` tasks to publish: of each dataset in turn the one that is due longest, so that a dataset with a million of them
/// keeps no other waiting. Of a dataset that waits for its target table, only the task that is tried.
///
/// Each dataset that has any gets the same share of the limit, and what others leave of theirs comes with the next call: so
/// no more is read than twice the limit, however many are due.
///
/// Below the due time `from` lie the entries of tasks that were published meanwhile: while any transaction is open that is older, such
/// as a long load, they cannot be removed, and each look would read them all.
pub async fn unpublished(
    client: &ClientWrapper,
    from: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Vec<Unpublished>, tokio_postgres::Error> {
    let datasets = datasets_with_due_tasks(client, from).await?;
    if datasets.is_empty() {
        return Ok(Vec::new());
    }
    // A parameter by itself, so that the plan knows how few it is.
    let share = limit.max(1).unsigned_abs().div_ceil(datasets.len() as u64).cast_signed();
    // Two ranges of the index; an OR would read what lies between them.
    let sql = format!(
        "SELECT task.id, dataset.name, task.attempt, task.due_time, task.traceparent,
                (SELECT id FROM longshore.installation)
         FROM longshore.dataset
         LEFT JOIN longshore.target_wait AS wait ON wait.dataset_id = dataset.id
         CROSS JOIN LATERAL (
             SELECT due.*, row_number() OVER (ORDER BY due.due_time, due.id) AS turn
             FROM ((SELECT id, attempt, due_time, traceparent FROM longshore.task
                    WHERE {IS_OPEN} AND task.due_time <= now() AND task.due_time >= coalesce($4::timestamptz, '-infinity')
                    ORDER BY task.due_time, task.id LIMIT $3)
                   UNION ALL
                   (SELECT id, attempt, due_time, traceparent FROM longshore.task
                    WHERE {IS_OPEN} AND task.due_time > {FARTHEST_DUE}
                    ORDER BY task.due_time, task.id LIMIT $3)
                   UNION ALL
                   (SELECT id, attempt, due_time, traceparent FROM longshore.task WHERE {IS_TRIED})) AS due
         ) AS task
         WHERE dataset.id = ANY($2)
         ORDER BY turn, task.due_time, task.id
         LIMIT $1"
    );
    let statement = client.prepare_cached(&sql).await?;
    let rows = client.query(&statement, &[&limit, &datasets, &share, &from]).await?;
    let task = |row: &tokio_postgres::Row| Unpublished {
        id: row.get(0),
        dataset: row.get(1),
        attempt: row.get(2),
        due_time: row.get(3),
        traceparent: row.get(4),
        installation: row.get(5),
    };
    Ok(rows.iter().map(task).collect())
}

/// The ids of datasets with tasks to publish: the first entry of each in the index, whatever the statistics say.
async fn datasets_with_due_tasks(
    client: &ClientWrapper,
    from: Option<DateTime<Utc>>,
) -> Result<Vec<i32>, tokio_postgres::Error> {
    let sql = format!(
        "SELECT dataset.id FROM longshore.dataset
         LEFT JOIN longshore.target_wait AS wait ON wait.dataset_id = dataset.id
         WHERE (SELECT true FROM longshore.task
                WHERE {IS_OPEN} AND task.due_time <= now() AND task.due_time >= coalesce($1::timestamptz, '-infinity')
                ORDER BY task.due_time, task.id LIMIT 1)
            OR (SELECT true FROM longshore.task WHERE {IS_OPEN} AND task.due_time > {FARTHEST_DUE}
                ORDER BY task.due_time, task.id LIMIT 1)
            OR (SELECT true FROM longshore.task WHERE {IS_TRIED} LIMIT 1)"
    );
    let statement = client.prepare_cached(&sql).await?;
    let rows = client.query(&statement, &[&from]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Marks confirmed tasks as published; gives the number of marks.
///
/// A task that a worker has claimed since, or that is to be published again since, is not marked: status, attempt and due time
/// are the fence. Without the due time, a late mark would hide that its message is answered already.
pub async fn mark_published(
    client: &ClientWrapper,
    tasks: &[&Unpublished],
) -> Result<u64, tokio_postgres::Error> {
    let ids: Vec<Uuid> = tasks.iter().map(|task| task.id).collect();
    let attempts: Vec<i32> = tasks.iter().map(|task| task.attempt).collect();
    let due_times: Vec<DateTime<Utc>> = tasks.iter().map(|task| task.due_time).collect();
    let statement = client
        .prepare_cached(
            "UPDATE longshore.task
             SET published_time = now(), publications = publications + 1, modified_time = now()
             FROM unnest($1::uuid[], $2::integer[], $3::timestamptz[]) AS confirmed (id, attempt, due_time)
             WHERE task.id = confirmed.id AND task.attempt = confirmed.attempt AND task.due_time = confirmed.due_time
               AND task.status || '' = 'NEW' AND task.published_time IS NULL",
        )
        .await?;
    client.execute(&statement, &[&ids, &attempts, &due_times]).await
}
