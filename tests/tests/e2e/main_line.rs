//! A CSV in a folder becomes rows in Postgres, through RabbitMQ.

use longshore_tests::{HEADER, Stage, eventually, loan_file, loan_line};
use serde_json::json;

#[tokio::test]
async fn sample_files_are_loaded_and_agree_with_their_checksum() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", "100 KiB")]).await;
    let inbox = stage.inbox.to_str().unwrap();
    let sample = ["sample", "--files", "7", "--rows", "5000", "--broken", "30", "--json", inbox];
    let manifest = stage.ok(&sample).await.json();
    let report = stage.scan().await;
    assert_eq!(report["scans"][0]["counts"]["new"], 7);
    assert!(report["published"].as_u64().unwrap() >= 2, "{report}");
    stage.drain().await;

    stage.assert_each_loan_once(4970).await;
    let checksum = stage.texts(manifest["checksum_sql"].as_str().unwrap()).await;
    assert_eq!(checksum, [manifest["checksum"].as_str().unwrap()]);
    assert_eq!(stage.number("SELECT count(*) FROM longshore.reject").await, 30);
    let conserved = "SELECT count(*) FROM longshore.file_load WHERE rows_read = rows_loaded + rows_rejected";
    assert_eq!(stage.number(conserved).await, 7);
    let status = stage.ok(&["status", "--json"]).await.stdout;
    let tasks = report["published"].as_u64().unwrap();
    let expected = format!(
        "{{\"files\":{{\"SCANNED\":0,\"SENT_FOR_ETL\":7}},\
         \"tasks\":{{\"NEW\":0,\"PROCESSING\":0,\"LOADED\":{tasks},\"FAILED\":0}},\
         \"rows\":{{\"read\":5000,\"loaded\":4970,\"rejected\":30}},\
         \"after_load\":{{\"open\":0,\"failing\":0}},\"queue\":{{\"ready\":0,\"consumers\":0}}}}\n"
    );
    assert_eq!(status, expected);
}

#[tokio::test]
async fn services_load_what_lands_while_they_run() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_SCHEDULE", "* * * * *")]).await;
    stage.put("2026/01/a.csv", loan_file(1..=3));
    let scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    // A dataset that was never scanned is due at once.
    eventually("three rows", || async { stage.loans().await == (3, 3) }).await;
    assert!(!scanner.log().contains("ERROR"), "{}", scanner.log());
}

#[tokio::test]
async fn a_row_leads_back_to_its_file_and_line() {
    let stage = Stage::with_loans().await;
    let text = format!("{HEADER}\n{}\n\n{}\n", loan_line(7), loan_line(8));
    stage.put("b.csv", text);
    stage.scan().await;
    stage.drain().await;
    let rows = stage
        .texts(
            "SELECT concat_ws(' ', application_id, _line, right(file_name, 5), age, monthly_income, serious_dlqin_2yrs)
             FROM reporting.loan_applications JOIN longshore.scanner ON scanner.id = _file_id ORDER BY application_id",
        )
        .await;
    assert_eq!(rows, ["7 2 b.csv 45 9120.00 f", "8 4 b.csv 45 9120.00 f"]);
}

#[tokio::test]
async fn two_workers_load_one_scans_tasks_at_overlapping_times() {
    // Two files of more than a batch each: two tasks.
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", "100 KiB")]).await;
    stage.put("a.csv", loan_file(1..=20_000));
    stage.put("b.csv", loan_file(20_001..=40_000));
    let first = stage.spawn_slow_worker(200, &[]);
    let second = stage.spawn_slow_worker(200, &[]);
    first.logs("consuming").await;
    second.logs("consuming").await;
    assert_eq!(stage.scan().await["published"], 2);
    eventually("all rows", || async { stage.loans().await.0 == 40_000 }).await;
    stage.assert_each_loan_once(40_000).await;
    let overlapping = "SELECT count(*) FROM longshore.attempt AS a JOIN longshore.attempt AS b
        ON a.worker < b.worker AND a.started_time < b.finished_time AND b.started_time < a.finished_time
        WHERE a.outcome = 'LOADED' AND b.outcome = 'LOADED'";
    assert_eq!(stage.number(overlapping).await, 1);
}

#[tokio::test]
async fn a_redelivered_task_loads_once() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    let task = stage.texts("SELECT id FROM longshore.task").await.remove(0);
    for _ in 0..5 {
        stage.publish(format!(r#"{{"version":1,"task_id":"{task}"}}"#).as_bytes()).await;
    }
    let _worker = stage.spawn(&["worker", "--concurrency", "4"]);
    eventually("the queue is empty", || async { stage.queue_length("tasks").await == 0 }).await;
    eventually("the rows", || async { stage.loans().await.0 > 0 }).await;
    stage.assert_each_loan_once(10).await;
    assert_eq!(stage.number("SELECT attempt FROM longshore.task").await, 1);
}

#[tokio::test]
async fn messages_that_are_no_task_of_ours_go_to_the_dead_letter_queue() {
    let stage = Stage::with_loans().await;
    stage.ok(&["status"]).await; // declares the queues
    let unknown = format!(r#"{{"version":1,"task_id":"{}"}}"#, uuid::Uuid::now_v7());
    for body in ["not json", unknown.as_str(), r#"{"version":9,"task_id":"x"}"#] {
        stage.publish(body.as_bytes()).await;
    }
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    let _worker = stage.spawn(&["worker"]);
    eventually("the rows", || async { stage.loans().await == (10, 10) }).await;
    eventually("three dead letters", || async { stage.queue_length("dead").await == 3 }).await;
}

#[tokio::test]
async fn a_partial_batch_is_sent_after_its_wait() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_WAIT", "2s")]).await;
    stage.put("a.csv", loan_file(1..=10));
    let report = stage.ok(&["scan", "--json"]).await.json();
    assert_eq!(report["scans"][0]["batches"]["tasks"], 0);
    assert_eq!(report["scans"][0]["batches"]["held_back"]["files"], 1);
    assert_eq!(report["published"], 0);
    let _scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    eventually("the rows", || async { stage.loans().await == (10, 10) }).await;
    let waited = "SELECT count(*) FROM longshore.task JOIN longshore.file ON file.task_id = task.id
        WHERE task.created_time >= file.created_time + interval '2s'";
    assert_eq!(stage.number(waited).await, 1);
}

#[tokio::test]
async fn the_views_are_the_published_contract() {
    let stage = Stage::with_loans().await;
    let columns = |view: &str| {
        format!(
            "SELECT column_name FROM information_schema.columns
             WHERE table_schema = 'longshore' AND table_name = '{view}' ORDER BY ordinal_position"
        )
    };
    let scanner =
        ["id", "file_name", "file_modified_time", "size_in_bytes", "created_time", "modified_time", "status"];
    assert_eq!(stage.texts(&columns("scanner")).await, scanner);
    let etl_task = ["id", "files", "created_time", "modified_time", "status", "failure_msg"];
    assert_eq!(stage.texts(&columns("etl_task")).await, etl_task);

    stage.put("a, b.csv", loan_file(1..=1));
    stage.put("c.csv", loan_file(2..=2));
    stage.ok(&["dataset", "apply", &stage.loan_spec()]).await;
    let inbox = format!("file://{}", stage.inbox.display());
    stage.scan().await;
    let files = stage.texts("SELECT files FROM longshore.etl_task WHERE status = 'NEW'").await;
    assert_eq!(files, [format!("{inbox}/a%2C%20b.csv,{inbox}/c.csv")]);
    assert_eq!(stage.number("SELECT count(*) FROM longshore.scanner WHERE status = 'SENT_FOR_ETL'").await, 2);
    let comment = "SELECT col_description('reporting.loan_applications'::regclass, 7)";
    assert_eq!(stage.texts(comment).await, ["Monthly income in dollars"]);
    let comment = "SELECT obj_description('reporting.loan_applications'::regclass)";
    assert_eq!(stage.texts(comment).await, ["Credit-risk applications, one a row"]);
    let listed = stage.ok(&["dataset", "list", "--json"]).await.json();
    assert_eq!(listed[0]["version"], json!(1));
}
