//! `longshore verify`: the tables against the ledger.

use longshore_tests::{Stage, eventually, loan_file};
use serde_json::Value;

async fn scan_and_load(stage: &Stage) {
    stage.scan().await;
    stage.drain().await;
}

/// Four files of ten rows each, loaded.
async fn with_four_files() -> Stage {
    let stage = Stage::with_loans().await;
    for (name, first) in [("a", 1), ("b", 11), ("c", 21), ("d", 31)] {
        stage.put(&format!("{name}.csv"), loan_file(first..first + 10));
    }
    scan_and_load(&stage).await;
    stage
}

/// Exit code, and what it found in the loan table.
async fn verify(stage: &Stage) -> (i32, Value) {
    let verified = stage.run(&["verify", "--json"]).await;
    (verified.code, verified.json()["datasets"][0].clone())
}

/// `name found/expected` of each file named, by name.
fn named(of_kind: &Value) -> Vec<String> {
    let name = |file: &Value| {
        let name = file["file_name"].as_str().unwrap_or("?");
        let name = name.rsplit('/').next().unwrap();
        format!("{name} {}/{}", file["rows_found"], file["rows_expected"])
    };
    let mut named: Vec<String> = of_kind["first"].as_array().unwrap().iter().map(name).collect();
    named.sort();
    named
}

#[tokio::test]
async fn a_table_as_the_ledger_says_is_well_and_every_difference_is_named() {
    let stage = with_four_files().await;
    let (code, verified) = verify(&stage).await;
    assert_eq!((code, &verified["rows"], &verified["files"]), (0, &40.into(), &4.into()), "{verified}");
    let said = stage.ok(&["verify"]).await.stdout;
    assert!(said.contains("40 rows in reporting.loan_applications, 4 files loaded"), "{said}");

    stage.ok(&["unload", stage.inbox.join("d.csv").to_str().unwrap()]).await;
    let differ = "DELETE FROM reporting.loan_applications WHERE application_id BETWEEN 3 AND 5;
        INSERT INTO reporting.loan_applications
            SELECT * FROM reporting.loan_applications WHERE application_id BETWEEN 11 AND 14;
        INSERT INTO reporting.loan_applications (application_id, _file_id, _line)
            SELECT 7, id, 1 FROM longshore.file WHERE uri LIKE '%/d.csv' UNION ALL VALUES (8, 4711, 1), (9, 4711, 2)";
    stage.client().await.batch_execute(differ).await.unwrap();
    let (code, verified) = verify(&stage).await;
    assert_eq!(code, 1);
    assert_eq!(named(&verified["fewer"]), ["a.csv 7/10"]);
    assert_eq!(named(&verified["more"]), ["b.csv 14/10"]);
    assert_eq!(named(&verified["not_loaded"]), ["? 2/0", "d.csv 1/0"]);
    assert_eq!(verified["not_loaded"]["rows_found"], 3);
    let said = stage.run(&["verify", "loan_applications"]).await;
    assert_eq!(said.code, 1);
    assert!(
        said.stdout.contains("/a.csv (_file_id ") && said.stdout.contains("no known file (_file_id 4711)")
    );

    let renamed = "ALTER TABLE reporting.loan_applications RENAME TO kept";
    stage.client().await.batch_execute(renamed).await.unwrap();
    let missing = stage.run(&["verify", "--json"]).await;
    assert_eq!(missing.code, 1);
    assert!(missing.json()["failed"][0]["error"].as_str().unwrap().contains("no table"), "{missing:?}");
}

#[tokio::test]
async fn rows_that_are_said_to_be_gone_are_not_expected_and_their_file_is_replaced_and_unloaded() {
    let stage = with_four_files().await;
    let client = stage.client().await;
    let delete = "CREATE TABLE kept AS SELECT * FROM reporting.loan_applications WHERE application_id BETWEEN 35 AND 36;
                  DELETE FROM reporting.loan_applications
                  WHERE application_id BETWEEN 3 AND 20 OR application_id BETWEEN 35 AND 36";
    client.batch_execute(delete).await.unwrap();
    let accepted = stage.run(&["verify", "loan_applications", "--missing-rows-are-gone", "--json"]).await;
    assert_eq!(accepted.code, 0);
    let fewer = &accepted.json()["datasets"][0]["fewer"];
    assert_eq!(named(fewer), ["a.csv 2/10", "b.csv 0/10", "d.csv 8/10"]);
    assert_eq!(verify(&stage).await.0, 0);
    stage.put("a.csv", loan_file(101..=105));
    scan_and_load(&stage).await;
    // Some of them come back: they are removed with the others.
    client.batch_execute("INSERT INTO reporting.loan_applications SELECT * FROM kept").await.unwrap();
    let (_, verified) = verify(&stage).await;
    assert_eq!(named(&verified["more"]), ["d.csv 10/8"]);
    for (name, rows) in [("b.csv", 0), ("d.csv", 10)] {
        let unloaded = stage.ok(&["unload", stage.inbox.join(name).to_str().unwrap(), "--json"]).await.json();
        assert_eq!(unloaded["rows_removed"], rows);
    }
    assert_eq!(verify(&stage).await.0, 0);
    assert_eq!(stage.loans().await, (15, 15));
    // What is missing since then is missing.
    client.batch_execute("TRUNCATE reporting.loan_applications").await.unwrap();
    assert_eq!(verify(&stage).await.0, 1);
}

/// As the README's loop does it.
#[tokio::test]
async fn a_truncated_table_is_filled_again_with_the_files_that_verify_names() {
    let stage = with_four_files().await;
    stage.client().await.batch_execute("TRUNCATE reporting.loan_applications").await.unwrap();
    let (code, verified) = verify(&stage).await;
    assert_eq!(code, 1);
    for file in verified["fewer"]["first"].as_array().unwrap() {
        stage.ok(&["reload", file["file_name"].as_str().unwrap(), "--missing-rows-are-gone"]).await;
    }
    scan_and_load(&stage).await;
    assert_eq!(verify(&stage).await.0, 0);
    assert_eq!(stage.loans().await, (40, 40));
}

#[tokio::test]
async fn loads_replacements_and_unloads_that_run_meanwhile_are_no_difference() {
    let stage = with_four_files().await;
    // Some twelve rows a page, in three partitions and more pages than one statement reads.
    let divide = "ALTER TABLE reporting.loan_applications RENAME TO undivided;
        CREATE TABLE reporting.loan_applications (LIKE reporting.undivided INCLUDING ALL)
            PARTITION BY HASH (application_id);
        CREATE TABLE reporting.loans_0 PARTITION OF reporting.loan_applications
            FOR VALUES WITH (MODULUS 3, REMAINDER 0) WITH (fillfactor = 10);
        CREATE TABLE reporting.loans_1 PARTITION OF reporting.loan_applications
            FOR VALUES WITH (MODULUS 3, REMAINDER 1) WITH (fillfactor = 10);
        CREATE TABLE reporting.loans_2 PARTITION OF reporting.loan_applications
            FOR VALUES WITH (MODULUS 3, REMAINDER 2) WITH (fillfactor = 10);
        INSERT INTO reporting.loan_applications SELECT * FROM reporting.undivided;
        INSERT INTO reporting.loan_applications (application_id, _file_id, _line)
            SELECT -number, 4711, 1 FROM generate_series(1, 250000) AS number";
    stage.client().await.batch_execute(divide).await.unwrap();
    let _services = (stage.spawn(&["scanner"]), stage.spawn(&["worker"]), stage.spawn(&["worker"]));
    let mut loads = 0;
    for round in 0_u64..6 {
        for name in ["a", "b", "c", "d", "e"] {
            let first = 1000 * (round + 1);
            stage.put(&format!("{name}.csv"), loan_file(first..first + 20 * (round % 3)));
        }
        stage.ok(&["scan", "--flush"]).await;
        for _ in 0..2 {
            let (code, verified) = verify(&stage).await;
            assert_eq!(
                (code, named(&verified["not_loaded"])),
                (1, vec!["? 250000/0".to_owned()]),
                "{verified}"
            );
            assert_eq!((&verified["fewer"]["files"], &verified["more"]["files"]), (&0.into(), &0.into()));
        }
        let now = stage.number("SELECT count(*) FROM longshore.file_load").await;
        assert!(now >= loads);
        loads = now;
    }
    let open = "SELECT count(*) FROM longshore.task WHERE status IN ('NEW', 'PROCESSING')";
    eventually("all loads", || async { stage.number(open).await == 0 }).await;
    assert!(stage.number("SELECT count(*) FROM longshore.file_load").await > 4);
}
