//! Rows that the ledger knows and the session does not find: hidden, elsewhere, or gone. Nobody takes them for removed.

use longshore_tests::{Stage, loan_file};
use tokio_postgres::Client;

/// A file of a hundred rows, loaded; its path.
async fn with_a_hundred_rows() -> (Stage, String) {
    let stage = Stage::with_loans().await;
    let path = stage.put("a.csv", loan_file(1..=100));
    scan_and_load(&stage).await;
    (stage, path.to_str().unwrap().to_owned())
}

async fn scan_and_load(stage: &Stage) {
    stage.scan().await;
    stage.drain().await;
}

/// The same, in a table of which a partition holds the applications from 61 on.
async fn with_partitions() -> (Stage, String) {
    let stage = Stage::with_loans().await;
    let divide = "ALTER TABLE reporting.loan_applications RENAME TO undivided;
        CREATE TABLE reporting.loan_applications (LIKE reporting.undivided INCLUDING ALL)
            PARTITION BY RANGE (application_id);
        CREATE TABLE reporting.loans_before PARTITION OF reporting.loan_applications
            FOR VALUES FROM (MINVALUE) TO (61);
        CREATE TABLE reporting.loans_since PARTITION OF reporting.loan_applications
            FOR VALUES FROM (61) TO (MAXVALUE)";
    stage.client().await.batch_execute(divide).await.unwrap();
    let path = stage.put("a.csv", loan_file(1..=100));
    scan_and_load(&stage).await;
    (stage, path.to_str().unwrap().to_owned())
}

const DETACH: &str = "ALTER TABLE reporting.loan_applications DETACH PARTITION reporting.loans_since";
const ATTACH: &str = "ALTER TABLE reporting.loan_applications ATTACH PARTITION reporting.loans_since
    FOR VALUES FROM (61) TO (MAXVALUE)";

/// Refused, with both numbers; nothing has changed.
async fn assert_not_unloaded(stage: &Stage, path: &str, found: &str) {
    let refused = stage.run(&["unload", path]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains(found), "{refused:?}");
    assert!(refused.stderr.contains("--missing-rows-are-gone"), "{refused:?}");
    assert_eq!(states(stage).await, ["LOADED"]);
}

/// The newest first.
async fn states(stage: &Stage) -> Vec<String> {
    let files = stage.ok(&["files", "--json"]).await.json();
    files.as_array().unwrap().iter().map(|file| file["status"].as_str().unwrap().to_owned()).collect()
}

async fn failures(stage: &Stage) -> Vec<String> {
    stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED' ORDER BY id").await
}

async fn batch(stage: &Stage, sql: &str) -> Client {
    let client = stage.client().await;
    client.batch_execute(sql).await.unwrap();
    client
}

#[tokio::test]
async fn rows_that_a_policy_hides_are_not_taken_for_removed() {
    let (mut stage, path) = with_a_hundred_rows().await;
    let role = stage.exchange_name().replace("longshore_test", "longshore_role");
    let restrict = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'secret';
         GRANT USAGE ON SCHEMA longshore, reporting TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA longshore TO {role};
         GRANT CREATE ON SCHEMA reporting TO {role};
         ALTER TABLE reporting.loan_applications OWNER TO {role};
         CREATE POLICY sixty ON reporting.loan_applications USING (application_id <= 60);
         ALTER TABLE reporting.loan_applications ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
    );
    let client = batch(&stage, &restrict).await;
    let mut url = url::Url::parse(&stage.database_url()).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("secret")).unwrap();
    stage.environment.insert("DATABASE_URL".to_owned(), url.to_string());
    let refused = stage.run(&["unload", &path]).await;
    // A told user would lose rows that are there.
    let told = stage.run(&["unload", &path, "--missing-rows-are-gone"]).await;
    let drop_role = format!(
        "ALTER TABLE reporting.loan_applications OWNER TO longshore; DROP OWNED BY {role}; DROP ROLE {role}"
    );
    client.batch_execute(&drop_role).await.unwrap();
    stage.environment.remove("DATABASE_URL");
    assert_eq!((refused.code, told.code), (1, 1), "{refused:?} {told:?}");
    assert!(refused.stderr.contains("row-level security"), "{refused:?}");
    assert_eq!(stage.loans().await, (100, 100));
    assert_eq!(states(&stage).await, ["LOADED"]);
}

#[tokio::test]
async fn rows_of_a_detached_partition_are_not_taken_for_removed() {
    let (stage, path) = with_partitions().await;
    batch(&stage, DETACH).await;
    assert_not_unloaded(&stage, &path, "60 of 100 rows").await;
    assert_eq!(stage.loans().await, (60, 60));
    batch(&stage, ATTACH).await;
    stage.ok(&["reload", &path]).await;
    scan_and_load(&stage).await;
    assert_eq!(stage.loans().await, (100, 100));
    assert_eq!(states(&stage).await, ["LOADED", "REPLACED"]);
}

#[tokio::test]
async fn rows_of_a_table_that_was_renamed_are_not_taken_for_removed() {
    let (stage, path) = with_a_hundred_rows().await;
    let rename = "ALTER TABLE reporting.loan_applications RENAME TO kept;
                  CREATE TABLE reporting.loan_applications (LIKE reporting.kept INCLUDING ALL)";
    batch(&stage, rename).await;
    assert_not_unloaded(&stage, &path, "0 of 100 rows").await;
}

#[tokio::test]
async fn a_version_whose_earlier_rows_are_not_all_there_fails_alone_until_somebody_says_that_they_are_gone() {
    let (stage, path) = with_partitions().await;
    stage.put("b.csv", loan_file(1001..=1010));
    scan_and_load(&stage).await;
    batch(&stage, "DELETE FROM reporting.loan_applications WHERE application_id BETWEEN 11 AND 14").await;
    stage.put("a.csv", loan_file(2001..=2003));
    stage.put("b.csv", loan_file(3001..=3003));
    stage.put("c.csv", loan_file(4001..=4003));
    scan_and_load(&stage).await;
    let failed = failures(&stage).await;
    assert!(failed.len() == 1 && failed[0].contains("96 of 100 rows"), "{failed:?}");
    assert!(failed[0].contains("longshore reload") && failed[0].contains("--missing-rows-are-gone"));
    assert_eq!(stage.loans().await, (102, 102));
    // A retry changes nothing about it, neither does a reload that says nothing.
    stage.ok(&["retry", "--failed"]).await;
    scan_and_load(&stage).await;
    stage.ok(&["reload", &path]).await;
    scan_and_load(&stage).await;
    assert_eq!(stage.loans().await, (102, 102));
    stage.ok(&["reload", &path, "--missing-rows-are-gone"]).await;
    scan_and_load(&stage).await;
    assert_eq!(stage.loans().await, (9, 9));
    assert_eq!(stage.number("SELECT min(application_id) FROM reporting.loan_applications").await, 2001);
}

#[tokio::test]
async fn a_truncated_table_is_filled_again_and_emptied_where_somebody_says_so() {
    let (stage, path) = with_a_hundred_rows().await;
    batch(&stage, "TRUNCATE reporting.loan_applications").await;
    assert_not_unloaded(&stage, &path, "0 of 100 rows").await;
    stage.ok(&["reload", &path, "--missing-rows-are-gone"]).await;
    scan_and_load(&stage).await;
    assert_eq!(stage.loans().await, (100, 100));
    batch(&stage, "TRUNCATE reporting.loan_applications").await;
    let unloaded = stage.ok(&["unload", &path, "--missing-rows-are-gone", "--json"]).await.json();
    assert_eq!((&unloaded["rows_removed"], &unloaded["rows_loaded"]), (&0.into(), &100.into()));
    assert_eq!(states(&stage).await, ["UNLOADED", "REPLACED"]);
}

#[tokio::test]
async fn copies_of_a_files_rows_are_not_removed_with_them() {
    let (stage, path) = with_a_hundred_rows().await;
    let copy = "INSERT INTO reporting.loan_applications
                SELECT * FROM reporting.loan_applications WHERE application_id <= 40";
    batch(&stage, copy).await;
    let refused = stage.run(&["unload", &path]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("140 rows") && refused.stderr.contains("100"), "{refused:?}");
    assert_eq!(stage.loans().await, (140, 100));
}
