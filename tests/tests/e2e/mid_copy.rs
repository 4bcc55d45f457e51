//! A worker in the middle of a COPY: what the tests of faults begin with, and how they end.

use longshore_tests::{Process, Stage, eventually, loan_file};

/// Rows of the file that is being loaded.
pub(crate) const ROWS: i64 = 40_000;

/// Backends that are inside a COPY of this database and have taken rows.
const COPYING: &str =
    "FROM pg_stat_progress_copy WHERE datname = current_database() AND tuples_processed > 0";

/// A worker that has sent rows of the only file, with the ids 1 to [`ROWS`], and still reads it for seconds. Its next loads
/// are not slowed down. It loads one task at a time.
pub(crate) async fn worker(stage: &Stage, environment: &[(&str, &str)]) -> Process {
    stage.put("a.csv", loan_file(1..=ROWS as u64));
    stage.scan().await;
    // The file has 17 chunks.
    let mut all =
        vec![("FAILPOINTS", "worker::read_chunk=17*sleep(400)->off"), ("LONGSHORE_CONCURRENCY", "1")];
    all.extend_from_slice(environment);
    let worker = stage.spawn_with(&["worker"], &all);
    let copying = format!("SELECT count(*) {COPYING}");
    eventually("a COPY has taken rows", || async { stage.number(&copying).await == 1 }).await;
    assert_eq!(stage.loans().await.0, 0);
    worker
}

/// The process id of the backend that is inside the COPY.
pub(crate) async fn backend(stage: &Stage) -> i64 {
    stage.number(&format!("SELECT pid {COPYING}")).await
}

/// Waits until the worker, which has lost its consumer, has another one.
pub(crate) async fn assert_consumes_again(stage: &Stage, worker: &Process) {
    worker.logs("cannot consume").await;
    eventually("consuming again", || async { worker.log().matches("consuming").count() >= 2 }).await;
    eventually("one consumer", || async { stage.consumers().await == 1 }).await;
}

/// Waits until the file is LOADED, and asserts: each row once, no death counted, and one attempt for each outcome.
pub(crate) async fn assert_loads_once(stage: &Stage, outcomes: &[&str]) {
    let open = "SELECT count(*) FROM longshore.task WHERE status <> 'LOADED'";
    eventually("the task is LOADED", || async { stage.number(open).await == 0 }).await;
    stage.assert_each_loan_once(ROWS).await;
    assert_eq!(stage.texts("SELECT outcome FROM longshore.attempt ORDER BY attempt").await, outcomes);
    assert_eq!(stage.number("SELECT sum(deaths) FROM longshore.task").await, 0);
}

/// Asserts that the worker takes the next task: a second file, with the ids after [`ROWS`], loads as well. Nothing waits in
/// the queue then, and no session is left inside a transaction.
pub(crate) async fn assert_goes_on(stage: &Stage) {
    let rows = ROWS + 1000;
    stage.put("b.csv", loan_file(ROWS as u64 + 1..=rows as u64));
    stage.scan().await;
    eventually("the next file is loaded", || async { stage.loans().await.0 == rows }).await;
    stage.assert_each_loan_once(rows).await;
    eventually("the queue is empty", || async { stage.queue_length("tasks").await == 0 }).await;
    let stuck = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    assert_eq!(stage.number(stuck).await, 0);
}
