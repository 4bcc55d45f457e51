//! What the statements of the main line read: a few entries for each task, however many others the ledger holds.

use longshore_tests::{Stage, eventually, loan_file};
use tokio_postgres::Client;

/// Tasks that were LOADED before the last ANALYZE: since then, its statistics say that all are.
const LOADED: i64 = 50_000;

/// Those that have come since, and wait.
const BACKLOG: i64 = 15_000;

/// A ledger of many tasks of one file each, with statistics of a quiet day; nothing renews them.
async fn with_a_backlog() -> Stage {
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", "100 B")]).await;
    let client = stage.client().await;
    let tables = ["task", "file", "attempt", "file_load"];
    for table in tables {
        let sql = format!("ALTER TABLE longshore.{table} SET (autovacuum_enabled = false)");
        client.batch_execute(&sql).await.unwrap();
    }
    add_tasks(&client, "loaded", LOADED, "'LOADED', now() - interval '1h', now() - interval '1h'").await;
    client
        .batch_execute(
            "INSERT INTO longshore.attempt (task_id, attempt, worker, dataset_version, finished_time, outcome)
             SELECT id, 1, 'w', 1, now(), 'LOADED' FROM longshore.task;
             INSERT INTO longshore.file_load (file_id, task_id, attempt, rows_read, rows_loaded, rows_rejected, bytes_read,
                                              first_block, end_block)
             SELECT id, task_id, 1, 0, 0, 0, 0, 0, 0 FROM longshore.file",
        )
        .await
        .unwrap();
    let vacuum = "VACUUM (ANALYZE) longshore.task, longshore.file, longshore.attempt, longshore.file_load";
    client.batch_execute(vacuum).await.unwrap();
    // Not due, so that the test need not load them.
    add_tasks(&client, "waiting", BACKLOG, "'NEW', now() + interval '50 min', NULL").await;
    stage
}

async fn add_tasks(client: &Client, name: &str, count: i64, status_due_published: &str) {
    let sql = format!(
        "CREATE TEMP TABLE added AS SELECT gen_random_uuid() AS id, n FROM generate_series(1, {count}) AS n;
         INSERT INTO longshore.task (id, dataset_id, status, due_time, published_time, attempt, publications)
         SELECT id, (SELECT id FROM longshore.dataset), {status_due_published}, 1, 1 FROM added;
         INSERT INTO longshore.file (dataset_id, task_id, uri, file_modified_time, size_in_bytes, identity)
         SELECT (SELECT id FROM longshore.dataset), id, 'file:///elsewhere/{name}/' || n, now() - interval '1 day', 1,
                gen_random_uuid() FROM added;
         DROP TABLE added"
    );
    client.batch_execute(&sql).await.unwrap();
}

/// Entries of indexes and rows of whole tables that were read so far, by all sessions that have ended.
async fn read(stage: &Stage) -> i64 {
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    eventually("the sessions have ended", || async { stage.number(sessions).await == 0 }).await;
    stage
        .number(
            "SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'longshore')
                  + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables
                     WHERE schemaname = 'longshore' AND relname IN ('task', 'file', 'attempt', 'file_load'))",
        )
        .await
}

#[tokio::test]
async fn a_backlog_that_the_statistics_do_not_know_costs_no_task_more() {
    const FILES: i64 = 20;
    let stage = with_a_backlog().await;
    for n in 1..=FILES.unsigned_abs() {
        stage.put(&format!("{n}.csv"), loan_file(n..=n));
    }
    let before = read(&stage).await;
    assert_eq!(stage.scan().await["published"], FILES);
    let scanned = read(&stage).await;
    stage.drain().await;
    let loaded = read(&stage).await;
    assert_eq!(stage.loans().await, (FILES, FILES));
    let (scan, load) = ((scanned - before) / FILES, (loaded - scanned) / FILES);
    // A statement that read the backlog, or all tasks, once a file would come to thousands.
    assert!(scan < 300 && load < 300, "the scan read {scan} entries a file, the worker {load}");
}

#[tokio::test]
async fn status_and_lists_read_what_is_open_and_not_what_is_loaded() {
    let stage = with_a_backlog().await;
    for (arguments, most) in [
        // Its NEW tasks are counted, by their index.
        (&["status"][..], BACKLOG + 1000),
        (&["dataset", "list"], 1000),
        (&["tasks"], 2000),
        (&["tasks", "--status", "FAILED"], 2000),
        (&["files"], 2000),
        (&["files", "--status", "FAILED"], 2000),
        (&["files", "--status", "REPLACED"], 2000),
        (&["files", "--status", "SCANNED"], 2000),
        (&["rejects", "loan_applications"], 2000),
    ] {
        let before = read(&stage).await;
        stage.ok(arguments).await;
        let entries = read(&stage).await - before;
        assert!(entries <= most, "{arguments:?} read {entries} entries");
    }
}

#[tokio::test]
async fn what_an_old_snapshot_keeps_of_the_queue_is_not_read_at_each_look() {
    let stage = Stage::with_loans().await;
    // Like a long load, or a backup.
    let snapshot = stage.client().await;
    snapshot.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await.unwrap();
    let client = stage.client().await;
    add_tasks(&client, "through", BACKLOG, "'NEW', now() - interval '1min', NULL").await;
    client
        .batch_execute("UPDATE longshore.task SET status = 'LOADED', published_time = now()")
        .await
        .unwrap();
    let _scanner = stage.spawn(&["scanner"]);
    let scans = "SELECT sum(idx_scan) FROM pg_stat_user_indexes WHERE indexrelname = 'task_unpublished'";
    eventually("twenty looks", || async { stage.number(scans).await >= 20 }).await;
    let entries = "SELECT sum(idx_tup_read) / sum(idx_scan) FROM pg_stat_user_indexes
                   WHERE indexrelname = 'task_unpublished'";
    let entries = stage.number(entries).await;
    assert!(entries < BACKLOG / 3, "a look reads {entries} entries");
}
