//! What Postgres refuses in the midst of a COPY: a row's fault costs its file alone, whatever the SQLSTATE; an outage costs
//! nothing; and what every file meets is the table's.

use longshore_tests::{Stage, eventually, loan_file};

/// Ten files of ten rows each: ids 1 to 100.
async fn ten_files(stage: &Stage) {
    for file in 0..10 {
        stage.put(&format!("{file}.csv"), loan_file(file * 10 + 1..=file * 10 + 10));
    }
    assert_eq!(stage.scan().await["published"], 1);
}

/// A trigger of the loan table that raises this SQLSTATE for rows that the condition on NEW names.
async fn refuse(stage: &Stage, when: &str, sqlstate: &str, condition: &str) {
    let sql = format!(
        "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF {condition} THEN RAISE EXCEPTION 'refused by a trigger' USING ERRCODE = '{sqlstate}'; END IF;
             RETURN NEW;
         END $$;
         DROP TRIGGER IF EXISTS refuse ON reporting.loan_applications;
         CREATE TRIGGER refuse {when} INSERT ON reporting.loan_applications
             FOR EACH ROW EXECUTE FUNCTION public.refuse()"
    );
    stage.client().await.batch_execute(&sql).await.unwrap();
}

async fn permit(stage: &Stage) {
    stage.client().await.batch_execute("DROP TRIGGER refuse ON reporting.loan_applications").await.unwrap();
}

async fn failed(stage: &Stage) -> Vec<String> {
    let select = "SELECT concat(files, ' ', failure_msg) FROM longshore.etl_task WHERE status = 'FAILED'";
    stage.texts(select).await
}

#[tokio::test]
async fn a_row_that_anything_in_postgres_refuses_costs_its_file_alone() {
    // A trigger's own, an index', a view's check, an extension's, a missing right of a function that the row sets off; after
    // the rows, no line is named, and halving finds the file.
    let cases = [
        ("BEFORE", "P0001"),
        ("AFTER", "P0001"),
        ("BEFORE", "54000"),
        ("BEFORE", "44000"),
        ("AFTER", "XX000"),
        ("BEFORE", "42501"),
    ];
    for (when, sqlstate) in cases {
        let stage = Stage::with_loans().await;
        refuse(&stage, when, sqlstate, "NEW.application_id = 65").await;
        ten_files(&stage).await;
        stage.drain().await;
        assert_eq!(stage.loans().await, (90, 90), "{when} {sqlstate}");
        let failed = failed(&stage).await;
        assert_eq!(failed.len(), 1, "{when} {sqlstate}: {failed:?}");
        assert!(failed[0].contains("/6.csv ") && failed[0].contains(sqlstate), "{failed:?}");
        permit(&stage).await;
        stage.ok(&["retry", "--failed"]).await;
        stage.scan().await;
        stage.drain().await;
        stage.assert_each_loan_once(100).await;
    }
}

#[tokio::test]
async fn a_row_that_an_index_cannot_hold_costs_its_large_file_alone() {
    let stage = Stage::with_loans().await;
    let client = stage.client().await;
    // As an index on a long text would, for one row.
    let index = "CREATE FUNCTION public.long_text(id bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
                 SELECT CASE WHEN id = 15000 THEN (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) n)
                        ELSE '' END $$;
                 CREATE INDEX ON reporting.loan_applications (public.long_text(application_id))";
    client.batch_execute(index).await.unwrap();
    stage.put("large.csv", loan_file(1..=20_000));
    stage.put("other_large.csv", loan_file(20_001..=40_000));
    stage.put("small.csv", loan_file(40_001..=40_010));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.loans().await, (20_010, 20_010));
    let failed = failed(&stage).await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].contains("/large.csv ") && failed[0].contains("SQLSTATE 54000"), "{failed:?}");
}

#[tokio::test]
async fn an_outage_in_mid_copy_is_no_files_fault() {
    // Read-only, timeouts of the session, a device, a file of Postgres' own, an object in use, a snapshot too old.
    for sqlstate in ["25006", "25P03", "25P04", "58030", "58P01", "55006", "72000", "57P05"] {
        let stage = Stage::with_loans().await;
        refuse(&stage, "BEFORE", sqlstate, "TRUE").await;
        ten_files(&stage).await;
        let _worker = stage.spawn(&["worker"]);
        let retried = format!(
            "SELECT count(*) FROM longshore.attempt WHERE outcome = 'RETRY' AND error LIKE '%SQLSTATE {sqlstate}%'"
        );
        eventually(&format!("{sqlstate} is tried again"), || async { stage.number(&retried).await >= 1 })
            .await;
        assert_eq!(stage.number("SELECT count(*) FROM longshore.task WHERE status = 'FAILED'").await, 0);
        permit(&stage).await;
        let _scanner = stage.spawn(&["scanner"]);
        eventually("the rows", || async { stage.loans().await == (100, 100) }).await;
    }
}

#[tokio::test]
async fn what_every_file_meets_is_the_tables_fault_and_no_file_fails() {
    // An internal error may be an outage; a missing right or function is the table's.
    for (when, sqlstate) in [("AFTER", "XX000"), ("BEFORE", "42501"), ("AFTER", "42883")] {
        let stage = Stage::with_loans().await;
        refuse(&stage, when, sqlstate, "TRUE").await;
        ten_files(&stage).await;
        let _worker = stage.spawn(&["worker"]);
        let retried = "SELECT count(*) FROM longshore.attempt WHERE outcome = 'RETRY'";
        eventually("the task is tried again", || async { stage.number(retried).await >= 1 }).await;
        let tasks = stage.texts("SELECT status FROM longshore.task").await;
        assert_ne!(tasks, ["FAILED"], "{when} {sqlstate}");
        assert_eq!(tasks.len(), 1, "{when} {sqlstate}: {tasks:?}");
        permit(&stage).await;
        let _scanner = stage.spawn(&["scanner"]);
        eventually("the rows", || async { stage.loans().await == (100, 100) }).await;
    }
}

#[tokio::test]
async fn a_code_that_somebody_made_up_is_about_a_row_also_where_all_files_meet_it() {
    let stage = Stage::with_loans().await;
    refuse(&stage, "BEFORE", "ZZ001", "TRUE").await;
    ten_files(&stage).await;
    stage.drain().await;
    assert_eq!(failed(&stage).await.len(), 10);
}

#[tokio::test]
async fn files_that_are_refused_alike_fail_once_the_table_has_taken_others() {
    let stage = Stage::with_loans().await;
    refuse(&stage, "BEFORE", "42P01", "NEW.application_id <= 20").await;
    stage.put("a.csv", loan_file(1..=10));
    stage.put("b.csv", loan_file(11..=20));
    stage.scan().await;
    let (_scanner, _worker) = (stage.spawn(&["scanner"]), stage.spawn(&["worker"]));
    let waits = "SELECT count(*) FROM longshore.target_wait";
    eventually("the dataset waits", || async { stage.number(waits).await == 1 }).await;
    assert_eq!(failed(&stage).await.len(), 0);
    stage.put("c.csv", loan_file(21..=30));
    stage.scan().await;
    eventually("the others fail", || async { failed(&stage).await.len() == 2 }).await;
    assert_eq!(stage.loans().await, (10, 10));
    assert_eq!(stage.number(waits).await, 0);
}

#[tokio::test]
async fn refusals_at_the_beginning_do_not_decide_for_the_good_files_behind_them() {
    // Also beside files that cannot be read as CSV.
    for (sqlstate, content) in [("42P01", ""), ("XX000", "nothing but a wrong header\n")] {
        let stage = Stage::with_loans().await;
        refuse(&stage, "BEFORE", sqlstate, "NEW.application_id <= 200").await;
        for file in 0..20 {
            let first = file * 10 + 1;
            let content = if content.is_empty() || file == 19 {
                loan_file(first..first + 10)
            } else {
                content.to_owned()
            };
            stage.put(&format!("a{file}.csv"), content);
        }
        for file in 20..30 {
            stage.put(&format!("b{file}.csv"), loan_file(file * 10 + 1..=file * 10 + 10));
        }
        stage.scan().await;
        stage.drain().await;
        assert_eq!(stage.loans().await, (100, 100), "{sqlstate}");
        assert_eq!(failed(&stage).await.len(), 20, "{sqlstate}");
    }
}

#[tokio::test]
async fn a_full_disk_gets_three_tries_five_minutes_apart() {
    let stage = Stage::with_loans().await;
    refuse(&stage, "BEFORE", "53100", "TRUE").await;
    ten_files(&stage).await;
    let client = stage.client().await;
    for _ in 0..2 {
        stage.drain().await;
        let waits = stage
            .number(
                "SELECT extract(epoch FROM due_time - modified_time) FROM longshore.task
                 WHERE status = 'NEW' AND failure_msg LIKE 'a disk of Postgres is full%'",
            )
            .await;
        assert!((300..=400).contains(&waits), "{waits} s");
        client.batch_execute("UPDATE longshore.task SET due_time = now()").await.unwrap();
        stage.scan().await;
    }
    stage.drain().await;
    let failed = failed(&stage).await;
    assert!(failed.len() == 1 && failed[0].contains("a disk of Postgres is full"), "{failed:?}");
    // Once there is room, an operator's retry begins to count anew.
    stage.ok(&["retry", "--failed"]).await;
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.texts("SELECT status FROM longshore.task").await, ["NEW"]);
    permit(&stage).await;
    client.batch_execute("UPDATE longshore.task SET due_time = now()").await.unwrap();
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(100).await;
}
