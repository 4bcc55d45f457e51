//! Tasks whose worker is gone, or gives no sign of life.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Client, Row, types::ToSql};
use uuid::Uuid;

use super::{leases::end_lease_holder, outbox::WAKE_RELAY};

/// A task that somebody works on, or should.
#[derive(Debug, Clone, Copy)]
pub struct OpenTask {
    /// The task.
    pub id: Uuid,
    /// The advisory lock of its worker.
    pub lease_key: i64,
    /// The attempt that was seen.
    pub attempt: i32,
    /// PROCESSING; otherwise NEW, though somebody holds its lease.
    pub is_processing: bool,
    /// Who holds the lease; `None` if it is free.
    pub holder: Option<Holder>,
}

/// The session that holds a task's lease.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    /// Its backend.
    pub pid: i32,
    /// The last heartbeat of the attempt; of a task that is NEW, the last time that the session was heard.
    pub sign_of_life: DateTime<Utc>,
    /// How long ago that was, in seconds, by the database's clock.
    pub silent_for_secs: f64,
}

/// All tasks that are PROCESSING, and those that are NEW while somebody holds their lease.
pub async fn open_tasks(client: &ClientWrapper) -> Result<Vec<OpenTask>, tokio_postgres::Error> {
    let statement = client
        .prepare_cached(
            "WITH holder AS MATERIALIZED (
                 SELECT (classid::bigint << 32) | objid::bigint AS lease_key, pid FROM pg_locks
                 WHERE locktype = 'advisory' AND granted AND objsubid = 1
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
             ), open AS (
                 SELECT id, lease_key, attempt, TRUE AS is_processing FROM longshore.task WHERE status = 'PROCESSING'
                 UNION ALL
                 SELECT task.id, lease_key, attempt, FALSE FROM holder JOIN longshore.task USING (lease_key)
                 WHERE task.status || '' = 'NEW'
             ), heard AS (
                 SELECT open.*, holder.pid,
                        CASE WHEN is_processing THEN attempt.heartbeat_time ELSE activity.state_change END AS sign_of_life
                 FROM open
                 LEFT JOIN holder USING (lease_key)
                 LEFT JOIN longshore.attempt ON attempt.task_id = open.id AND attempt.attempt = open.attempt
                 LEFT JOIN pg_stat_activity AS activity ON activity.pid = holder.pid
             )
             SELECT id, lease_key, attempt, is_processing, pid, coalesce(sign_of_life, clock_timestamp()),
                    coalesce(extract(epoch FROM clock_timestamp() - sign_of_life), 0)::double precision
             FROM heard",
        )
        .await?;
    let rows = client.query(&statement, &[]).await?;
    Ok(rows.iter().map(open_task).collect())
}

fn open_task(row: &Row) -> OpenTask {
    let holder = |pid| Holder { pid, sign_of_life: row.get(5), silent_for_secs: row.get(6) };
    OpenTask {
        id: row.get(0),
        lease_key: row.get(1),
        attempt: row.get(2),
        is_processing: row.get(3),
        holder: row.get::<_, Option<i32>>(4).map(holder),
    }
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

/// Ends the session that holds the task's lease, if it has given no sign of life since it was seen, and waits up to five
/// seconds until it is gone. Gives whether it was ended.
pub async fn end_silent_holder(
    client: &Client,
    task: &OpenTask,
    holder: Holder,
) -> Result<bool, tokio_postgres::Error> {
    let is_silent = client
        .query_one(
            "SELECT CASE WHEN $4
                 THEN EXISTS (SELECT FROM longshore.attempt
                              WHERE task_id = $1 AND attempt = $2 AND finished_time IS NULL AND heartbeat_time = $5)
                 ELSE EXISTS (SELECT FROM pg_stat_activity WHERE pid = $3 AND state_change = $5) END",
            &[&task.id, &task.attempt, &holder.pid, &task.is_processing, &holder.sign_of_life],
        )
        .await?
        .try_get(0)?;
    if is_silent {
        end_lease_holder(client, task.lease_key, holder.pid).await?;
    }
    Ok(is_silent)
}

/// How a worker was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Its lease was free.
    Died,
    /// It gave no sign of life, and its session was ended.
    Silent,
}

/// Makes a task NEW again, or FAILED after `max_deaths` if it has one file: one of several is not known to be the cause, and the
/// next claim halves them. The caller must hold the task's lease.
pub async fn rescue(
    client: &Client,
    task_id: Uuid,
    attempt: i32,
    gone: Gone,
    max_deaths: i32,
) -> Result<Rescue, tokio_postgres::Error> {
    let what_it_did = match gone {
        Gone::Died => "died while it loaded the task",
        Gone::Silent => "was silent while it loaded the task, and its session was ended",
    };
    let row = client
        .query_opt(
            &format!("WITH died AS (
                 SELECT task_id, attempt, format(
                     '%s; its last heartbeat, at %s UTC, told of %s bytes and %s rows', worker,
                     to_char(heartbeat_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), bytes_read, rows_read) AS last_known,
                     (SELECT count(*) FROM longshore.file WHERE file.task_id = $1) <= 1 AS is_lone
                 FROM longshore.attempt WHERE task_id = $1 AND attempt = $2
             ), rescued AS (
                 UPDATE longshore.task
                 SET status = CASE WHEN deaths + 1 >= $3 AND is_lone THEN 'FAILED' ELSE 'NEW' END,
                     deaths = deaths + 1, published_time = NULL, due_time = now(), modified_time = now(),
                     failure_msg = CASE WHEN deaths + 1 >= $3 AND is_lone
                         THEN format('poison: %s workers died while they loaded it; the last was %s', deaths + 1, last_known)
                         ELSE format('a worker %s: %s', $4::text, last_known) END
                 FROM died
                 WHERE id = $1 AND task.attempt = $2 AND status || '' = 'PROCESSING'
                 RETURNING id, task.attempt, status, failure_msg, {WAKE_RELAY}
             ), ended AS (
                 UPDATE longshore.attempt
                 SET outcome = 'DIED', finished_time = now(), error = rescued.failure_msg
                 FROM rescued WHERE attempt.task_id = rescued.id AND attempt.attempt = rescued.attempt
             )
             SELECT status FROM rescued"),
            &[&task_id, &attempt, &max_deaths, &what_it_did],
        )
        .await?;
    Ok(match row.map(|row| row.get::<_, String>(0)).as_deref() {
        Some("NEW") => Rescue::New,
        Some(_) => Rescue::Poison,
        None => Rescue::NotNeeded,
    })
}

/// Takes a death back: the attempt's worker lives, and had only lost its connection for longer than the rescue waits. Gives
/// whether the attempt had been recorded as DIED.
///
/// It becomes a transient failure like any other: a task that still waits is FAILED once `retry_for` has passed since its first
/// failure. Before that, one that this very death had made FAILED as poison is NEW again: an outage must not count against a
/// task, however often it comes.
pub async fn take_death_back(
    client: &Client,
    task_id: Uuid,
    attempt: i32,
    error: &str,
    retry_for: Duration,
) -> Result<bool, tokio_postgres::Error> {
    // What was FAILED by this death is NEW again: no other attempt has begun, or the number would be another; and what an
    // operator has retried is not FAILED. Read from the row that is changed, and so as it is at that moment.
    let was_poison = "task.status = 'FAILED' AND task.attempt = alive.attempt
        AND NOT coalesce((SELECT bool_and(superseded_by IS NOT NULL) FROM longshore.file WHERE task_id = task.id), FALSE)";
    let is_out_of_time = "task.status IN ('NEW', 'FAILED') AND task.attempt = alive.attempt
        AND first_failure_time <= now() - make_interval(secs => $4)";
    let statement = format!(
        "WITH alive AS (
             UPDATE longshore.attempt SET outcome = 'RETRY', error = $3
             WHERE task_id = $1 AND attempt = $2 AND outcome = 'DIED'
             RETURNING task_id, attempt
         )
         UPDATE longshore.task
         SET deaths = greatest(deaths - 1, 0),
             first_failure_time = CASE WHEN status = 'LOADED' THEN first_failure_time
                                       ELSE coalesce(first_failure_time, now()) END,
             status = CASE WHEN {is_out_of_time} THEN 'FAILED' WHEN {was_poison} THEN 'NEW' ELSE status END,
             due_time = CASE WHEN {was_poison} THEN now() ELSE due_time END,
             published_time = CASE WHEN {is_out_of_time} OR {was_poison} THEN NULL ELSE published_time END,
             failure_msg = CASE WHEN {is_out_of_time} OR {was_poison} THEN $3 ELSE failure_msg END,
             modified_time = CASE WHEN {is_out_of_time} OR {was_poison} THEN now() ELSE modified_time END
         FROM alive WHERE task.id = alive.task_id
         RETURNING {WAKE_RELAY}"
    );
    let parameters: [&(dyn ToSql + Sync); 4] = [&task_id, &attempt, &error, &retry_for.as_secs_f64()];
    Ok(client.query_opt(&statement, &parameters).await?.is_some())
}
