//! A file that kills or breaks whoever reads it costs itself, and no file beside it.

use longshore_tests::{Process, Stage, eventually, loan_file};

/// One task of seven files; the fifth is poison.
async fn seven_files(stage: &Stage) {
    for file in 0..7u64 {
        let name = if file == 4 { "poison".to_owned() } else { file.to_string() };
        stage.put(&format!("{name}.csv"), loan_file(file * 10 + 1..=file * 10 + 10));
    }
    assert_eq!(stage.scan().await["published"], 1);
}

const OPEN: &str = "SELECT count(*) FROM longshore.task WHERE status IN ('NEW', 'PROCESSING')";
const FAILED: &str = "SELECT files FROM longshore.etl_task WHERE status = 'FAILED'";

#[tokio::test]
async fn a_file_that_kills_its_workers_is_halved_out_of_its_batch_and_fails_alone() {
    let stage = Stage::with_loans().await;
    seven_files(&stage).await;
    let _scanner = stage.spawn(&["scanner"]);
    let kills = [("FAILPOINTS", "worker::read_file=return(kill poison)")];
    // As an orchestrator does: whoever died is started again.
    let mut worker = stage.spawn_with(&["worker"], &kills);
    let mut deaths = 0;
    for _ in 0..600 {
        if stage.number(OPEN).await == 0 {
            break;
        }
        if worker.has_ended() {
            deaths += 1;
            worker = stage.spawn_with(&["worker"], &kills);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(stage.number(OPEN).await, 0);
    let failed = stage.texts(FAILED).await;
    assert!(failed.len() == 1 && failed[0].ends_with("/poison.csv"), "{failed:?}");
    let reason = stage.texts("SELECT failure_msg FROM longshore.task WHERE status = 'FAILED'").await;
    assert!(reason[0].starts_with("poison: 5 workers died"), "{reason:?}");
    assert_loans_but_poison(&stage).await;
    // Two for the batch, one for each half of it until the file is alone, and three for the file.
    assert!((6..=9).contains(&deaths), "{deaths} workers died");
}

#[tokio::test]
async fn a_file_that_breaks_its_reader_fails_alone() {
    let stage = Stage::with_loans().await;
    seven_files(&stage).await;
    let _scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn_with(&["worker"], &[("FAILPOINTS", "worker::read_file=return(panic poison)")]);
    eventually("nothing is left to do", || async { stage.number(OPEN).await == 0 }).await;
    let failed = stage.texts(FAILED).await;
    assert!(failed.len() == 1 && failed[0].ends_with("/poison.csv"), "{failed:?}");
    assert_loans_but_poison(&stage).await;
}

#[tokio::test]
async fn one_killed_worker_makes_no_task_be_loaded_alone() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", "1 KiB")]).await;
    for file in 0..4u64 {
        stage.put(&format!("{file}.csv"), loan_file(file * 20_000 + 1..=file * 20_000 + 20_000));
    }
    stage.scan().await;
    let slow = [("FAILPOINTS", "worker::read_chunk=sleep(300)")];
    let arguments = ["worker", "--concurrency", "4"];
    let mut killed = stage.spawn_with(&arguments, &slow);
    let processing = "SELECT count(*) FROM longshore.task WHERE status = 'PROCESSING'";
    eventually("four loads", || async { stage.number(processing).await == 4 }).await;
    killed.signal("KILL");
    killed.ended().await;
    let _services: [Process; 2] = [stage.spawn(&["scanner"]), stage.spawn_with(&arguments, &slow)];
    let second = "SELECT count(*) FROM longshore.task WHERE status = 'PROCESSING' AND deaths = 1";
    eventually("all four are loaded again at once", || async { stage.number(second).await == 4 }).await;
    eventually("the rows", || async { stage.loans().await == (80_000, 80_000) }).await;
}

#[tokio::test]
async fn an_operator_splits_a_failed_batch_and_its_good_files_load() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_RETRY_FOR", "0s")]).await;
    seven_files(&stage).await;
    // An outage that no try is left for: the whole batch is FAILED.
    let fails = [("FAILPOINTS", "worker::after_begin=return(error)")];
    for code in [0, 1] {
        assert_eq!(stage.run_with(&["worker", "--drain"], &fails).await.code, code);
        stage.client().await.batch_execute("UPDATE longshore.task SET due_time = now()").await.unwrap();
        stage.scan().await;
    }
    let task = stage.texts("SELECT id FROM longshore.task WHERE status = 'FAILED'").await;
    let split = stage.ok(&["split", &task[0], "--json"]).await.json();
    assert_eq!((split["task"].as_str(), split["files"].as_u64()), (Some(task[0].as_str()), Some(7)));
    assert_eq!(split["tasks"].as_array().unwrap().len(), 7);
    assert_eq!(stage.number("SELECT count(*) FROM longshore.task WHERE status = 'NEW'").await, 7);
    let again = stage.run(&["split", &task[0]]).await;
    assert!(again.code == 1 && again.stderr.contains("not FAILED"), "{again:?}");
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(70).await;
    let one_each = "SELECT count(*) FROM longshore.etl_task WHERE status = 'LOADED' AND files NOT LIKE '%,%'";
    assert_eq!(stage.number(one_each).await, 7);
}

async fn assert_loans_but_poison(stage: &Stage) {
    assert_eq!(stage.loans().await, (60, 60));
    let of_poison = "SELECT count(*) FROM reporting.loan_applications WHERE application_id BETWEEN 41 AND 50";
    assert_eq!(stage.number(of_poison).await, 0);
}
