//! Earlier versions whose rows Postgres does not let go: the new version fails alone, and its neighbours load.

use longshore_tests::{Stage, loan_file};

async fn scan_and_load(stage: &Stage) {
    stage.scan().await;
    stage.drain().await;
}

async fn failures(stage: &Stage) -> Vec<String> {
    stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED' ORDER BY id").await
}

/// The names of the files with rows, and how many.
async fn rows(stage: &Stage) -> Vec<String> {
    let sql = "SELECT format('%s %s to %s', right(uri, 5), min(application_id), max(application_id))
               FROM reporting.loan_applications JOIN longshore.file ON file.id = _file_id
               GROUP BY uri, file.id ORDER BY uri, file.id";
    stage.texts(sql).await
}

/// A file that is loaded, then `sql`, then a new version of it in one task with two new files, of which one is large: it is
/// handed over in parts.
async fn replaced_after(sql: &str) -> Stage {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10) + "x\n");
    scan_and_load(&stage).await;
    stage.client().await.batch_execute(sql).await.unwrap();
    stage.put("a.csv", loan_file(11..=20) + "y\n");
    stage.put("b.csv", loan_file(21..=30) + "z\n");
    stage.put("c.csv", loan_file(100_001..=120_000));
    scan_and_load(&stage).await;
    stage
}

async fn assert_only_the_replacement_failed(stage: &Stage, reason: &str) {
    let failed = failures(stage).await;
    assert!(failed.len() == 1 && failed[0].contains(reason), "{failed:?}");
    assert_eq!(rows(stage).await, ["a.csv 1 to 10", "b.csv 21 to 30", "c.csv 100001 to 120000"]);
    assert_eq!(stage.texts("SELECT raw FROM longshore.reject ORDER BY file_id").await, ["x", "z"]);
    let status = stage.ok(&["status", "--json"]).await.json();
    assert_eq!(status["rows"], serde_json::json!({"read": 20_022, "loaded": 20_020, "rejected": 2}));
    assert_eq!(status["tasks"], serde_json::json!({"NEW": 0, "PROCESSING": 0, "LOADED": 2, "FAILED": 1}));
}

#[tokio::test]
async fn a_trigger_that_refuses_every_removal_fails_the_replacement_alone() {
    let trigger = "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
                       $$ BEGIN RAISE EXCEPTION 'rows are kept here'; END $$;
                   CREATE TRIGGER keep BEFORE DELETE ON reporting.loan_applications
                       FOR EACH STATEMENT EXECUTE FUNCTION keep()";
    let stage = replaced_after(trigger).await;
    assert_only_the_replacement_failed(&stage, "rows are kept here (SQLSTATE P0001)").await;
    stage.client().await.batch_execute("DROP TRIGGER keep ON reporting.loan_applications").await.unwrap();
    stage.ok(&["retry", "--failed"]).await;
    scan_and_load(&stage).await;
    assert_eq!(rows(&stage).await, ["a.csv 11 to 20", "b.csv 21 to 30", "c.csv 100001 to 120000"]);
}

#[tokio::test]
async fn a_publication_of_a_table_without_identity_fails_the_replacement_alone_and_says_what_to_do() {
    let stage = replaced_after("CREATE PUBLICATION everything FOR ALL TABLES").await;
    assert_only_the_replacement_failed(&stage, "SQLSTATE 55000").await;
    assert!(failures(&stage).await[0].contains("REPLICA IDENTITY FULL"));
    let path = stage.inbox.join("b.csv");
    let refused = stage.run(&["unload", path.to_str().unwrap()]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("REPLICA IDENTITY FULL"), "{refused:?}");
    let identity = "ALTER TABLE reporting.loan_applications REPLICA IDENTITY FULL";
    stage.client().await.batch_execute(identity).await.unwrap();
    stage.ok(&["retry", "--failed"]).await;
    scan_and_load(&stage).await;
    assert_eq!(rows(&stage).await, ["a.csv 11 to 20", "b.csv 21 to 30", "c.csv 100001 to 120000"]);
}

#[tokio::test]
async fn a_role_that_may_not_delete_fails_replacements_alone() {
    let mut stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10));
    scan_and_load(&stage).await;
    let role = stage.exchange_name().replace("longshore_test", "longshore_role");
    let restrict = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'secret';
         GRANT USAGE ON SCHEMA longshore, reporting TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA longshore TO {role};
         GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA reporting TO {role}"
    );
    let client = stage.client().await;
    client.batch_execute(&restrict).await.unwrap();
    stage.put("a.csv", loan_file(11..=20));
    stage.put("b.csv", loan_file(21..=30));
    stage.scan().await;
    let mut url = url::Url::parse(&stage.database_url()).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("secret")).unwrap();
    stage.environment.insert("DATABASE_URL".to_owned(), url.to_string());
    let worked = stage.run(&["worker", "--drain"]).await;
    stage.environment.remove("DATABASE_URL");
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
    let failed = failures(&stage).await;
    assert!(failed.len() == 1 && failed[0].contains("SQLSTATE 42501"), "{failed:?} {worked:?}");
    assert_eq!(rows(&stage).await, ["a.csv 1 to 10", "b.csv 21 to 30"]);
}
