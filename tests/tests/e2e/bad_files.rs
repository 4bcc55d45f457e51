//! A bad row costs itself, a bad file costs itself.

use longshore_tests::{HEADER, Stage, eventually, loan_file, loan_line};

#[tokio::test]
async fn a_file_of_the_wrong_header_is_carved_out_and_its_mended_version_loads() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10));
    let lacking = loan_file(11..=20).replace("MonthlyIncome", "Income");
    stage.put("b.csv", lacking);
    stage.put("c.csv", loan_file(21..=30));
    assert_eq!(stage.scan().await["published"], 1);
    stage.drain().await;
    assert_eq!(stage.loans().await, (20, 20));
    let tasks =
        stage.texts("SELECT concat(status, ' ', failure_msg) FROM longshore.etl_task ORDER BY id").await;
    assert_eq!(tasks[0], "LOADED ");
    assert!(tasks[1].starts_with("FAILED ") && tasks[1].contains("`MonthlyIncome`"), "{tasks:?}");
    let carved = stage.texts("SELECT files FROM longshore.etl_task WHERE status = 'FAILED'").await;
    assert!(carved[0].ends_with("/b.csv"), "{carved:?}");

    stage.put("b.csv", loan_file(11..=20));
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 1);
    stage.drain().await;
    stage.assert_each_loan_once(30).await;
    let old = stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED'").await;
    assert!(old[0].starts_with("superseded by a newer version of the file"), "{old:?}");
    // There is nothing to retry any more.
    let retried = stage.ok(&["retry", "--failed", "--json"]).await.json();
    assert_eq!(
        (retried["retried"].as_array().unwrap().len(), retried["superseded"].as_array().unwrap().len()),
        (0, 1)
    );
}

#[tokio::test]
async fn a_row_that_breaks_a_rule_is_rejected_and_its_neighbours_load() {
    let stage = Stage::with_loans().await;
    let mut text = format!("{HEADER}\n");
    let good = |id| loan_line(id) + "\n";
    text += &good(1);
    text += &loan_line(2).replace(",45,", ",forty-five,");
    text += "\n";
    text += &good(3);
    text += "4,0,0.5\n";
    text += &good(5);
    text += &loan_line(6).replacen("6,0,", "6,\"0\"x,", 1);
    text += "\n";
    text += &good(7);
    text += ",0,0.766126609,45,2,0.802982129,9120,13,0,6,0,2\n";
    text += &good(9);
    text += "10,\"never closed\n";
    text += &good(11);
    stage.put("a.csv", text);
    stage.scan().await;
    stage.drain().await;
    let loaded = stage.texts("SELECT application_id FROM reporting.loan_applications ORDER BY 1").await;
    assert_eq!(loaded, ["1", "3", "5", "7", "9", "11"]);
    let rejects = stage.ok(&["rejects", "loan_applications", "--json"]).await.json();
    let found: Vec<String> = rejects
        .as_array()
        .unwrap()
        .iter()
        .map(|reject| format!("{} {} {}", reject["line"], reject["column"], reject["rule"]))
        .collect();
    let expected = [
        r#"3 "age" "type""#,
        r#"5 null "field_count""#,
        r#"7 null "quote_text_after""#,
        r#"9 "application_id" "required""#,
        r#"11 null "quote_unclosed""#,
    ];
    assert_eq!(found, expected);
    assert_eq!(rejects[0]["raw"], loan_line(2).replace(",45,", ",forty-five,"));
    let before = HEADER.len() + 1 + loan_line(1).len() + 1;
    assert_eq!(rejects[0]["byte_offset"], before);
}

#[tokio::test]
async fn too_many_rejects_fail_the_file_and_leave_none_of_its_rows() {
    let stage = Stage::with_loans().await;
    let mut text = loan_file(1..=30_000);
    text += &"x\n".repeat(1001);
    stage.put("a.csv", text);
    stage.put("b.csv", loan_file(50_001..=50_010));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.loans().await, (10, 10));
    assert_eq!(stage.number("SELECT count(*) FROM longshore.reject").await, 0);
    let failed = stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED'").await;
    assert!(failed[0].contains("rejects.max_rows") && failed[0].contains("30002"), "{failed:?}");
}

#[tokio::test]
async fn a_file_overwritten_in_mid_read_never_gives_mixed_rows() {
    let stage = Stage::with_loans().await;
    let (before, after) = (100_001..=140_000, 200_001..=240_000);
    let path = stage.put("a.csv", loan_file(before));
    stage.scan().await;
    let worker = stage.worker_in_mid_load(&[]).await;
    // In place, so that the open handle sees it, and of the same size.
    let overwritten = loan_file(after);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), overwritten.len() as u64);
    std::fs::write(&path, overwritten).unwrap();
    eventually("the task failed", || async {
        stage.number("SELECT count(*) FROM longshore.task WHERE status = 'FAILED'").await == 1
    })
    .await;
    assert_eq!(stage.loans().await, (0, 0));
    let failed = stage.texts("SELECT failure_msg FROM longshore.etl_task").await;
    assert!(failed[0].contains("changed since it was scanned"), "{failed:?}");
    drop(worker);
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.loans().await, (40_000, 40_000));
    assert_eq!(stage.number("SELECT min(application_id) FROM reporting.loan_applications").await, 200_001);
}

#[tokio::test]
async fn a_worker_without_the_folder_tries_again_instead_of_failing_the_files() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    let away = stage.folder().join("away");
    std::fs::rename(&stage.inbox, &away).unwrap();
    let _worker = stage.spawn(&["worker"]);
    let retried =
        "SELECT count(*) FROM longshore.attempt WHERE outcome = 'RETRY' AND error LIKE '%on this machine%'";
    eventually("the task is tried again", || async { stage.number(retried).await >= 1 }).await;
    std::fs::rename(&away, &stage.inbox).unwrap();
    let _scanner = stage.spawn(&["scanner"]);
    eventually("the rows", || async { stage.loans().await == (10, 10) }).await;
}

#[tokio::test]
async fn hostile_header_names_cost_their_file_alone() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=3));
    let header_with =
        |name: &str| loan_file(4..=6).replacen("OfDependents\n", &format!("OfDependents,{name}\n"), 1);
    stage.put("b.csv", header_with("x\u{1b}[31m\u{202e}"));
    stage.put("b0.csv", header_with("x\0\u{1b}[31m"));
    stage.put("c.csv", loan_file(7..=9));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.loans().await, (6, 6));
    let failed = stage.ok(&["tasks", "--status", "FAILED"]).await.stdout;
    assert!(failed.matches("does not name").count() == 2, "{failed:?}");
    assert!(!failed.contains(['\0', '\u{1b}', '\u{202e}']), "{failed:?}");
}

#[tokio::test]
async fn a_broken_archive_fails_alone() {
    let stage = Stage::with_loans().await;
    stage.put("broken.csv.gz", b"this is no archive");
    stage.put("good.csv", loan_file(6..=9));
    stage.put("empty.csv", "");
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.loans().await, (4, 4));
    let failed =
        stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED' ORDER BY 1").await;
    assert!(failed.len() == 1 && failed[0].contains("no gzip archive"), "{failed:?}");
    assert_eq!(stage.number("SELECT count(*) FROM longshore.file_load WHERE rows_read = 0").await, 1);
}

#[tokio::test]
async fn a_row_that_postgres_refuses_costs_its_file_and_can_be_retried() {
    let stage = Stage::with_loans().await;
    let client = stage.client().await;
    let add = "ALTER TABLE reporting.loan_applications ADD CONSTRAINT small CHECK (application_id < 100)";
    client.batch_execute(add).await.unwrap();
    stage.put("a.csv", loan_file(1..=10));
    stage.put("b.csv", loan_file(95..=104));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.loans().await, (10, 10));
    let failed = stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED'").await;
    for part in ["refused row 6", "SQLSTATE 23514", "constraint small"] {
        assert!(failed[0].contains(part), "{failed:?}");
    }
    client.batch_execute("ALTER TABLE reporting.loan_applications DROP CONSTRAINT small").await.unwrap();
    let retried = stage.ok(&["retry", "--failed"]).await;
    assert!(retried.stdout.starts_with("NEW again: 1 task; "), "{retried:?}");
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.loans().await, (20, 20));
}

#[tokio::test]
async fn a_task_whose_files_all_fail_is_failed_and_each_file_has_its_own() {
    let stage = Stage::with_loans().await;
    for name in ["a.csv", "b.csv", "c.csv"] {
        stage.put(name, "no,header,of,ours\n");
    }
    stage.scan().await;
    stage.drain().await;
    let failed = stage.texts("SELECT files FROM longshore.etl_task WHERE status = 'FAILED'").await;
    assert_eq!(failed.len(), 3);
    assert!(failed.iter().all(|files| !files.contains(',')), "{failed:?}");
}

#[tokio::test]
async fn a_load_that_hangs_is_given_up_and_tried_again() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    let mut client = stage.client().await;
    let lock = client.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE reporting.loan_applications").await.unwrap();
    let _worker = stage.spawn_with(&["worker"], &[("LONGSHORE_STALL_LIMIT", "1s")]);
    let stalled =
        "SELECT count(*) FROM longshore.attempt WHERE outcome = 'RETRY' AND error LIKE 'nothing moved%'";
    eventually("the load was given up", || async { stage.number(stalled).await == 1 }).await;
    lock.rollback().await.unwrap();
    let _scanner = stage.spawn(&["scanner"]);
    eventually("the rows", || async { stage.loans().await == (10, 10) }).await;
}
