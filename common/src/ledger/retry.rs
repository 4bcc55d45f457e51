//! An operator's retry: FAILED → NEW.

use tokio_postgres::Client;
use uuid::Uuid;

use super::outbox::WAKE_RELAY;

/// What became of a retry.
#[derive(Debug, Default, serde::Serialize)]
pub struct Retried {
    /// Tasks that are NEW now.
    pub retried: Vec<Uuid>,
    /// Tasks left FAILED, because a newer version of each of their files has taken their place.
    pub superseded: Vec<Uuid>,
    /// Tasks that are not FAILED, or not known.
    pub not_failed: Vec<Uuid>,
}

/// Makes FAILED tasks NEW: those named, or all if `tasks` is `None`.
pub async fn retry(client: &Client, tasks: Option<&[Uuid]>) -> Result<Retried, tokio_postgres::Error> {
    let rows = client
        .query(
            &format!(
                "WITH failed AS (
                     SELECT task.id,
                            (SELECT bool_and(superseded_by IS NOT NULL) FROM longshore.file WHERE file.task_id = task.id)
                                AS is_superseded
                     FROM longshore.task
                     WHERE task.status = 'FAILED' AND ($1::uuid[] IS NULL OR task.id = ANY($1))
                     FOR UPDATE OF task
                 ), retried AS (
                     UPDATE longshore.task
                     SET status = 'NEW', due_time = now(), published_time = NULL, first_failure_time = NULL,
                         deaths = 0, modified_time = now()
                     FROM failed
                     WHERE task.id = failed.id AND failed.is_superseded IS NOT TRUE
                     RETURNING task.id, {WAKE_RELAY}
                 ), not_missed AS (
                     UPDATE longshore.file SET missed_time = NULL, missed_by = NULL
                     FROM retried WHERE file.task_id = retried.id AND missed_time IS NOT NULL
                 )
                 SELECT id, is_superseded IS TRUE FROM failed ORDER BY id"
            ),
            &[&tasks],
        )
        .await?;
    let mut result = Retried::default();
    for row in &rows {
        let list = if row.get(1) { &mut result.superseded } else { &mut result.retried };
        list.push(row.get(0));
    }
    let answered = |id: &Uuid| result.retried.contains(id) || result.superseded.contains(id);
    result.not_failed = tasks.unwrap_or_default().iter().copied().filter(|id| !answered(id)).collect();
    Ok(result)
}
