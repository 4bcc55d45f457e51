//! Files that a load could not find. A host may lack a mount, so workers of two hosts, or a worker and a scanner, must have missed a
//! file before it counts as gone.

use std::time::Duration;

use deadpool_postgres::Transaction;
use tokio_postgres::Client;
use uuid::Uuid;

use super::settlement::settling_and;
use crate::store::StoredFile;

/// Both looks that missed a file are at least this far apart.
const APART: &str = "interval '10 minutes'";

/// Moves files that may be there the next time out of their task, each into a NEW task of its own, so that the rest can load
/// now. Each is given by its `longshore.file.id`, why it could not be read, and whether it was missing.
pub async fn set_aside(
    transaction: &Transaction<'_>,
    task_id: Uuid,
    attempt: i32,
    files: &[(i64, &str, bool)],
) -> Result<(), tokio_postgres::Error> {
    let own_tasks: Vec<Uuid> = files.iter().map(|_| Uuid::now_v7()).collect();
    let ids: Vec<i64> = files.iter().map(|(id, ..)| *id).collect();
    let reasons: Vec<&str> = files.iter().map(|(_, reason, _)| *reason).collect();
    let are_missing: Vec<bool> = files.iter().map(|(.., is_missing)| *is_missing).collect();
    transaction
        .execute(
            "INSERT INTO longshore.task (id, dataset_id, failure_msg, first_failure_time, due_time, traceparent,
                                         created_time, modified_time)
             SELECT own.id, dataset_id, own.reason, clock_timestamp(), clock_timestamp() + interval '1s', traceparent,
                    clock_timestamp(), clock_timestamp()
             FROM longshore.task, unnest($2::uuid[], $3::text[]) AS own (id, reason)
             WHERE task.id = $1",
            &[&task_id, &own_tasks, &reasons],
        )
        .await?;
    transaction
        .execute(
            "UPDATE longshore.file
             SET task_id = own.task_id, modified_time = clock_timestamp(),
                 missed_time = CASE WHEN own.is_missing THEN coalesce(missed_time, clock_timestamp()) ELSE missed_time END,
                 missed_by = CASE WHEN own.is_missing THEN coalesce(missed_by, attempt.worker) ELSE missed_by END
             FROM unnest($3::bigint[], $4::uuid[], $5::boolean[]) AS own (file_id, task_id, is_missing),
                  longshore.attempt
             WHERE file.id = own.file_id AND file.task_id = $1 AND attempt.task_id = $1 AND attempt.attempt = $2",
            &[&task_id, &attempt, &ids, &own_tasks, &are_missing],
        )
        .await?;
    Ok(())
}

/// Settles the attempt of a task whose only file was missing: FAILED if another host or a scanner missed it long enough ago, or once
/// `retry_for` has passed since the first failure; else NEW again, due after a backoff.
pub async fn miss(
    client: &Client,
    task_id: Uuid,
    attempt: i32,
    error: &str,
    retry_for: Duration,
) -> Result<bool, tokio_postgres::Error> {
    let (first_host, host) = (host_of("missed_by"), host_of("attempt.worker"));
    let statement = settling_and(
        &format!(
            "UPDATE longshore.task
             SET status = CASE WHEN first_failure_time <= now() - make_interval(secs => $4) OR EXISTS (
                     SELECT FROM longshore.file
                     JOIN longshore.attempt ON attempt.task_id = $1 AND attempt.attempt = $2
                     WHERE file.task_id = $1 AND missed_time <= now() - {APART} AND {first_host} <> {host}
                 ) THEN 'FAILED' ELSE 'NEW' END,
                 first_failure_time = coalesce(first_failure_time, now()),
                 due_time = now() + (
                     SELECT make_interval(secs => least(300, 0.5 * power(2, least(count(*), 20))) * (0.5 + random() / 2))
                     FROM longshore.attempt
                     WHERE task_id = $1 AND outcome = 'RETRY' AND finished_time >= first_failure_time
                 ),
                 published_time = NULL, failure_msg = $3, modified_time = now()
             WHERE id = $1 AND attempt = $2 AND status = 'PROCESSING'
             RETURNING id, attempt, CASE status WHEN 'NEW' THEN 'RETRY' ELSE status END AS outcome, failure_msg"
        ),
        ", missed AS (
             UPDATE longshore.file
             SET missed_time = coalesce(missed_time, now()), missed_by = coalesce(missed_by, attempt.worker)
             FROM settled JOIN longshore.attempt ON attempt.task_id = settled.id AND attempt.attempt = settled.attempt
             WHERE file.task_id = settled.id
         )",
    );
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&task_id, &attempt, &error, &retry_for.as_secs_f64()];
    Ok(client.execute(&statement, &parameters).await? == 1)
}

/// A file that a worker has missed.
#[derive(Debug)]
pub struct MissedFile {
    /// `longshore.file.id`.
    pub id: i64,
    /// `longshore.dataset.id`.
    pub dataset_id: i32,
    /// What the root of the dataset's source was to the last scan.
    pub source_mark: Option<String>,
    /// The version that was scanned.
    pub stored: StoredFile,
}

/// At most `limit` files whose tasks wait, and that a worker has missed: first those that no scanner has missed, the oldest first.
pub async fn missed_files(client: &Client, limit: i64) -> Result<Vec<MissedFile>, tokio_postgres::Error> {
    let statement =
        "SELECT file.id, file.dataset_id, source_mark, uri, file_modified_time, size_in_bytes, etag
         FROM longshore.file
         JOIN longshore.task ON task.id = file.task_id
         JOIN longshore.dataset ON dataset.id = file.dataset_id
         WHERE missed_time IS NOT NULL AND task.status = 'NEW'
         ORDER BY missed_by = $2, missed_time LIMIT $1";
    let rows = client.query(statement, &[&limit, &SCANNER]).await?;
    let missed = |row: &tokio_postgres::Row| MissedFile {
        id: row.get(0),
        dataset_id: row.get(1),
        source_mark: row.get(2),
        stored: StoredFile {
            uri: row.get(3),
            modified_time: row.get(4),
            size_in_bytes: row.get(5),
            etag: row.get(6),
        },
    };
    Ok(rows.iter().map(missed).collect())
}

/// Any scanner; no worker has a name like this.
const SCANNER: &str = "a scanner";

/// Records that a scanner misses these files, too, where a worker has long enough ago: the next worker that does makes their tasks
/// FAILED.
pub async fn missed_by_scanner(client: &Client, file_ids: &[i64]) -> Result<u64, tokio_postgres::Error> {
    let update = format!(
        "UPDATE longshore.file SET missed_by = $2
         WHERE id = ANY($1) AND missed_time <= now() - {APART} AND missed_by <> $2"
    );
    client.execute(&update, &[&file_ids, &SCANNER]).await
}

/// Records that a scanner sees these files: what a worker has missed of them counts for nothing.
pub async fn seen_by_scanner(client: &Client, file_ids: &[i64]) -> Result<u64, tokio_postgres::Error> {
    let update = "UPDATE longshore.file SET missed_time = NULL, missed_by = NULL
                  WHERE id = ANY($1) AND missed_time IS NOT NULL";
    client.execute(update, &[&file_ids]).await
}

/// A name that no other worker has had: its host, its process and a random part.
pub fn worker_name(host: &str) -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("{host}-{}-{}", std::process::id(), &random[..4])
}

/// SQL: the host in a worker's name. Workers of one host see the same mounts, also one that was started again.
fn host_of(worker: &str) -> String {
    format!("regexp_replace({worker}, '-[0-9]+-[0-9a-f]{{4}}$', '')")
}

/// Records what the root of a dataset's source was to a scan of this version of its spec that found something in it.
pub async fn record_source_mark(
    client: &Client,
    dataset_id: i32,
    version: i32,
    mark: &str,
) -> Result<(), tokio_postgres::Error> {
    let update = "UPDATE longshore.dataset SET source_mark = $3
                  WHERE id = $1 AND current_version = $2 AND source_mark IS DISTINCT FROM $3";
    client.execute(update, &[&dataset_id, &version, &mark]).await?;
    Ok(())
}
