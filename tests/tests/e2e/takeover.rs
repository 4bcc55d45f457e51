//! Workers and scanners that are stopped, dead or too many: the work goes on, every row once.

use std::cell::RefCell;

use longshore_tests::{Process, Stage, eventually, loan_file};

const ROWS: u64 = 40_000;
/// Ends who is silent soon; the least that the commands take.
const SHORT_LIMIT: (&str, &str) = ("LONGSHORE_STALL_LIMIT", "1s");
const EVERY_MINUTE: (&str, &str) = ("LONGSHORE_SCHEDULE", "* * * * *");

#[tokio::test]
async fn a_stopped_worker_loses_its_task_loads_nothing_when_it_wakes_and_takes_its_death_back() {
    let stage = Stage::with_loans_and(&[SHORT_LIMIT]).await;
    stage.put("a.csv", loan_file(1..=ROWS));
    stage.scan().await;
    // Only this one goes by the default limit: it must not give its load up by itself.
    let stopped = stage.worker_in_mid_load(&[("LONGSHORE_STALL_LIMIT", "60s")]).await;
    stopped.signal("STOP");
    let scanner = stage.spawn(&["scanner"]);
    scanner.logs("ended the session of a silent worker").await;
    let _worker = stage.spawn(&["worker"]);
    eventually("all rows", || async { stage.loans().await.0 == ROWS as i64 }).await;
    assert_eq!(stage.number("SELECT deaths FROM longshore.task").await, 1);
    stopped.signal("CONT");
    stopped.logs("this worker lives, and that is not held against the task").await;
    stage.assert_each_loan_once(ROWS as i64).await;
    assert_eq!(stage.number("SELECT deaths FROM longshore.task").await, 0);
    let outcomes = stage.texts("SELECT outcome FROM longshore.attempt ORDER BY attempt").await;
    assert_eq!(outcomes, ["RETRY", "LOADED"]);
}

/// Runs a worker until it dies or has nothing left to do.
async fn runs_until_it_dies(stage: &Stage, fail_point: &str) {
    let worker = stage.spawn_with(&["worker", "--concurrency", "2"], &[("FAILPOINTS", fail_point)]);
    let worker = RefCell::new(worker);
    let open = "SELECT count(*) FROM longshore.task WHERE status IN ('NEW', 'PROCESSING')";
    eventually("the worker is dead, or nothing is left to do", || async {
        let is_dead = worker.borrow_mut().has_ended();
        is_dead || stage.number(open).await == 0
    })
    .await;
}

#[tokio::test]
async fn poison_is_failed_with_what_is_known_and_its_neighbour_loads() {
    let stage =
        Stage::with_loans_and(&[("LONGSHORE_MAX_DEATHS", "3"), ("LONGSHORE_BATCH_BYTES", "1 KiB")]).await;
    stage.put("poison.csv", loan_file(1..=ROWS));
    stage.put("neighbour.csv", loan_file(ROWS + 1..=ROWS + 10_000));
    stage.scan().await;
    // A worker dies at its ninth chunk: the neighbour has five, poison has twenty.
    for _ in 0..5 {
        runs_until_it_dies(&stage, "worker::read_chunk=8*sleep(100)->return(kill)").await;
        stage.scan().await;
    }
    let failed = stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED'").await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(
        failed[0].starts_with("poison: 3 workers died while they loaded it; the last was "),
        "{failed:?}"
    );
    assert!(failed[0].contains("its last heartbeat, at "), "{failed:?}");
    let neighbour =
        "SELECT concat(status, ' ', deaths) FROM longshore.etl_task JOIN longshore.task USING (id, status)
        WHERE files LIKE '%neighbour.csv'";
    // Both are loaded alone from the second death on.
    let neighbour = stage.texts(neighbour).await;
    assert!(["LOADED 1", "LOADED 2"].contains(&neighbour[0].as_str()), "{neighbour:?}");
    assert_eq!(stage.loans().await, (10_000, 10_000));
}

/// A scanner that is about to record the file in the inbox, and blocks there.
async fn scanner_in_mid_scan(stage: &Stage) -> Process {
    let scanner = stage
        .spawn_with(&["scanner"], &[("FAILPOINTS", "scanner::before_enlist=sleep(600000)"), EVERY_MINUTE]);
    let scanning = "SELECT count(*) FROM longshore.scan WHERE finished_time IS NULL";
    eventually("a scan", || async { stage.number(scanning).await == 1 }).await;
    scanner
}

#[tokio::test]
async fn a_stopped_scanner_loses_its_scan_to_another() {
    let stage = Stage::with_loans_and(&[SHORT_LIMIT, EVERY_MINUTE]).await;
    stage.put("a.csv", loan_file(1..=10));
    let stopped = scanner_in_mid_scan(&stage).await;
    stopped.signal("STOP");
    let scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    eventually("the rows", || async { stage.loans().await == (10, 10) }).await;
    assert!(scanner.log().contains("ended a session that held a lock"), "{}", scanner.log());
}

#[tokio::test]
async fn a_killed_scanner_leaves_its_scan_to_another() {
    let stage = Stage::with_loans_and(&[EVERY_MINUTE]).await;
    stage.put("a.csv", loan_file(1..=10));
    let mut killed = scanner_in_mid_scan(&stage).await;
    let other = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    other.logs("scanner started").await;
    killed.signal("KILL");
    killed.ended().await;
    // Long before the schedule's next minute.
    eventually("the rows", || async { stage.loans().await == (10, 10) }).await;
    stage.assert_each_loan_once(10).await;
}

#[tokio::test]
async fn three_scanners_do_no_harm() {
    let stage = Stage::with_loans_and(&[EVERY_MINUTE, ("LONGSHORE_BATCH_BYTES", "20 KiB")]).await;
    for file in 0..40 {
        stage.put(&format!("{file}.csv"), loan_file(file * 100 + 1..=file * 100 + 100));
    }
    let scanners: Vec<Process> = (0..3).map(|_| stage.spawn(&["scanner"])).collect();
    let _worker = stage.spawn(&["worker"]);
    for _ in 0..3 {
        stage.scan().await;
    }
    eventually("all rows", || async { stage.loans().await.0 >= 4000 }).await;
    stage.assert_each_loan_once(4000).await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.file").await, 40);
    assert_eq!(stage.number("SELECT max(attempt) FROM longshore.task").await, 1);
    for scanner in scanners {
        assert!(!scanner.log().contains("ERROR") && !scanner.log().contains("WARN"), "{}", scanner.log());
    }
}

#[tokio::test]
async fn a_task_whose_lease_somebody_keeps_is_published_again_and_never_goes_round_in_the_queue() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    let keeper = stage.client().await;
    keeper.query("SELECT pg_advisory_lock(lease_key) FROM longshore.task", &[]).await.unwrap();
    let _worker = stage.spawn(&["worker"]);
    let unpublished = "SELECT count(*) FROM longshore.task WHERE status = 'NEW' AND published_time IS NULL";
    eventually("the task is left to the relay", || async { stage.number(unpublished).await == 1 }).await;
    eventually("its message is gone", || async { stage.queue_length("tasks").await == 0 }).await;
    drop(keeper);
    let _scanner = stage.spawn(&["scanner"]);
    eventually("the rows", || async { stage.loans().await == (10, 10) }).await;
    assert_eq!(stage.number("SELECT attempt FROM longshore.task").await, 1);
}

#[tokio::test]
async fn whoever_keeps_the_lease_of_a_waiting_task_in_silence_is_ended() {
    let stage = Stage::with_loans_and(&[SHORT_LIMIT]).await;
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    let keeper = stage.client().await;
    keeper.query("SELECT pg_advisory_lock(lease_key) FROM longshore.task", &[]).await.unwrap();
    let _services = (stage.spawn(&["scanner"]), stage.spawn(&["worker"]));
    eventually("the rows", || async { stage.loans().await == (10, 10) }).await;
    assert!(keeper.is_closed());
}

#[tokio::test]
async fn a_killed_workers_task_is_taken_over_without_any_scanner() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=ROWS));
    stage.scan().await;
    let mut killed = stage.worker_in_mid_load(&[]).await;
    let other = stage.spawn(&["worker"]);
    other.logs("consuming").await;
    killed.signal("KILL");
    killed.ended().await;
    // By the redelivery alone.
    eventually("all rows", || async { stage.loans().await.0 == ROWS as i64 }).await;
    stage.assert_each_loan_once(ROWS as i64).await;
}
