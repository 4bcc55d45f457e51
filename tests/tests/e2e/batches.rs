//! Files that share a task: small ones share a COPY as well, and none pays for a neighbour.

use longshore_tests::{HEADER, Stage, loan_file, loan_line};

/// A loan line whose age the constraint of [`refusing_stage`] refuses, and no rule of the spec.
fn refused_line(application_id: u64) -> String {
    loan_line(application_id).replacen(",45,", ",7,", 1)
}

/// A stage whose table refuses ages below 18.
async fn refusing_stage() -> Stage {
    let stage = Stage::with_loans().await;
    let constraint = "ALTER TABLE reporting.loan_applications ADD CONSTRAINT adult CHECK (age >= 18)";
    stage.client().await.batch_execute(constraint).await.expect("a constraint");
    stage
}

/// The files' numbers with their rows loaded, and the same out of the target table.
async fn counts_agree(stage: &Stage) {
    let recorded =
        "SELECT file_id || ':' || rows_loaded FROM longshore.file_load WHERE rows_loaded > 0 ORDER BY 1";
    let found =
        "SELECT _file_id || ':' || count(*) FROM reporting.loan_applications GROUP BY _file_id ORDER BY 1";
    assert_eq!(stage.texts(recorded).await, stage.texts(found).await);
}

#[tokio::test]
async fn files_that_postgres_refuses_are_set_apart_from_the_copy_they_share() {
    let stage = refusing_stage().await;
    let refused = [0, 7, 8, 30, 59];
    for number in 0..60_u64 {
        let mut file = loan_file(number * 20 + 1..=number * 20 + 20);
        if refused.contains(&number) {
            // In the middle of the file: the fifth row, on line 6.
            file = file.replacen(&loan_line(number * 20 + 5), &refused_line(number * 20 + 5), 1);
        }
        stage.put(&format!("{number:02}.csv"), file);
    }
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.loans().await, (55 * 20, 55 * 20));
    counts_agree(&stage).await;
    let failed = stage.texts("SELECT files || ' ' || failure_msg FROM longshore.etl_task WHERE status = 'FAILED' ORDER BY files").await;
    assert_eq!(failed.len(), refused.len(), "{failed:?}");
    for (message, number) in failed.iter().zip(refused) {
        assert!(message.contains(&format!("{number:02}.csv")), "{message}");
        assert!(message.contains("refused row 5 of the file") && message.contains("adult"), "{message}");
    }
    assert_eq!(stage.number("SELECT count(*) FROM longshore.etl_task WHERE status = 'LOADED'").await, 1);
}

/// Thirty files of 20 rows, of which three have a row with an age that `allowed_ages` lacks.
async fn with_missing_ages(constraint: &str) -> Stage {
    let stage = Stage::with_loans().await;
    let tables = format!(
        "CREATE TABLE reporting.allowed_ages (age smallint PRIMARY KEY);
         INSERT INTO reporting.allowed_ages VALUES (45);
         ALTER TABLE reporting.loan_applications
             ADD FOREIGN KEY (age) REFERENCES reporting.allowed_ages {constraint}"
    );
    stage.client().await.batch_execute(&tables).await.expect("a foreign key");
    for number in 0..30_u64 {
        let mut file = loan_file(number * 20 + 1..=number * 20 + 20);
        if [0, 11, 29].contains(&number) {
            file = file.replacen(&loan_line(number * 20 + 5), &refused_line(number * 20 + 5), 1);
        }
        stage.put(&format!("{number:02}.csv"), file);
    }
    stage
}

#[tokio::test]
async fn a_file_whose_refused_row_has_no_number_is_found_all_the_same() {
    // Also where the constraint would speak only at COMMIT.
    for constraint in ["", "DEFERRABLE INITIALLY DEFERRED"] {
        let stage = with_missing_ages(constraint).await;
        stage.scan().await;
        stage.drain().await;
        assert_eq!(stage.loans().await, (27 * 20, 27 * 20), "{constraint}");
        counts_agree(&stage).await;
        let failed = stage
            .texts(
                "SELECT files || failure_msg FROM longshore.etl_task WHERE status = 'FAILED' ORDER BY files",
            )
            .await;
        assert_eq!(failed.len(), 3, "{failed:?}");
        for (message, name) in failed.iter().zip(["00.csv", "11.csv", "29.csv"]) {
            assert!(message.contains(name) && message.contains("refused a row of the file"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_trigger_that_leaves_rows_out_fails_the_task_and_is_named() {
    let stage = Stage::with_loans().await;
    let trigger =
        "CREATE FUNCTION reporting.leave_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER leave_out BEFORE INSERT ON reporting.loan_applications
             FOR EACH ROW EXECUTE FUNCTION reporting.leave_out()";
    stage.client().await.batch_execute(trigger).await.expect("a trigger");
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    stage.drain().await;
    let failed = stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED'").await;
    assert!(failed.len() == 1 && failed[0].contains("took 0 rows of 10: a trigger"), "{failed:?}");
    assert_eq!(stage.loans().await, (0, 0));
}

#[tokio::test]
async fn of_two_files_with_the_same_key_the_first_loads() {
    let stage = Stage::with_loans().await;
    let key = "ALTER TABLE reporting.loan_applications ADD PRIMARY KEY (application_id)";
    stage.client().await.batch_execute(key).await.expect("a key");
    stage.put("a.csv", loan_file(1..=10));
    stage.put("b.csv", loan_file(10..=12));
    stage.put("c.csv", loan_file(11..=20));
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(20).await;
    let failed = stage.texts("SELECT files FROM longshore.etl_task WHERE status = 'FAILED'").await;
    assert!(failed.len() == 1 && failed[0].ends_with("b.csv"), "{failed:?}");
}

#[tokio::test]
async fn small_and_large_files_of_one_task_load_or_fail_each_by_itself() {
    let stage = refusing_stage().await;
    // Each large file has more rows than are handed over whole, and more than one frame.
    let large = |first: u64| loan_file(first..first + 20_000);
    let refused_late = {
        let mut file = large(200_000);
        file.push_str(&refused_line(1));
        file.push('\n');
        file.push_str(&(300_000..340_000).map(|id| loan_line(id) + "\n").collect::<String>());
        file
    };
    let over_the_limit = large(400_000) + &"1,2\n".repeat(1001) + &large(450_000);
    let stray_quotes = {
        let bad = format!("x,{}\n", "long text ".repeat(200));
        format!(
            "{HEADER}\n{}{}",
            bad.repeat(700),
            (500_001..=520_000).map(|id| loan_line(id) + "\n").collect::<String>()
        )
    };
    stage.put("1-small.csv", loan_file(1..=10));
    stage.put("2-large.csv", large(100_001));
    stage.put("3-refused-late.csv", refused_late);
    stage.put("4-small.csv", loan_file(11..=20));
    stage.put("5-over-the-limit.csv", over_the_limit);
    stage.put("6-empty.csv", "");
    stage.put("7-rejects.csv", stray_quotes);
    stage.put("8-small.csv", loan_file(21..=30));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.loans().await, (40_030, 40_030));
    counts_agree(&stage).await;
    let failed =
        stage.texts("SELECT files FROM longshore.etl_task WHERE status = 'FAILED' ORDER BY files").await;
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed[0].ends_with("3-refused-late.csv") && failed[1].ends_with("5-over-the-limit.csv"));
    assert_eq!(stage.number("SELECT count(*) FROM longshore.file_load").await, 6);
    assert_eq!(stage.number("SELECT sum(rows_rejected) FROM longshore.file_load").await, 700);
    assert_eq!(stage.number("SELECT count(*) FROM longshore.reject").await, 700);
}
