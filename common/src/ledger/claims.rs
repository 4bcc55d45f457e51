//! Claiming a task: the lease first, then the claim as a committed transaction of its own.

use chrono::{DateTime, Utc};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Client, Row, types::Json};
use uuid::Uuid;

use super::{
    leases::{Lock, unlock},
    rescue::{Gone, Rescue, rescue},
    splitting::{SUSPECT_DEATHS, give_half_away, is_to_be_halved},
    target_wait::{self, WAITS_FOR_TABLE},
};
use crate::{dataset::Dataset, store::StoredFile};

/// A task in our hands.
#[derive(Debug)]
pub struct Claim {
    /// The task.
    pub task_id: Uuid,
    /// The advisory lock that this session holds until the task is settled.
    pub lease_key: i64,
    /// The backend of that session.
    pub backend_pid: i32,
    /// The fence: every statement about this task names it.
    pub attempt: i32,
    /// `longshore.dataset.id`.
    pub dataset_id: i32,
    /// Its dataset waits for its target table, and this task tries whether the table takes rows again.
    pub tries_table: bool,
    /// The spec that was current at the claim.
    pub spec: Dataset,
    /// What the root of the source was to the last scan.
    pub source_mark: Option<String>,
    /// The task's files, in the order of their modified time.
    pub files: Vec<TaskFile>,
}

impl Claim {
    /// The same claim with these of its files.
    #[must_use]
    pub fn with_files(&self, files: Vec<TaskFile>) -> Self {
        Self { spec: self.spec.clone(), source_mark: self.source_mark.clone(), files, ..*self }
    }
}

/// A file of a task.
#[derive(Debug, Clone)]
pub struct TaskFile {
    /// `longshore.file.id`.
    pub id: i64,
    /// The version that was scanned.
    pub stored: StoredFile,
}

/// What became of trying to claim.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// It is ours.
    Claimed(Box<Claim>),
    /// LOADED, FAILED or not yet due: the message has nothing more to say.
    NothingToDo(&'static str),
    /// Somebody holds its lease: a worker that loads it, or one that died or settled it a moment ago.
    Held(Held),
    /// More than one of its workers died while loading it: it is to be claimed when nothing else is loaded beside it.
    MustBeAlone,
    /// There is no such task.
    Unknown,
}

/// A task whose lease is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// PROCESSING: its holder works on it, unless it has just died.
    Processing,
    /// NEW with this attempt: its holder has settled it, and releases the lease next, unless it is stopped.
    New(i32),
}

/// How a worker claims.
#[derive(Debug, Clone, Copy)]
pub struct Claimant<'a> {
    /// Its name, for the record.
    pub worker: &'a str,
    /// After how many deaths a task is FAILED.
    pub max_deaths: i32,
    /// Whether it loads nothing else at present, and will not until this task is settled.
    pub is_alone: bool,
    /// The id of the task that gets half of the files, if too many workers have died of them. Version 7.
    pub other_half: Uuid,
}

struct Seen {
    lease_key: i64,
    status: String,
    is_due: bool,
    attempt: i32,
    deaths: i32,
    has_lease: bool,
    waits_for_table: bool,
}

/// Tries to take the task's lease and to claim it, on the connection that will load it.
///
/// After an error the connection must be closed: it may hold the lease.
pub async fn claim(
    client: &mut ClientWrapper,
    task_id: Uuid,
    claimant: Claimant<'_>,
) -> Result<ClaimOutcome, tokio_postgres::Error> {
    let Some(seen) = look_and_lock(client, task_id).await? else { return Ok(ClaimOutcome::Unknown) };
    match (seen.status.as_str(), seen.is_due) {
        ("LOADED", _) => return Ok(ClaimOutcome::NothingToDo("it is loaded")),
        ("FAILED", _) => return Ok(ClaimOutcome::NothingToDo("it has failed")),
        ("NEW", false) => return Ok(ClaimOutcome::NothingToDo("it is not due yet")),
        _ => {}
    }
    if seen.waits_for_table && seen.status == "NEW" {
        if seen.has_lease {
            unlock(client, Lock::Task(seen.lease_key)).await?;
        }
        target_wait::leave_to_turn(client, task_id).await?;
        return Ok(ClaimOutcome::NothingToDo("its dataset waits for its target table"));
    }
    if !seen.has_lease {
        return Ok(ClaimOutcome::Held(match seen.status.as_str() {
            "PROCESSING" => Held::Processing,
            _ => Held::New(seen.attempt),
        }));
    }
    let lease = Lock::Task(seen.lease_key);
    let mut deaths = seen.deaths;
    if seen.status == "PROCESSING" {
        // Its worker is gone, or we would not hold the lease.
        match rescue(client, task_id, seen.attempt, Gone::Died, claimant.max_deaths).await? {
            Rescue::New => deaths += 1,
            Rescue::Poison => {}
            // Settled between the look and the lease, or another was quicker to rescue it: the next look tells.
            Rescue::NotNeeded => {
                unlock(client, lease).await?;
                return Ok(ClaimOutcome::Held(Held::Processing));
            }
        }
    }
    if deaths >= SUSPECT_DEATHS && !claimant.is_alone {
        unlock(client, lease).await?;
        return Ok(ClaimOutcome::MustBeAlone);
    }
    match take(client, task_id, claimant).await? {
        Some(claim) => Ok(ClaimOutcome::Claimed(Box::new(claim))),
        None => {
            unlock(client, lease).await?;
            Ok(ClaimOutcome::NothingToDo("it was settled meanwhile"))
        }
    }
}

/// Has the task published again a little later: for a message that came while the task was NEW and its lease not free.
///
/// To be committed before that message is acked. Given back to the queue instead, it would go round and round for as long
/// as a stopped process keeps the lease.
pub async fn publish_again_later(
    client: &Client,
    task_id: Uuid,
    attempt: i32,
) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            "UPDATE longshore.task
             SET published_time = NULL, due_time = now() + interval '1s', modified_time = now()
             WHERE id = $1 AND attempt = $2 AND status || '' = 'NEW' AND longshore.is_due(due_time)",
            &[&task_id, &attempt],
        )
        .await?;
    Ok(())
}

/// What the task is like, and its lease if it can be claimed and nobody has it.
///
/// The lease comes before the claim commits: between a committed claim and a lock taken after it, others would see a
/// PROCESSING task whose lease is free, and take a healthy worker for dead.
async fn look_and_lock(client: &ClientWrapper, task_id: Uuid) -> Result<Option<Seen>, tokio_postgres::Error> {
    let statement = client
        .prepare_cached(&format!(
            "SELECT lease_key, status, longshore.is_due(due_time), attempt, deaths,
                    CASE WHEN status = 'PROCESSING' OR status = 'NEW' AND longshore.is_due(due_time)
                         THEN pg_try_advisory_lock(lease_key) ELSE FALSE END,
                    {WAITS_FOR_TABLE}
             FROM longshore.task WHERE id = $1"
        ))
        .await?;
    let row = client.query_opt(&statement, &[&task_id]).await?;
    Ok(row.map(|row| Seen {
        lease_key: row.get(0),
        status: row.get(1),
        is_due: row.get(2),
        attempt: row.get(3),
        deaths: row.get(4),
        has_lease: row.get(5),
        waits_for_table: row.get(6),
    }))
}

async fn take(
    client: &mut ClientWrapper,
    task_id: Uuid,
    claimant: Claimant<'_>,
) -> Result<Option<Claim>, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    let claiming = transaction
        .prepare_cached(
            "WITH claimed AS (
                 UPDATE longshore.task SET status = 'PROCESSING', attempt = attempt + 1, modified_time = now()
                 WHERE id = $1 AND status || '' = 'NEW' AND longshore.is_due(due_time)
                 RETURNING id, lease_key, attempt, dataset_id, deaths
             ), recorded AS (
                 INSERT INTO longshore.attempt (task_id, attempt, worker, dataset_version)
                 SELECT claimed.id, claimed.attempt, $2, dataset.current_version
                 FROM claimed JOIN longshore.dataset ON dataset.id = claimed.dataset_id
             )
             SELECT claimed.lease_key, pg_backend_pid(), claimed.attempt, claimed.dataset_id, dataset_version.spec,
                    EXISTS (SELECT FROM longshore.target_wait WHERE task_id = claimed.id), claimed.deaths,
                    dataset.source_mark
             FROM claimed
             JOIN longshore.dataset ON dataset.id = claimed.dataset_id
             JOIN longshore.dataset_version
               ON dataset_version.dataset_id = dataset.id AND dataset_version.version = dataset.current_version",
        )
        .await?;
    let listing = transaction
        .prepare_cached(
            "SELECT id, uri, file_modified_time, size_in_bytes, etag FROM longshore.file
             WHERE task_id = $1 ORDER BY file_modified_time, id",
        )
        .await?;
    // In one round trip: only who has the lease changes which files these are.
    let claimed = async { transaction.query_opt(&claiming, &[&task_id, &claimant.worker]).await };
    let files = async { transaction.query(&listing, &[&task_id]).await };
    let (claimed, files) = tokio::try_join!(claimed, files)?;
    let Some(claimed) = claimed else { return Ok(None) };
    let mut files: Vec<TaskFile> = files.iter().map(task_file).collect();
    if is_to_be_halved(claimed.try_get(6)?, claimant.max_deaths, files.len()) {
        let others: Vec<i64> = files.split_off(files.len().div_ceil(2)).iter().map(|file| file.id).collect();
        give_half_away(&transaction, task_id, claimant.other_half, &others, claimant.max_deaths).await?;
    }
    let Json(spec) = claimed.try_get::<_, Json<Dataset>>(4)?;
    let claim = Claim {
        task_id,
        lease_key: claimed.try_get(0)?,
        backend_pid: claimed.try_get(1)?,
        attempt: claimed.try_get(2)?,
        dataset_id: claimed.try_get(3)?,
        tries_table: claimed.try_get(5)?,
        spec,
        source_mark: claimed.try_get(7)?,
        files,
    };
    transaction.commit().await?;
    Ok(Some(claim))
}

fn task_file(row: &Row) -> TaskFile {
    let stored = StoredFile {
        uri: row.get(1),
        modified_time: row.get::<_, DateTime<Utc>>(2),
        size_in_bytes: row.get(3),
        etag: row.get(4),
    };
    TaskFile { id: row.get(0), stored }
}

/// A claim of which its worker does not know: the answer to its COMMIT never came.
#[derive(Debug, Clone, Copy)]
pub struct LostClaim {
    /// The advisory lock that the lost session held, or still holds.
    pub lease_key: i64,
    /// The attempt that it has begun.
    pub attempt: i32,
    /// It was recorded as DIED meanwhile.
    pub is_dead: bool,
}

/// The worker's newest attempt at the task, if it has no end or only a death. It may also be one that the worker runs: then
/// the lease is not free.
pub async fn lost_claim(
    client: &Client,
    task_id: Uuid,
    worker: &str,
) -> Result<Option<LostClaim>, tokio_postgres::Error> {
    let row = client
        .query_opt(
            "SELECT lease_key, attempt.attempt, outcome IS NOT NULL
             FROM longshore.attempt JOIN longshore.task ON task.id = attempt.task_id
             WHERE task_id = $1 AND worker = $2 AND (outcome IS NULL OR outcome = 'DIED')
             ORDER BY attempt.attempt DESC LIMIT 1",
            &[&task_id, &worker],
        )
        .await?;
    Ok(row.map(|row| LostClaim { lease_key: row.get(0), attempt: row.get(1), is_dead: row.get(2) }))
}

/// Has a task that cannot be claimed published again a little later: a transient failure without an attempt. To be committed before its message is
/// acked: given back to the queue, it would return to its head and keep healthy tasks waiting.
pub async fn put_off(client: &Client, task_id: Uuid, cause: &str) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            "UPDATE longshore.task
             SET published_time = NULL, due_time = now() + interval '5s', failure_msg = $2,
                 first_failure_time = coalesce(first_failure_time, now()), modified_time = now()
             WHERE id = $1 AND status || '' = 'NEW' AND longshore.is_due(due_time)",
            &[&task_id, &cause],
        )
        .await?;
    Ok(())
}

/// Whether the task waits for a worker.
pub async fn is_new(client: &Client, task_id: Uuid) -> Result<bool, tokio_postgres::Error> {
    let sql = "SELECT EXISTS (SELECT FROM longshore.task WHERE id = $1 AND status || '' = 'NEW')";
    client.query_one(sql, &[&task_id]).await?.try_get(0)
}

/// Whether the task is FAILED.
pub async fn is_failed(client: &Client, task_id: Uuid) -> Result<bool, tokio_postgres::Error> {
    let sql = "SELECT EXISTS (SELECT FROM longshore.task WHERE id = $1 AND status = 'FAILED')";
    client.query_one(sql, &[&task_id]).await?.try_get(0)
}

/// Whether the attempt is still the one that runs. Once it is not, it never is again.
pub async fn is_running(client: &Client, task_id: Uuid, attempt: i32) -> Result<bool, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT FROM longshore.task WHERE id = $1 AND attempt = $2 AND status || '' = 'PROCESSING')",
            &[&task_id, &attempt],
        )
        .await?;
    row.try_get(0)
}

/// How far a running attempt is.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    /// The task.
    pub task_id: Uuid,
    /// Its attempt.
    pub attempt: i32,
    /// After decompression.
    pub bytes_read: u64,
    /// Loaded and rejected.
    pub rows_read: u64,
}

/// Records that the attempts are alive and how far they are; gives how many of them still run.
///
/// One that somebody has locked is left out: its own load, which is about to commit, or a stranger; the others' signs of
/// life must not wait for that.
pub async fn heartbeat(client: &Client, beats: &[Heartbeat]) -> Result<u64, tokio_postgres::Error> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let task_ids: Vec<Uuid> = beats.iter().map(|beat| beat.task_id).collect();
    let attempts: Vec<i32> = beats.iter().map(|beat| beat.attempt).collect();
    let bytes_read: Vec<i64> = beats.iter().map(|beat| count(beat.bytes_read)).collect();
    let rows_read: Vec<i64> = beats.iter().map(|beat| count(beat.rows_read)).collect();
    client
        .execute(
            "WITH alive AS (
                 SELECT attempt.task_id, attempt.attempt, beat.bytes_read, beat.rows_read
                 FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::bigint[])
                     AS beat (task_id, attempt, bytes_read, rows_read)
                 JOIN longshore.attempt USING (task_id, attempt)
                 WHERE finished_time IS NULL
                 FOR UPDATE OF attempt SKIP LOCKED
             )
             UPDATE longshore.attempt
             SET heartbeat_time = now(), bytes_read = alive.bytes_read, rows_read = alive.rows_read
             FROM alive WHERE attempt.task_id = alive.task_id AND attempt.attempt = alive.attempt",
            &[&task_ids, &attempts, &bytes_read, &rows_read],
        )
        .await
}
