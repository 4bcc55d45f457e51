//! An operator's retry: FAILED → NEW.

use std::collections::HashSet;

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

/// Tasks that are retried in one transaction: a million at once would be one long statement.
const PAGE_LEN: usize = 10_000;

/// The FAILED tasks of a dataset, or of all.
pub async fn failed_tasks(
    client: &Client,
    dataset: Option<&str>,
) -> Result<Vec<Uuid>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT task.id FROM longshore.task
             WHERE task.status = 'FAILED'
               AND ($1::text IS NULL OR task.dataset_id = (SELECT id FROM longshore.dataset WHERE name = $1))
             ORDER BY task.id",
            &[&dataset],
        )
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Makes FAILED tasks NEW, page by page. What an error comes to after some pages, the next call does.
pub async fn retry(client: &Client, tasks: &[Uuid]) -> Result<Retried, tokio_postgres::Error> {
    let mut result = Retried::default();
    for page in tasks.chunks(PAGE_LEN) {
        retry_page(client, page, &mut result).await?;
    }
    let answered: HashSet<Uuid> = result.retried.iter().chain(&result.superseded).copied().collect();
    result.not_failed = tasks.iter().copied().filter(|id| !answered.contains(id)).collect();
    Ok(result)
}

async fn retry_page(
    client: &Client,
    tasks: &[Uuid],
    result: &mut Retried,
) -> Result<(), tokio_postgres::Error> {
    let rows = client
        .query(
            &format!(
                "WITH failed AS (
                     SELECT task.id,
                            (SELECT bool_and(superseded_by IS NOT NULL) FROM longshore.file WHERE file.task_id = task.id)
                                AS is_superseded
                     FROM longshore.task
                     WHERE task.status = 'FAILED' AND task.id = ANY($1)
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
    for row in &rows {
        let list = if row.get(1) { &mut result.superseded } else { &mut result.retried };
        list.push(row.get(0));
    }
    Ok(())
}
