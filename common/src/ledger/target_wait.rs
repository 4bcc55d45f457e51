//! Datasets that wait for their target table: what is loaded into it fails alike, whatever the file, so that one task at a time
//! tries and the others stay where they are. `settlement::wait_for_table` begins a wait.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::{Client, GenericClient};
use uuid::Uuid;

use super::{claims::Claim, outbox::WAKE_RELAY};

/// Of a `task`: its dataset waits, and another task is tried. Neither the relay nor a claim takes it.
pub(super) const WAITS_FOR_TABLE: &str = "EXISTS (SELECT FROM longshore.target_wait
    WHERE target_wait.dataset_id = task.dataset_id AND target_wait.task_id IS DISTINCT FROM task.id)";

/// A dataset that waits for its target table.
#[derive(Debug, Clone, Serialize)]
pub struct WaitingDataset {
    /// Its name.
    pub dataset: String,
    /// Its target table.
    pub table: String,
    /// When the first task found that the table takes no rows.
    pub since: DateTime<Utc>,
    /// What the last try ended with.
    pub reason: String,
    /// When the next task is tried, if none is being tried.
    pub next_try_time: DateTime<Utc>,
    /// Its tasks that are NEW.
    pub tasks: i64,
}

/// The datasets that wait for their target table, by name.
pub async fn waiting_datasets(client: &Client) -> Result<Vec<WaitingDataset>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT dataset.name, dataset.target_table, since, reason, next_try_time,
                    (SELECT count(*) FROM longshore.task WHERE status = 'NEW' AND task.dataset_id = dataset.id)
             FROM longshore.target_wait JOIN longshore.dataset ON dataset.id = target_wait.dataset_id
             ORDER BY dataset.name",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(WaitingDataset {
                dataset: row.try_get(0)?,
                table: row.try_get(1)?,
                since: row.try_get(2)?,
                reason: row.try_get(3)?,
                next_try_time: row.try_get(4)?,
                tasks: row.try_get(5)?,
            })
        })
        .collect()
}

/// Chooses the task that is tried next for each waiting dataset whose pause is over, unless one is on its way: that one ends, is
/// rescued, or is published again if its message was lost. The longest due comes first, and a task that was tried is due later.
pub async fn choose_tries(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            "UPDATE longshore.target_wait
             SET tries = tries + 1, next_try_time = now() + make_interval(secs => least(60, power(2, least(tries, 6)))),
                 task_id = (SELECT id FROM longshore.task
                            WHERE status = 'NEW' AND published_time IS NULL AND longshore.is_due(due_time)
                              AND task.dataset_id = target_wait.dataset_id
                            ORDER BY due_time, id LIMIT 1)
             WHERE dataset_id IN (
                 SELECT dataset_id FROM longshore.target_wait AS paused
                 -- Farther ahead than any pause is what a clock has left that was set back since.
                 WHERE next_try_time NOT BETWEEN now() AND now() + interval '2 min'
                   AND NOT EXISTS (SELECT FROM longshore.task WHERE task.id = paused.task_id
                                   AND (status = 'PROCESSING' OR status = 'NEW' AND published_time IS NOT NULL))
                 -- A load that ends its dataset's wait has locked it until COMMIT, which may take a standby's time.
                 FOR UPDATE SKIP LOCKED)",
            &[],
        )
        .await?;
    Ok(())
}

/// Has the relay take a task whose dataset waits when its turn comes, so that its message can be acked after this.
pub(super) async fn leave_to_turn(client: &Client, task_id: Uuid) -> Result<(), tokio_postgres::Error> {
    // Another due time, so that a late mark of the relay does not hide that the message is answered.
    client
        .execute(
            "UPDATE longshore.task SET published_time = NULL, due_time = now() + interval '1s', modified_time = now()
             WHERE id = $1 AND status = 'NEW' AND longshore.is_due(due_time)",
            &[&task_id],
        )
        .await?;
    Ok(())
}

/// Ends the dataset's wait, because its target table has taken a task's rows. That is noted: a task that has the dataset wait once
/// more for the same reason is at fault itself.
pub async fn end_wait_with_rows(
    client: &impl GenericClient,
    dataset_id: i32,
) -> Result<(), tokio_postgres::Error> {
    let sql = "UPDATE longshore.dataset SET wait_ended_time = clock_timestamp()
         WHERE id = $1 AND EXISTS (SELECT FROM longshore.target_wait WHERE target_wait.dataset_id = $1)";
    client.execute(sql, &[&dataset_id]).await?;
    end_wait(client, dataset_id).await
}

/// Whether the claimed task has met this SQLSTATE before, and its dataset's target table has taken rows since then.
pub async fn has_ended_a_wait_since(
    client: &impl GenericClient,
    claim: &Claim,
    sqlstate: &str,
) -> Result<bool, tokio_postgres::Error> {
    let sql = "SELECT EXISTS (SELECT FROM longshore.attempt JOIN longshore.dataset ON finished_time < wait_ended_time
             WHERE task_id = $1 AND dataset.id = $2 AND outcome = 'RETRY' AND error LIKE '%(SQLSTATE ' || $3 || ')%')";
    client.query_one(sql, &[&claim.task_id, &claim.dataset_id, &sqlstate]).await?.try_get(0)
}

/// Ends the dataset's wait, if there is one: its tasks are published again from now on.
async fn end_wait(client: &impl GenericClient, dataset_id: i32) -> Result<(), tokio_postgres::Error> {
    let sql = format!(
        "WITH ended AS (DELETE FROM longshore.target_wait WHERE dataset_id = $1 RETURNING 1)
        SELECT {WAKE_RELAY} FROM ended"
    );
    client.query(&sql, &[&dataset_id]).await?;
    Ok(())
}

/// The same, and has those tasks published at once that were tried and are due later.
pub(super) async fn end_wait_now(
    client: &impl GenericClient,
    dataset_id: i32,
) -> Result<(), tokio_postgres::Error> {
    // Who has locked one of them is at it, and it is due within a minute anyway.
    let sql = "UPDATE longshore.task SET due_time = now(), modified_time = now()
         WHERE id IN (SELECT id FROM longshore.task
                      WHERE dataset_id = $1 AND status = 'NEW' AND published_time IS NULL AND due_time > now()
                        AND first_failure_time IS NULL AND EXISTS (
                            SELECT FROM longshore.target_wait WHERE target_wait.dataset_id = task.dataset_id)
                      FOR UPDATE SKIP LOCKED)";
    client.execute(sql, &[&dataset_id]).await?;
    end_wait(client, dataset_id).await
}

/// Ends the pause before the dataset's next try.
pub async fn try_another_now(
    client: &impl GenericClient,
    dataset_id: i32,
) -> Result<(), tokio_postgres::Error> {
    let sql = "UPDATE longshore.target_wait SET next_try_time = now() WHERE dataset_id = $1";
    client.execute(sql, &[&dataset_id]).await?;
    Ok(())
}
