//! What a session keeps between two loads (its prepared statements) must not outlive what it was made for.

use longshore_tests::{HEADER, Process, Stage, eventually, loan_file, loan_line};

/// A stage and its worker, whose one session has loaded the applications 1 to 7, each in a task of its own.
async fn with_kept_statements() -> (Stage, Process) {
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", "100 B")]).await;
    for id in 1..=7 {
        stage.put(&format!("{id}.csv"), loan_file(id..=id));
    }
    assert_eq!(stage.scan().await["published"], 7);
    let worker = stage.spawn(&["worker", "--concurrency", "1"]);
    eventually("seven rows", || async { stage.loans().await == (7, 7) }).await;
    (stage, worker)
}

#[tokio::test]
async fn a_worker_that_runs_on_fills_a_column_that_its_table_was_given() {
    let (stage, _worker) = with_kept_statements().await;
    let spec = std::fs::read_to_string(stage.loan_spec()).unwrap();
    let path = stage.folder().join("spec.toml");
    std::fs::write(&path, format!("{spec}\n[[columns]]\nname = \"note\"\ntype = \"text\"\n")).unwrap();
    stage.ok(&["dataset", "apply", path.to_str().unwrap()]).await;
    stage.put("8.csv", format!("{HEADER},note\n{},new\n", loan_line(8)));
    stage.scan().await;
    eventually("the eighth row", || async { stage.loans().await == (8, 8) }).await;
    let notes = "SELECT application_id || note FROM reporting.loan_applications WHERE note IS NOT NULL";
    assert_eq!(stage.texts(notes).await, ["8new"]);
    assert_eq!(stage.number("SELECT max(attempt) FROM longshore.task").await, 1);
}

#[tokio::test]
async fn a_statement_that_postgres_refuses_to_run_again_costs_a_session_and_no_attempt() {
    let (stage, worker) = with_kept_statements().await;
    let _scanner = stage.spawn(&["scanner"]);
    let migration = "ALTER TABLE longshore.file ALTER COLUMN etag TYPE varchar";
    stage.client().await.batch_execute(migration).await.unwrap();
    stage.put("8.csv", loan_file(8..=8));
    stage.scan().await;
    eventually("the eighth row", || async { stage.loans().await == (8, 8) }).await;
    assert!(worker.log().contains("cached plan must not change result type"), "{}", worker.log());
    assert_eq!(stage.number("SELECT max(attempt) FROM longshore.task").await, 1);
    assert_eq!(stage.number("SELECT count(*) FROM longshore.task WHERE status = 'LOADED'").await, 8);
}
