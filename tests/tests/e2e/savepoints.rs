//! Loads of many large files: they keep no more savepoints than Postgres has room for.

use longshore_tests::{Stage, loan_file, loan_line};

const ROWS: u64 = 5000;

/// Sixty files, each too large to share a COPY.
async fn put_many(stage: &Stage) {
    for number in 0..60 {
        stage.put(&format!("{number}.csv"), loan_file(number * ROWS + 1..=(number + 1) * ROWS));
    }
}

async fn scan_and_load(stage: &Stage) {
    assert_eq!(stage.scan().await["published"], 1);
    stage.drain().await;
}

/// Subtransactions that put rows into the table.
async fn subtransactions(stage: &Stage) -> i64 {
    stage.number("SELECT count(DISTINCT xmin::text) FROM reporting.loan_applications").await
}

#[tokio::test]
async fn a_load_of_many_large_files_keeps_few_savepoints() {
    let stage = Stage::with_loans().await;
    put_many(&stage).await;
    scan_and_load(&stage).await;
    stage.assert_each_loan_once(60 * ROWS as i64).await;
    let subtransactions = subtransactions(&stage).await;
    assert!((40..55).contains(&subtransactions), "{subtransactions}");
}

#[tokio::test]
async fn a_file_that_fails_behind_many_large_ones_fails_alone() {
    let stage = Stage::with_loans().await;
    put_many(&stage).await;
    // More rejects at its end than a file may have.
    let bad: String =
        (0..ROWS).map(|number| loan_line(900_001 + number).replace(",45,", ",x,") + "\n").collect();
    let bad = loan_file(800_001..=800_000 + 4 * ROWS) + &bad;
    stage.put("bad.csv", bad);
    scan_and_load(&stage).await;
    stage.assert_each_loan_once(60 * ROWS as i64).await;
    let failed = stage.texts("SELECT failure_msg FROM longshore.task WHERE status = 'FAILED'").await;
    assert!(failed.len() == 1 && failed[0].contains("rows rejected"), "{failed:?}");
    assert_eq!(stage.number("SELECT count(*) FROM longshore.attempt").await, 1);
}
