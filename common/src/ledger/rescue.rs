//! Tasks whose worker is gone.

use tokio_postgres::Client;
use uuid::Uuid;

/// A task that is PROCESSING; whether its worker lives, its lease tells.
#[derive(Debug, Clone, Copy)]
pub struct Processing {
    /// The task.
    pub id: Uuid,
    /// The advisory lock of its worker.
    pub lease_key: i64,
    /// The attempt that was seen.
    pub attempt: i32,
}

/// All tasks that are PROCESSING.
pub async fn processing_tasks(client: &Client) -> Result<Vec<Processing>, tokio_postgres::Error> {
    let rows = client
        .query("SELECT id, lease_key, attempt FROM longshore.task WHERE status = 'PROCESSING'", &[])
        .await?;
    Ok(rows
        .iter()
        .map(|row| Processing { id: row.get(0), lease_key: row.get(1), attempt: row.get(2) })
        .collect())
}

/// What became of a task whose worker is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rescue {
    /// It is NEW and will be published again.
    New,
    /// Too many of its workers have died: FAILED.
    Poison,
    /// It was settled before its worker went, or is another attempt's now.
    NotNeeded,
}

/// Makes a task NEW again, or FAILED after `max_deaths`. The caller must hold the task's lease.
pub async fn rescue(
    client: &Client,
    task_id: Uuid,
    attempt: i32,
    max_deaths: i32,
) -> Result<Rescue, tokio_postgres::Error> {
    let row = client
        .query_opt(
            "WITH rescued AS (
                 UPDATE longshore.task
                 SET status = CASE WHEN deaths + 1 >= $3 THEN 'FAILED' ELSE 'NEW' END,
                     deaths = deaths + 1, published_time = NULL, due_time = now(), modified_time = now(),
                     failure_msg = CASE WHEN deaths + 1 >= $3
                         THEN format('poison: %s workers died while they loaded it', deaths + 1)
                         ELSE 'the worker died while it loaded the task' END
                 WHERE id = $1 AND attempt = $2 AND status = 'PROCESSING'
                 RETURNING id, attempt, status, failure_msg
             ), ended AS (
                 UPDATE longshore.attempt
                 SET outcome = 'DIED', finished_time = now(), error = rescued.failure_msg
                 FROM rescued WHERE attempt.task_id = rescued.id AND attempt.attempt = rescued.attempt
             )
             SELECT status FROM rescued",
            &[&task_id, &attempt, &max_deaths],
        )
        .await?;
    Ok(match row.map(|row| row.get::<_, String>(0)).as_deref() {
        Some("NEW") => Rescue::New,
        Some(_) => Rescue::Poison,
        None => Rescue::NotNeeded,
    })
}
