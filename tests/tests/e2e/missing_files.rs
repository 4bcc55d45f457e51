//! Files that one process cannot see: a mount that is missing is an outage of its machine, a file that is deleted is gone.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use longshore_tests::{Process, Stage, eventually, loan_file, without_mount};

/// Nothing waits out its backoff.
const HURRY: &str = "UPDATE longshore.task SET due_time = now() WHERE id IN (
    SELECT id FROM longshore.task WHERE status = 'NEW' AND due_time > now() FOR UPDATE SKIP LOCKED)";
const FAILED: &str = "SELECT count(*) FROM longshore.task WHERE status = 'FAILED'";

/// A worker for which an empty folder lies where the inbox is, as on a host that has booted without its mount.
fn worker_without_mount(stage: &Stage, name: &str) -> Process {
    let command = without_mount(&stage.command(&["worker", "--concurrency", "4"]), &stage.inbox);
    Process::spawn(command, stage.folder().join(format!("{name}.log")))
}

fn put_files(stage: &Stage, files: u64) {
    for file in 0..files {
        stage.put(&format!("{file}.csv"), loan_file(file * 10 + 1..=file * 10 + 10));
    }
}

/// Ten minutes pass, for what was missed.
async fn ten_minutes_pass(stage: &Stage) {
    let client = stage.client().await;
    let pass = "UPDATE longshore.file SET missed_time = missed_time - interval '10 min' WHERE missed_time IS NOT NULL";
    client.batch_execute(pass).await.unwrap();
    client.batch_execute(HURRY).await.unwrap();
}

#[tokio::test]
async fn workers_without_their_mount_fail_no_file_and_one_with_it_loads_them() {
    // Tasks of one file, of some, and of all.
    for batch_bytes in ["1 B", "5 KiB", "1 GiB"] {
        let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", batch_bytes)]).await;
        put_files(&stage, 100);
        stage.scan().await;
        let tasks = stage.number("SELECT count(*) FROM longshore.task").await;
        let blind = [worker_without_mount(&stage, "one"), worker_without_mount(&stage, "two")];
        let _scanner = stage.spawn(&["scanner"]);
        let tried = "SELECT count(DISTINCT task_id) FROM longshore.attempt WHERE finished_time IS NOT NULL";
        eventually("each was tried", || async { stage.number(tried).await == tasks }).await;
        ten_minutes_pass(&stage).await;
        let tried_again = "SELECT count(*) FROM longshore.attempt WHERE finished_time IS NOT NULL";
        let before = stage.number(tried_again).await;
        eventually("they were tried again", || async {
            stage.number(tried_again).await >= before + 3 * tasks.min(10)
        })
        .await;
        assert_eq!(stage.number(FAILED).await, 0, "{batch_bytes}");
        let _worker = stage.spawn(&["worker", "--concurrency", "4"]);
        eventually("the rows", || async {
            stage.client().await.batch_execute(HURRY).await.unwrap();
            stage.loans().await == (1000, 1000)
        })
        .await;
        assert_eq!(stage.number(FAILED).await, 0, "{batch_bytes}");
        drop(blind);
    }
}

#[tokio::test]
async fn a_deleted_file_costs_its_neighbours_nothing_and_fails_once_workers_of_two_hosts_have_missed_it_ten_minutes_apart()
 {
    let stage = Stage::with_loans().await;
    put_files(&stage, 3);
    stage.scan().await;
    std::fs::remove_file(stage.inbox.join("1.csv")).unwrap();
    stage.drain().await;
    // Its neighbours are loaded, and it waits.
    assert_eq!(stage.loans().await, (20, 20));
    assert_eq!(stage.texts("SELECT status FROM longshore.etl_task ORDER BY 1").await, ["LOADED", "NEW"]);
    let first = stage.texts("SELECT missed_by FROM longshore.file WHERE missed_by IS NOT NULL").await;
    assert_eq!(first.len(), 1);
    // Another worker is too early.
    stage.client().await.batch_execute("UPDATE longshore.task SET due_time = now()").await.unwrap();
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.number(FAILED).await, 0);
    // A worker of the same host sees the same mounts.
    ten_minutes_pass(&stage).await;
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.number(FAILED).await, 0);
    stage.client().await.batch_execute("UPDATE longshore.file SET missed_by = 'another-host-1-abcd' WHERE missed_by IS NOT NULL; UPDATE longshore.task SET due_time = now()").await.unwrap();
    stage.scan().await;
    stage.drain().await;
    let failed = stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED'").await;
    assert!(failed.len() == 1 && failed[0].contains("gone from the store"), "{failed:?}");
}

#[tokio::test]
async fn a_missing_file_that_is_back_is_loaded() {
    let stage = Stage::with_loans().await;
    put_files(&stage, 2);
    stage.scan().await;
    let (path, away) = (stage.inbox.join("1.csv"), stage.folder().join("away"));
    std::fs::rename(&path, &away).unwrap();
    stage.drain().await;
    assert_eq!(stage.loans().await, (10, 10));
    std::fs::rename(&away, &path).unwrap();
    ten_minutes_pass(&stage).await;
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(20).await;
}

#[tokio::test]
async fn a_file_that_this_machine_may_not_read_waits_and_its_neighbours_load() {
    let stage = Stage::with_loans().await;
    put_files(&stage, 3);
    stage.scan().await;
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    mode(stage.folder(), 0o755);
    mode(&stage.inbox.join("1.csv"), 0o000);
    let mut command = stage.command(&["worker", "--drain"]);
    // Root may read everything.
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        let worker = command;
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(worker.get_program()).args(worker.get_args());
        command.envs(worker.get_envs().filter_map(|(variable, value)| Some((variable, value?))));
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stage.loans().await, (20, 20));
    let waiting = stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'NEW'").await;
    assert!(waiting.len() == 1 && waiting[0].contains("not permitted"), "{waiting:?}");
    mode(&stage.inbox.join("1.csv"), 0o644);
    ten_minutes_pass(&stage).await;
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(30).await;
}

#[tokio::test]
async fn a_deleted_file_fails_once_the_only_worker_and_a_scanner_have_missed_it() {
    let stage = Stage::with_loans().await;
    put_files(&stage, 2);
    stage.scan().await;
    std::fs::remove_file(stage.inbox.join("1.csv")).unwrap();
    let _worker = stage.spawn(&["worker"]);
    let missed = "SELECT count(*) FROM longshore.file WHERE missed_by IS NOT NULL";
    eventually("it was missed", || async { stage.number(missed).await == 1 }).await;
    ten_minutes_pass(&stage).await;
    let _scanner = stage.spawn(&["scanner"]);
    eventually("it is FAILED", || async { stage.number(FAILED).await == 1 }).await;
    // The same worker missed it each time.
    assert_eq!(stage.number("SELECT count(DISTINCT worker) FROM longshore.attempt").await, 1);
    assert_eq!(stage.loans().await, (10, 10));
}

#[tokio::test]
async fn a_file_that_the_scanner_sees_was_never_missed() {
    let stage = Stage::with_loans().await;
    put_files(&stage, 1);
    stage.scan().await;
    let (path, away) = (stage.inbox.join("0.csv"), stage.folder().join("away"));
    std::fs::rename(&path, &away).unwrap();
    stage.drain().await;
    let missed = "SELECT count(*) FROM longshore.file WHERE missed_time IS NOT NULL";
    assert_eq!(stage.number(missed).await, 1);
    std::fs::rename(&away, &path).unwrap();
    let _scanner = stage.spawn(&["scanner"]);
    eventually("it is missed no longer", || async { stage.number(missed).await == 0 }).await;
}
