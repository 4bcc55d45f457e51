//! Tasks that are split, so that one file does not take its neighbours along: by halves where it kills or breaks its reader, by
//! files where an operator says so.

use deadpool_postgres::Transaction;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{outbox::WAKE_RELAY, settlement::settling_and};

/// From this many deaths on a task is loaded alone and, if it has several files, halved first.
pub const SUSPECT_DEATHS: i32 = 2;

/// Whether the next attempt at a task with so many deaths takes only half of its files.
pub(super) fn is_to_be_halved(deaths: i32, max_deaths: i32, files: usize) -> bool {
    files > 1 && deaths >= SUSPECT_DEATHS.min(max_deaths)
}

/// Gives files of a task that is being claimed to a NEW task. The deaths go with both halves, but no more of them than leave a
/// lone file another try.
pub(super) async fn give_half_away(
    transaction: &Transaction<'_>,
    task_id: Uuid,
    other_task: Uuid,
    file_ids: &[i64],
    max_deaths: i32,
) -> Result<(), tokio_postgres::Error> {
    let most_deaths = SUSPECT_DEATHS.min(max_deaths - 1);
    transaction
        .query(
            &format!(
                "WITH kept AS (
                     UPDATE longshore.task SET deaths = least(deaths, $4) WHERE id = $1
                 ), other AS (
                     INSERT INTO longshore.task (id, dataset_id, deaths, first_failure_time, failure_msg, traceparent)
                     SELECT $2, dataset_id, least(deaths, $4), first_failure_time, failure_msg, traceparent
                     FROM longshore.task WHERE id = $1
                     RETURNING {WAKE_RELAY}
                 ), moved AS (
                     UPDATE longshore.file SET task_id = $2, modified_time = now() WHERE id = ANY($3) AND task_id = $1
                 )
                 SELECT FROM other"
            ),
            &[&task_id, &other_task, &file_ids, &most_deaths],
        )
        .await?;
    Ok(())
}

/// Settles an attempt that broke on one of several files, nobody knows which: NEW again with half of them; `file_ids`, the
/// other half, become a NEW task of their own.
pub async fn halve(
    client: &Client,
    task_id: Uuid,
    attempt: i32,
    error: &str,
    file_ids: &[i64],
) -> Result<bool, tokio_postgres::Error> {
    let statement = settling_and(
        &format!(
            "UPDATE longshore.task
             SET status = 'NEW', due_time = now(), first_failure_time = coalesce(first_failure_time, now()),
                 published_time = NULL, failure_msg = $3, modified_time = now()
             WHERE id = $1 AND attempt = $2 AND status = 'PROCESSING'
             RETURNING id, attempt, 'RETRY' AS outcome, failure_msg, dataset_id, deaths, first_failure_time, traceparent,
                       {WAKE_RELAY}"
        ),
        ", other AS (
             INSERT INTO longshore.task (id, dataset_id, deaths, first_failure_time, failure_msg, traceparent)
             SELECT $4, dataset_id, deaths, first_failure_time, failure_msg, traceparent FROM settled
         ), moved AS (
             UPDATE longshore.file SET task_id = $4, modified_time = now()
             FROM settled WHERE file.id = ANY($5) AND file.task_id = settled.id
         )",
    );
    let other_task = Uuid::now_v7();
    Ok(client.execute(&statement, &[&task_id, &attempt, &error, &other_task, &file_ids]).await? == 1)
}

/// At most so many tasks are made of one.
const MAX_PARTS: usize = 1000;

/// What an operator's split did.
#[derive(Debug, serde::Serialize)]
pub struct Split {
    /// The task that was split; it has the first files.
    pub task: Uuid,
    /// The tasks that have its files now, all of them NEW.
    pub tasks: Vec<Uuid>,
    /// How many files it had.
    pub files: usize,
}

/// Why a task is not split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Only what is FAILED can be.
    #[error("it is not FAILED, or not known")]
    NotFailed,
    /// There is nothing to split.
    #[error("it has one file only; `longshore retry` tries it again")]
    OneFile,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] tokio_postgres::Error),
}

/// Splits a FAILED task into NEW ones of one file each; of more than 1,000 files, into 1,000 tasks. What an operator's retry forgets
/// is forgotten here, too.
pub async fn split(client: &mut Client, task_id: Uuid) -> Result<Split, SplitError> {
    let transaction = client.transaction().await?;
    let failed = "SELECT FROM longshore.task WHERE id = $1 AND status = 'FAILED' FOR UPDATE";
    if transaction.query_opt(failed, &[&task_id]).await?.is_none() {
        return Err(SplitError::NotFailed);
    }
    let listing = "SELECT id FROM longshore.file WHERE task_id = $1 ORDER BY file_modified_time, id";
    let files: Vec<i64> =
        transaction.query(listing, &[&task_id]).await?.iter().map(|row| row.get(0)).collect();
    if files.len() < 2 {
        return Err(SplitError::OneFile);
    }
    let mut tasks = vec![task_id];
    tasks.resize_with(files.len().min(MAX_PARTS), Uuid::now_v7);
    let task_of_file: Vec<Uuid> =
        (0..files.len()).map(|file| tasks[file * tasks.len() / files.len()]).collect();
    transaction
        .execute(
            &format!(
                "WITH renewed AS (
                     UPDATE longshore.task
                     SET status = 'NEW', due_time = now(), published_time = NULL, first_failure_time = NULL, deaths = 0,
                         modified_time = now()
                     WHERE id = $1
                     RETURNING dataset_id, failure_msg, traceparent, {WAKE_RELAY}
                 )
                 INSERT INTO longshore.task (id, dataset_id, failure_msg, traceparent)
                 SELECT part.id, dataset_id, failure_msg, traceparent FROM renewed, unnest($2::uuid[]) AS part (id)"
            ),
            &[&task_id, &&tasks[1..]],
        )
        .await?;
    transaction
        .execute(
            "UPDATE longshore.file
             SET task_id = part.task_id, missed_time = NULL, missed_by = NULL, modified_time = now()
             FROM unnest($2::bigint[], $3::uuid[]) AS part (file_id, task_id)
             WHERE file.id = part.file_id AND file.task_id = $1",
            &[&task_id, &files, &task_of_file],
        )
        .await?;
    transaction.commit().await?;
    Ok(Split { task: task_id, tasks, files: files.len() })
}
