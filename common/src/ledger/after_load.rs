//! What is to become of files once their rows are in the table: a row a file, written with the load and worked off later.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use serde::Serialize;
use tokio_postgres::{Client, GenericClient, Row};
use uuid::Uuid;

use super::{datasets::current_dataset_in, leases::AFTER_LOAD_SPEC_CLASS, objects::object_key};
use crate::{
    dataset::Dataset,
    store::{AfterLoadOutcome, LoadedFile, StoredFile},
};

/// Plans the step for the files that this load has loaded, to be done when `delay` has passed. Only what commits with the load is
/// ever worked off.
///
/// Raises what the load's COMMIT waits for where it waits for less than Postgres' own disk: the file is going to be removed, and
/// rows that a crash could still take would have no file to come back from.
pub async fn plan_after_load(
    transaction: &Transaction<'_>,
    task_id: Uuid,
    attempt: i32,
    delay: Duration,
) -> Result<(), tokio_postgres::Error> {
    let raising = transaction
        .prepare_cached(
            "SELECT set_config('synchronous_commit', 'on', true)
             WHERE current_setting('synchronous_commit') IN ('off', 'local')",
        )
        .await?;
    // A file that is loaded again, after its rows were removed, is worked off again. The delay counts from here, not from the
    // transaction's begin: a load may take hours.
    let planning = transaction
        .prepare_cached(
            "INSERT INTO longshore.after_load (file_id, dataset_id, due_time)
             SELECT file_load.file_id, file.dataset_id, clock_timestamp() + make_interval(secs => $3)
             FROM longshore.file_load
             JOIN longshore.file ON file.id = file_load.file_id
             WHERE file_load.task_id = $1 AND file_load.attempt = $2
             ON CONFLICT (file_id) DO UPDATE
             SET tries = 0, due_time = excluded.due_time, done_time = NULL, outcome = NULL, reason = NULL, moved_to = NULL",
        )
        .await?;
    // In one round trip.
    let raised = async { transaction.query(&raising, &[]).await };
    let delay = delay.as_secs_f64();
    let planned = async { transaction.execute(&planning, &[&task_id, &attempt, &delay]).await };
    tokio::try_join!(raised, planned)?;
    Ok(())
}

/// A file for which the step is due.
#[derive(Debug, Clone)]
pub struct DueAfterLoad {
    /// The file, in the version that was loaded.
    pub file: LoadedFile,
    /// Whether its rows are in the table now, and no newer version or reload of it is about to replace them: that needs the
    /// file, and has this step itself.
    pub is_loaded: bool,
    /// Whether rows of it were rejected: the reject table keeps their text only in part.
    pub has_rejects: bool,
}

/// The names of the datasets for whose files the step is due.
pub async fn datasets_with_due_after_loads(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client
        .query(
            // Apart by tries, as the index is: those that wait for their time may be millions, and are not read.
            "SELECT name FROM longshore.dataset
             WHERE EXISTS (SELECT FROM longshore.after_load
                           WHERE after_load.dataset_id = dataset.id AND done_time IS NULL AND tries = 0 AND due_time <= now())
                OR EXISTS (SELECT FROM longshore.after_load
                           WHERE after_load.dataset_id = dataset.id AND done_time IS NULL AND tries > 0 AND due_time <= now())
             ORDER BY name",
            &[],
        )
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// At most `limit` files of a dataset for which the step is due, those first that have failed the least often: their
/// `longshore.file.id` and URI.
pub async fn due_after_loads(
    client: &Client,
    dataset_id: i32,
    limit: i64,
) -> Result<Vec<(i64, String)>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT file.id, file.uri
             FROM ((SELECT file_id, tries, due_time FROM longshore.after_load
                    WHERE dataset_id = $1 AND done_time IS NULL AND tries = 0 AND due_time <= now()
                    ORDER BY due_time LIMIT $2)
                   UNION ALL
                   (SELECT file_id, tries, due_time FROM longshore.after_load
                    WHERE dataset_id = $1 AND done_time IS NULL AND tries > 0 AND due_time <= now()
                    ORDER BY tries, due_time LIMIT $2)) AS due
             JOIN longshore.file ON file.id = due.file_id
             ORDER BY due.tries, due.due_time
             LIMIT $2",
            &[&dataset_id, &limit],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Waits until everything that had committed before is on disk, as far as Postgres' settings go: COMMITs of sessions with
/// `synchronous_commit = off` are visible before they are. Nothing is left behind but a record in the WAL, which a COMMIT needs in
/// order to be waited for.
pub async fn flush_commits(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(
            "BEGIN;
             SELECT set_config('synchronous_commit', 'on', true)
             WHERE current_setting('synchronous_commit') IN ('off', 'local');
             SELECT pg_logical_emit_message(true, 'longshore', 'after_load');
             COMMIT",
        )
        .await
}

/// The dataset's spec, which stays as it is until the transaction ends: an apply waits. `None` if one is about to change it.
pub async fn hold_spec(
    transaction: &tokio_postgres::Transaction<'_>,
    dataset_id: i32,
) -> Result<Option<Dataset>, tokio_postgres::Error> {
    let sql = "SELECT pg_try_advisory_xact_lock_shared($1, $2)";
    let is_held = transaction.query_one(sql, &[&AFTER_LOAD_SPEC_CLASS, &dataset_id]).await?.try_get(0)?;
    Ok(if is_held { Some(current_dataset_in(transaction, dataset_id).await?.spec) } else { None })
}

/// Locks the objects of these files until the transaction ends, so that no load, reload or unload of them comes between what is
/// decided, done and recorded; and gives what is to be decided. Files whose objects others have locked are left out: they are due
/// another time.
pub async fn lock_due_after_loads(
    transaction: &tokio_postgres::Transaction<'_>,
    dataset_id: i32,
    files: &[(i64, String)],
) -> Result<Vec<DueAfterLoad>, tokio_postgres::Error> {
    let keys: Vec<Uuid> = files.iter().map(|(_, uri)| object_key(dataset_id, uri)).collect();
    let sql = "SELECT key FROM longshore.object WHERE key = ANY($1) FOR UPDATE SKIP LOCKED";
    let locked = transaction.query(sql, &[&keys]).await?;
    let locked: HashSet<Uuid> = locked.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let file_ids: Vec<i64> =
        files.iter().zip(&keys).filter(|(_, key)| locked.contains(*key)).map(|((id, _), _)| *id).collect();
    // A statement of its own, which sees whatever was committed before the locks were had.
    let rows = transaction
        .query(
            "SELECT file.id, file.uri, file.file_modified_time, file.size_in_bytes, file.etag,
                    file_load.file_changed_time,
                    file.superseded_by IS NULL AND file_load.file_id IS NOT NULL AND file_load.removed_time IS NULL,
                    coalesce(file_load.rows_rejected > 0, FALSE)
             FROM longshore.after_load
             JOIN longshore.file ON file.id = after_load.file_id
             LEFT JOIN longshore.file_load ON file_load.file_id = file.id
             WHERE after_load.file_id = ANY($1) AND after_load.done_time IS NULL AND after_load.due_time <= now()
             ORDER BY after_load.tries, after_load.due_time",
            &[&file_ids],
        )
        .await?;
    rows.iter().map(due).collect()
}

fn due(row: &Row) -> Result<DueAfterLoad, tokio_postgres::Error> {
    let stored = StoredFile {
        uri: row.try_get(1)?,
        modified_time: row.try_get(2)?,
        size_in_bytes: row.try_get(3)?,
        etag: row.try_get(4)?,
    };
    let file = LoadedFile { id: row.try_get(0)?, stored, changed_time: row.try_get(5)? };
    Ok(DueAfterLoad { file, is_loaded: row.try_get(6)?, has_rejects: row.try_get(7)? })
}

/// Of these files, which a store lists, those count as open again that had been gone when they were to be moved or deleted: the
/// store was not the right one then, such as the folder below a mount that was away.
pub async fn reopen_after_loads(
    client: &Client,
    dataset_id: i32,
    listed: &[StoredFile],
) -> Result<u64, tokio_postgres::Error> {
    let identities: Vec<Uuid> = listed.iter().map(|file| file.identity(dataset_id)).collect();
    client
        .execute(
            "UPDATE longshore.after_load
             SET tries = 0, due_time = now(), done_time = NULL, outcome = NULL
             FROM longshore.file
             WHERE after_load.dataset_id = $1 AND outcome = 'GONE'
               AND file.id = after_load.file_id AND file.identity = ANY($2)",
            &[&dataset_id, &identities],
        )
        .await
}

/// Records what has become of files, each given by its `longshore.file.id`, or why that failed: then it is due again after a
/// backoff with jitter of at most five minutes. What is recorded as done already stays as it is.
pub async fn record_after_loads(
    client: &impl GenericClient,
    outcomes: &[(i64, Result<AfterLoadOutcome, String>)],
) -> Result<(), tokio_postgres::Error> {
    let mut file_ids = Vec::with_capacity(outcomes.len());
    let (mut names, mut reasons, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for (file_id, outcome) in outcomes {
        let (name, reason, target) = match outcome {
            Ok(AfterLoadOutcome::Moved(target)) => (Some("MOVED"), None, Some(target.as_str())),
            Ok(AfterLoadOutcome::Deleted) => (Some("DELETED"), None, None),
            Ok(AfterLoadOutcome::Gone) => (Some("GONE"), None, None),
            Ok(AfterLoadOutcome::Left(reason)) => (Some("LEFT"), Some(reason.as_str()), None),
            Err(reason) => (None, Some(reason.as_str()), None),
        };
        file_ids.push(*file_id);
        names.push(name);
        reasons.push(reason);
        targets.push(target);
    }
    client
        .execute(
            "UPDATE longshore.after_load
             SET tries = tries + CASE WHEN ended.outcome IS NULL THEN 1 ELSE 0 END,
                 due_time = CASE WHEN ended.outcome IS NULL
                     THEN now() + make_interval(secs => least(300, 0.5 * power(2, least(tries, 20))) * (0.5 + random() / 2))
                     ELSE due_time END,
                 done_time = CASE WHEN ended.outcome IS NOT NULL THEN now() END,
                 outcome = ended.outcome, reason = ended.reason, moved_to = ended.moved_to
             FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS ended (file_id, outcome, reason, moved_to)
             WHERE after_load.file_id = ended.file_id AND done_time IS NULL",
            &[&file_ids, &names, &reasons, &targets],
        )
        .await?;
    Ok(())
}

/// Whether the step has failed for a file of the dataset and is still to be tried again.
pub async fn has_failing_after_loads(
    client: &Client,
    dataset_id: i32,
) -> Result<bool, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT FROM longshore.after_load
                            WHERE dataset_id = $1 AND done_time IS NULL AND tries > 0)",
            &[&dataset_id],
        )
        .await?;
    row.try_get(0)
}

/// Files for which the step is not done yet.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct AfterLoadCounts {
    /// All of them.
    pub open: i64,
    /// Those among them for which it has failed at least once.
    pub failing: i64,
}

/// What is recorded about the step for one file.
#[derive(Debug, Clone, Serialize)]
pub struct AfterLoadRecord {
    /// MOVED, DELETED, GONE or LEFT; `None` while it is not done.
    pub outcome: Option<String>,
    /// Why the last try failed, or why the file was left where it is.
    pub reason: Option<String>,
    /// Where the file lies now, if it was moved.
    pub moved_to: Option<String>,
    /// Tries that failed.
    pub tries: i32,
    /// When it is tried next.
    pub due_time: DateTime<Utc>,
    /// When it was done.
    pub done_time: Option<DateTime<Utc>>,
}
