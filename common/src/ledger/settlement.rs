//! How an attempt ends. Every statement is fenced by attempt and status, and says how many rows it changed: one, or the
//! attempt was not ours any more. Inside a load's transaction `now()` is when the load began, hence `clock_timestamp()`.

use std::time::Duration;

use deadpool_postgres::Transaction;
use tokio_postgres::{Client, GenericClient};
use uuid::Uuid;

use super::outbox::WAKE_RELAY;
use crate::edge;

/// The last statement before COMMIT: LOADED, if the attempt is still ours. Anything but `true` must not be committed.
pub async fn mark_loaded(
    transaction: &Transaction<'_>,
    task_id: Uuid,
    attempt: i32,
) -> Result<bool, tokio_postgres::Error> {
    let statement = settling(
        "UPDATE longshore.task
         SET status = 'LOADED', failure_msg = NULL, modified_time = clock_timestamp()
         WHERE id = $1 AND attempt = $2 AND status || '' = 'PROCESSING'
         RETURNING id, attempt, status AS outcome, failure_msg",
    );
    let statement = transaction.prepare_cached(&statement).await?;
    Ok(transaction.execute(&statement, &[&task_id, &attempt]).await? == 1)
}

/// NEW again after a transient failure, due after a backoff with jitter of at most five minutes; FAILED once
/// `retry_for` has passed since the first failure.
pub async fn retry_later(
    client: &Client,
    task_id: Uuid,
    attempt: i32,
    error: &str,
    retry_for: Duration,
) -> Result<bool, tokio_postgres::Error> {
    settle(
        client,
        "UPDATE longshore.task
         SET status = CASE WHEN first_failure_time <= now() - make_interval(secs => $4) THEN 'FAILED' ELSE 'NEW' END,
             first_failure_time = coalesce(first_failure_time, now()),
             due_time = now() + (
                 SELECT make_interval(secs => least(300, 0.5 * power(2, least(count(*), 20))) * (0.5 + random() / 2))
                 FROM longshore.attempt
                 WHERE task_id = $1 AND outcome = 'RETRY' AND finished_time >= first_failure_time
             ),
             published_time = NULL, failure_msg = $3, modified_time = now()
         WHERE id = $1 AND attempt = $2 AND status || '' = 'PROCESSING'
         RETURNING id, attempt, CASE status WHEN 'NEW' THEN 'RETRY' ELSE status END AS outcome, failure_msg",
        &[&task_id, &attempt, &error, &retry_for.as_secs_f64()],
    )
    .await
}

/// NEW again because a disk of Postgres is full, due five minutes later or more; FAILED at the third try that finds it so: until
/// an operator has made room, each try leaves behind what it wrote. The tries are told by the SQLSTATE in their errors.
pub async fn retry_full_disk(
    client: &Client,
    task_id: Uuid,
    attempt: i32,
    error: &str,
) -> Result<bool, tokio_postgres::Error> {
    settle(
        client,
        "UPDATE longshore.task
         SET status = CASE WHEN (
                 SELECT count(*) FROM longshore.attempt
                 WHERE task_id = $1 AND outcome = 'RETRY' AND finished_time >= first_failure_time
                   AND error LIKE '%(SQLSTATE 53100)%'
             ) >= 2 THEN 'FAILED' ELSE 'NEW' END,
             first_failure_time = coalesce(first_failure_time, now()),
             due_time = now() + interval '5 min' * (1 + random() / 5),
             published_time = NULL, failure_msg = $3, modified_time = now()
         WHERE id = $1 AND attempt = $2 AND status = 'PROCESSING'
         RETURNING id, attempt, CASE status WHEN 'NEW' THEN 'RETRY' ELSE status END AS outcome, failure_msg",
        &[&task_id, &attempt, &error],
    )
    .await
}

/// NEW again because the target table cannot take this dataset's rows at present, which is no file's fault: however long that
/// lasts, it never makes the task FAILED. The dataset waits from now on (`longshore.target_wait`), unless another version of its spec
/// was applied since the claim, which may have mended what was wrong.
pub async fn wait_for_table(
    client: &Client,
    task_id: Uuid,
    attempt: i32,
    error: &str,
) -> Result<bool, tokio_postgres::Error> {
    let statement = settling_and(
        "UPDATE longshore.task
         SET status = 'NEW', first_failure_time = NULL, published_time = NULL, failure_msg = $3, modified_time = now(),
             due_time = greatest(now() + interval '1s', (
                 SELECT least(next_try_time, now() + interval '1 min') FROM longshore.target_wait
                 WHERE dataset_id = task.dataset_id))
         WHERE id = $1 AND attempt = $2 AND status = 'PROCESSING'
         RETURNING id, attempt, 'RETRY' AS outcome, failure_msg, dataset_id, due_time",
        ", waiting AS (
             INSERT INTO longshore.target_wait (dataset_id, reason, next_try_time)
             SELECT settled.dataset_id, settled.failure_msg, due_time FROM settled
             JOIN longshore.attempt ON attempt.task_id = settled.id AND attempt.attempt = settled.attempt
             JOIN longshore.dataset ON dataset.id = settled.dataset_id AND current_version = dataset_version
             ON CONFLICT (dataset_id) DO UPDATE SET reason = excluded.reason
         )",
    );
    Ok(client.execute(&statement, &[&task_id, &attempt, &error]).await? == 1)
}

/// NEW again because the worker was told to stop; counts for nothing.
pub async fn give_back(client: &Client, task_id: Uuid, attempt: i32) -> Result<bool, tokio_postgres::Error> {
    settle(
        client,
        &format!(
            "UPDATE longshore.task
             SET status = 'NEW', due_time = now(), published_time = NULL, modified_time = now()
             WHERE id = $1 AND attempt = $2 AND status || '' = 'PROCESSING'
             RETURNING id, attempt, 'STOPPED' AS outcome, NULL AS failure_msg, {WAKE_RELAY}"
        ),
        &[&task_id, &attempt],
    )
    .await
}

/// FAILED: nothing but an operator changes that.
pub async fn fail(
    client: &impl GenericClient,
    task_id: Uuid,
    attempt: i32,
    error: &str,
) -> Result<bool, tokio_postgres::Error> {
    settle(
        client,
        "UPDATE longshore.task
         SET status = 'FAILED', failure_msg = $3, first_failure_time = coalesce(first_failure_time, clock_timestamp()),
             published_time = NULL, modified_time = clock_timestamp()
         WHERE id = $1 AND attempt = $2 AND status || '' = 'PROCESSING'
         RETURNING id, attempt, status AS outcome, failure_msg",
        &[&task_id, &attempt, &error],
    )
    .await
}

/// What fences an attempt's statements off once it is not the one that runs.
const FENCE: &str = "AND attempt = $2 AND status || '' = 'PROCESSING'";

async fn settle(
    client: &impl GenericClient,
    transition: &str,
    parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<bool, tokio_postgres::Error> {
    Ok(client.execute(&settling(transition), parameters).await? == 1)
}

/// One statement that makes a transition of the task and ends its attempt with the outcome that the transition returns.
fn settling(transition: &str) -> String {
    settling_and(transition, "")
}

/// The same with another change, as a CTE that reads from `settled`.
pub(super) fn settling_and(transition: &str, other: &str) -> String {
    let transition = match edge::is_sabotaged("sabotage::no_fence") {
        true => transition.replace(FENCE, "AND $2::integer IS NOT NULL"),
        false => transition.to_owned(),
    };
    format!(
        "WITH settled AS ({transition}){other}
         UPDATE longshore.attempt
         SET outcome = settled.outcome, error = settled.failure_msg, finished_time = clock_timestamp()
         FROM settled WHERE attempt.task_id = settled.id AND attempt.attempt = settled.attempt"
    )
}

/// Moves files that fail for good out of their task, each into a FAILED task of its own, so that the rest can load. Each is
/// given by its `longshore.file.id` and why it fails.
pub async fn carve_out(
    transaction: &Transaction<'_>,
    task_id: Uuid,
    failed: &[(i64, &str)],
) -> Result<(), tokio_postgres::Error> {
    let own_tasks: Vec<Uuid> = failed.iter().map(|_| Uuid::now_v7()).collect();
    let (files, reasons): (Vec<i64>, Vec<&str>) = failed.iter().copied().unzip();
    transaction
        .execute(
            "INSERT INTO longshore.task (id, dataset_id, status, failure_msg, first_failure_time, traceparent,
                                         created_time, modified_time)
             SELECT carved.id, dataset_id, 'FAILED', carved.reason, clock_timestamp(), traceparent, clock_timestamp(),
                    clock_timestamp()
             FROM longshore.task, unnest($2::uuid[], $3::text[]) AS carved (id, reason)
             WHERE task.id = $1",
            &[&task_id, &own_tasks, &reasons],
        )
        .await?;
    transaction
        .execute(
            "UPDATE longshore.file SET task_id = carved.task_id, modified_time = clock_timestamp()
             FROM unnest($2::bigint[], $3::uuid[]) AS carved (file_id, task_id)
             WHERE file.id = carved.file_id AND file.task_id = $1",
            &[&task_id, &files, &own_tasks],
        )
        .await?;
    Ok(())
}
