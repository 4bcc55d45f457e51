//! Told to stop, or killed: every row once all the same.

use longshore_tests::{Process, Stage, eventually, loan_file};

use crate::mid_copy;

const ROWS: u64 = 40_000;

/// A worker in the middle of a load of one file with the ids 1 to [`ROWS`].
async fn in_mid_load(stage: &Stage, environment: &[(&str, &str)]) -> Process {
    stage.put("a.csv", loan_file(1..=ROWS));
    stage.scan().await;
    stage.worker_in_mid_load(environment).await
}

#[tokio::test]
async fn sigterm_gives_the_task_back_after_the_grace_and_another_worker_loads_it() {
    let stage = Stage::with_loans().await;
    let mut worker = in_mid_load(&stage, &[("LONGSHORE_GRACE", "0s")]).await;
    worker.signal("TERM");
    assert!(worker.ended().await.success(), "{}", worker.log());
    assert!(worker.log().contains("worker stopped: told to"), "{}", worker.log());
    let task = stage
        .texts("SELECT concat(status, ' ', deaths, ' ', published_time IS NULL) FROM longshore.task")
        .await;
    assert_eq!(task, ["NEW 0 t"]);
    assert_eq!(stage.texts("SELECT outcome FROM longshore.attempt").await, ["STOPPED"]);
    assert_eq!(stage.loans().await.0, 0);
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(ROWS as i64).await;
}

#[tokio::test]
async fn sigterm_lets_a_load_finish_within_the_grace() {
    let stage = Stage::with_loans().await;
    let mut worker = in_mid_load(&stage, &[("LONGSHORE_GRACE", "60s")]).await;
    worker.signal("TERM");
    assert!(worker.ended().await.success(), "{}", worker.log());
    stage.assert_each_loan_once(ROWS as i64).await;
    assert_eq!(stage.queue_length("tasks").await, 0);
}

#[tokio::test]
async fn sigkill_in_mid_load_and_another_worker_loads_the_task() {
    let stage = Stage::with_loans().await;
    let mut worker = in_mid_load(&stage, &[]).await;
    worker.signal("KILL");
    assert!(!worker.ended().await.success());
    let _scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    eventually("all rows", || async { stage.loans().await.0 == ROWS as i64 }).await;
    stage.assert_each_loan_once(ROWS as i64).await;
    let outcomes = stage.texts("SELECT outcome FROM longshore.attempt ORDER BY attempt").await;
    assert_eq!(outcomes, ["DIED", "LOADED"]);
    assert_eq!(stage.number("SELECT deaths FROM longshore.task").await, 1);
}

#[tokio::test]
async fn a_task_that_kills_its_workers_is_failed_as_poison() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_MAX_DEATHS", "2")]).await;
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    for _ in 0..2 {
        // Killed in mid-load, as by the kernel when memory runs out.
        let mut worker = stage.spawn_with(&["worker"], &[("FAILPOINTS", "worker::read_chunk=sleep(60000)")]);
        worker.logs("claimed").await;
        worker.signal("KILL");
        worker.ended().await;
        eventually("the dead worker's lease is free", || async {
            stage
                .number(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                )
                .await
                == 0
        })
        .await;
        stage.scan().await;
    }
    let failed = stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED'").await;
    assert!(failed[0].contains("poison: 2 workers died"), "{failed:?}");
}

#[tokio::test]
async fn a_worker_that_was_taken_over_loads_nothing() {
    let stage = Stage::with_loans().await;
    let worker = in_mid_load(&stage, &[]).await;
    // Somebody settles the attempt behind its back.
    let take_over = "UPDATE longshore.task SET status = 'NEW', published_time = NULL";
    stage.client().await.batch_execute(take_over).await.unwrap();
    worker.logs("another attempt has taken over").await;
    assert_eq!(stage.loans().await.0, 0);
    drop(worker);
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(ROWS as i64).await;
}

#[tokio::test]
async fn a_second_sigterm_stops_a_worker_at_once_and_loses_nothing() {
    let stage = Stage::with_loans().await;
    let mut worker = mid_copy::worker(&stage, &[("LONGSHORE_GRACE", "10m")]).await;
    worker.signal("TERM");
    worker.logs("finishing loads within").await;
    worker.signal("TERM");
    assert_eq!(worker.ended().await.code(), Some(1), "{}", worker.log());
    worker.logs("second signal: stopping at once").await;
    assert_eq!(stage.loans().await.0, 0);
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(mid_copy::ROWS).await;
    assert_eq!(stage.queue_length("tasks").await, 0);
}
