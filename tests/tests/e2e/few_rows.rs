//! New versions with far fewer rows than those that they would replace.

use longshore_tests::{Stage, loan_file};

async fn with_ratio() -> Stage {
    let stage = Stage::new().await;
    stage.apply_loans(&[("[discovery]", "[discovery]\nmin_rows_ratio = 0.5")]).await;
    stage
}

async fn scan_and_load(stage: &Stage) {
    stage.scan().await;
    stage.drain().await;
}

async fn rows(stage: &Stage) -> Vec<String> {
    let sql = "SELECT format('%s %s to %s', right(uri, 5), min(application_id), max(application_id))
               FROM reporting.loan_applications JOIN longshore.file ON file.id = _file_id
               GROUP BY uri, file.id ORDER BY uri, file.id";
    stage.texts(sql).await
}

async fn failures(stage: &Stage) -> Vec<String> {
    stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED' ORDER BY id").await
}

/// Several files at once, each replaced: as the key of the table is theirs, or without a key.
async fn assert_a_shrunk_version_fails_alone(stage: &Stage) {
    for (name, first) in [("a", 1), ("b", 11), ("c", 21)] {
        stage.put(&format!("{name}.csv"), loan_file(first..first + 10));
    }
    scan_and_load(stage).await;
    assert_eq!(stage.ok(&["status", "--json"]).await.json().get("too_few_rows"), None);
    stage.put("a.csv", loan_file(1..=4));
    stage.put("b.csv", loan_file(11..=15));
    stage.put("c.csv", "");
    stage.put("d.csv", loan_file(31..=31));
    scan_and_load(stage).await;
    assert_eq!(rows(stage).await, ["a.csv 1 to 10", "b.csv 11 to 15", "c.csv 21 to 30", "d.csv 31 to 31"]);
    let mut failed = failures(stage).await;
    failed.sort();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed[0].contains("it has 0 rows and the earlier version 10"), "{failed:?}");
    assert!(failed[1].contains("it has 4 rows") && failed[1].contains("longshore reload"), "{failed:?}");
    assert_eq!(stage.ok(&["status", "--json"]).await.json()["too_few_rows"], 2);
    assert!(stage.ok(&["status"]).await.stdout.contains("too few rows"));

    // A retry holds it against the ratio again; a reload says that it is right; a newer version may be.
    stage.ok(&["retry", "--failed"]).await;
    scan_and_load(stage).await;
    assert_eq!(stage.ok(&["status", "--json"]).await.json()["too_few_rows"], 2);
    stage.ok(&["reload", stage.inbox.join("a.csv").to_str().unwrap()]).await;
    stage.put("c.csv", loan_file(21..=29));
    scan_and_load(stage).await;
    assert_eq!(rows(stage).await, ["a.csv 1 to 4", "b.csv 11 to 15", "c.csv 21 to 29", "d.csv 31 to 31"]);
    assert_eq!(stage.ok(&["status", "--json"]).await.json().get("too_few_rows"), None);
    assert_eq!(stage.run(&["verify"]).await.code, 0);
}

#[tokio::test]
async fn a_version_with_too_few_rows_fails_alone_and_a_reload_accepts_it() {
    assert_a_shrunk_version_fails_alone(&with_ratio().await).await;
}

#[tokio::test]
async fn a_version_with_too_few_rows_fails_alone_where_the_earlier_one_has_its_keys() {
    let stage = with_ratio().await;
    let key = "ALTER TABLE reporting.loan_applications ADD PRIMARY KEY (application_id)";
    stage.client().await.batch_execute(key).await.unwrap();
    assert_a_shrunk_version_fails_alone(&stage).await;
}
