//! Program and schema that do not belong together: they wait and say so, and no file fails for it.

use longshore_tests::{Stage, eventually, loan_file};

const FUTURE: i64 = 9999;

async fn newest(stage: &Stage) -> i64 {
    stage.number("SELECT max(version) FROM longshore.schema_history").await
}

#[tokio::test]
async fn a_schema_that_is_older_than_the_program_is_waited_for() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    let client = stage.client().await;
    let hide = "CREATE TABLE kept AS SELECT * FROM longshore.schema_history ORDER BY version DESC LIMIT 1;
        DELETE FROM longshore.schema_history WHERE version IN (SELECT version FROM kept)";
    client.batch_execute(hide).await.unwrap();
    let sentence = "older than this program";
    let finished = stage.run(&["status"]).await;
    assert!(finished.code == 1 && finished.stderr.contains(sentence), "{finished:?}");
    let finished = stage.run(&["health"]).await;
    assert!(finished.code == 1 && finished.stdout.contains(sentence), "{finished:?}");
    let services = ["worker", "scanner"].map(|service| stage.spawn(&[service]));
    for service in &services {
        service.logs(sentence).await;
    }
    client.batch_execute("INSERT INTO longshore.schema_history SELECT * FROM kept").await.unwrap();
    eventually("the rows", || async { stage.loans().await.0 == 10 }).await;
    for service in &services {
        assert_eq!(service.log().matches(sentence).count(), 1, "{}", service.log());
    }
}

#[tokio::test]
async fn a_schema_that_is_newer_is_refused_unless_it_says_that_the_program_works_with_it() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10));
    let known = newest(&stage).await;
    let client = stage.client().await;
    let migrate = format!(
        "INSERT INTO longshore.schema_history (version, name, applied_on, checksum)
         VALUES ({FUTURE}, 'of_tomorrow', '2030-01-01T00:00:00Z', '1')"
    );
    client.batch_execute(&migrate).await.unwrap();
    let sentence = "newer than this program";
    for command in [&["migrate"][..], &["status"], &["scan"]] {
        let finished = stage.run(command).await;
        assert!(finished.code == 1 && finished.stderr.contains(sentence), "{finished:?}");
    }
    let services = ["worker", "scanner"].map(|service| stage.spawn(&[service]));
    for service in &services {
        service.logs(sentence).await;
    }
    let works =
        format!("UPDATE longshore.installation SET schema_version = {FUTURE}, oldest_program = {known}");
    client.batch_execute(&works).await.unwrap();
    stage.ok(&["migrate"]).await;
    stage.scan().await;
    eventually("the rows", || async { stage.loans().await.0 == 10 }).await;
}

#[tokio::test]
async fn a_table_of_the_ledger_that_is_missing_fails_no_file() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", "1 KiB")]).await;
    let services = ["worker", "scanner"].map(|service| stage.spawn(&[service]));
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    eventually("a first load", || async { stage.loans().await.0 == 10 }).await;
    let client = stage.client().await;
    for (break_it, mend_it, total) in [
        (
            "ALTER TABLE longshore.object RENAME TO object_away",
            "ALTER TABLE longshore.object_away RENAME TO object",
            20,
        ),
        (
            "ALTER TABLE longshore.file_load RENAME rows_read TO rows_away",
            "ALTER TABLE longshore.file_load RENAME rows_away TO rows_read",
            30,
        ),
    ] {
        client.batch_execute(break_it).await.unwrap();
        stage.put(&format!("{total}.csv"), loan_file(total - 9..=total));
        stage.scan().await;
        let failing = format!(
            "SELECT count(*) FROM longshore.task JOIN longshore.file ON file.task_id = task.id
             WHERE uri LIKE '%/{total}.csv' AND failure_msg IS NOT NULL"
        );
        eventually("the load has failed", || async { stage.number(&failing).await == 1 }).await;
        assert_eq!(stage.number("SELECT count(*) FROM longshore.task WHERE status = 'FAILED'").await, 0);
        client.batch_execute(mend_it).await.unwrap();
        eventually("the rows", || async { stage.loans().await.0 == total as i64 }).await;
    }
    drop(services);
}

#[tokio::test]
async fn a_migration_keeps_nobody_waiting_behind_it_for_long() {
    let stage = Stage::new().await;
    let mut client = stage.client().await;
    // As at the first migration, but for a history that somebody reads.
    let made_anew = "DROP SCHEMA longshore CASCADE; DROP SCHEMA reporting CASCADE; CREATE SCHEMA longshore;
        CREATE TABLE longshore.schema_history
            (version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255))";
    client.batch_execute(made_anew).await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute("LOCK TABLE longshore.schema_history IN SHARE MODE").await.unwrap();
    let mut migrating = stage.spawn(&["migrate"]);
    migrating.logs("waits for tables that others use").await;
    // It waits for them in tries, between which nobody queues behind it.
    let waiting =
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'longshore.schema_history'::regclass";
    eventually("it waits for no lock", || async { stage.number(waiting).await == 0 }).await;
    transaction.commit().await.unwrap();
    assert!(migrating.ended().await.success(), "{}", migrating.log());
    assert!(migrating.log().contains("applied V1__longshore"), "{}", migrating.log());
}

#[tokio::test]
async fn a_later_migration_needs_no_right_to_make_schemas() {
    let mut stage = Stage::new().await;
    let name = stage.texts("SELECT current_database()").await.remove(0);
    let role = format!("{name}_role");
    let client = stage.client().await;
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT ALL ON SCHEMA longshore TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA longshore TO {role}"
    );
    client.batch_execute(&sql).await.unwrap();
    let url = stage.database_url();
    let (_, server) = url.rsplit_once('@').unwrap();
    stage.environment.insert("DATABASE_URL".to_owned(), format!("postgres://{role}:p@{server}"));
    let finished = stage.run(&["migrate"]).await;
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
    assert_eq!(finished.code, 0, "{finished:?}");
}
