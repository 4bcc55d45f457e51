//! One dataset's trouble stays its own: locks, floods, closed folders, missing mounts, and clocks that are set back.

use std::{
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use longshore_tests::{S3Server, Stage, eventually, loan_file};
use serde_json::{Value, json};

use crate::{
    audits::without_privileges,
    discovery::{HOUR, set_modified},
    s3::spec_with,
};

/// A second dataset beside the loans, whose folder has this one file.
async fn apply_others(stage: &Stage, content: &str) {
    let folder = stage.folder().join("others");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("b.csv"), content).unwrap();
    let source = format!("source = \"file://{}\"", folder.display());
    let changes = [
        ("\"loan_applications\"", "\"others\""),
        ("reporting.loan_applications", "reporting.others"),
        ("source = \"file://${LONGSHORE_INBOX:-/var/lib/longshore/inbox}\"", source.as_str()),
    ];
    stage.apply_loans(&changes).await;
}

async fn others(stage: &Stage) -> i64 {
    stage.number("SELECT count(*) FROM reporting.others").await
}

#[tokio::test]
async fn a_dataset_whose_batches_cannot_be_made_holds_up_no_other() {
    let stage = Stage::new().await;
    stage.apply_loans(&[("${LONGSHORE_BATCH_WAIT:-5m}", "1h")]).await;
    stage.put("a.csv", loan_file(1..=2));
    stage.ok(&["scan"]).await;
    stage.apply_loans(&[]).await;
    let stranger = stage.client().await;
    stranger
        .batch_execute("BEGIN; SELECT * FROM longshore.dataset WHERE name = 'loan_applications' FOR UPDATE")
        .await
        .unwrap();
    let scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    scanner.logs("its files cannot become tasks").await;
    let status = stage.ok(&["status", "--json"]).await.json();
    assert_eq!(status["not_batched"][0]["dataset"], "loan_applications", "{status}");
    assert!(status["not_batched"][0]["error"].as_str().unwrap().contains("lock timeout"), "{status}");

    apply_others(&stage, &loan_file(1..=3)).await;
    eventually("the other dataset's rows", || async { others(&stage).await == 3 }).await;
    assert_eq!(stage.loans().await, (0, 0));

    stranger.batch_execute("ROLLBACK").await.unwrap();
    // It is tried every half minute.
    tokio::time::sleep(Duration::from_secs(15)).await;
    eventually("the rows", || async { stage.loans().await == (2, 2) }).await;
    eventually("the end of the trouble", || async {
        stage.ok(&["status", "--json"]).await.json().get("not_batched").is_none()
    })
    .await;
    assert_eq!(scanner.log().matches("its files cannot become tasks").count(), 1, "{}", scanner.log());
}

#[tokio::test]
async fn a_flood_of_one_dataset_lets_another_have_its_turn() {
    let stage = Stage::with_loans().await;
    stage.apply_loans(&[("[batch]", "[batch]\nmax_files = 1")]).await;
    for number in 1..=700 {
        stage.put(&format!("{number}.csv"), loan_file(number..=number));
    }
    let _scanner = stage.spawn(&["scanner"]);
    let open = "SELECT count(*) FROM longshore.task WHERE status = 'NEW' AND published_time IS NULL";
    eventually("a queue that has enough", || async {
        stage.number("SELECT count(*) FROM longshore.task").await == 700 && stage.number(open).await == 200
    })
    .await;
    assert_eq!(stage.queue_length("tasks").await, 500);
    apply_others(&stage, &loan_file(1..=3)).await;
    eventually("the other's task", || async {
        stage.number("SELECT count(*) FROM longshore.task").await == 701
    })
    .await;
    let _worker = stage.spawn(&["worker", "--concurrency", "8"]);
    eventually("the other's rows", || async { others(&stage).await == 3 }).await;
    eventually("half of all rows", || async { stage.loans().await.0 >= 350 }).await;
    eventually("all rows", || async { stage.loans().await == (700, 700) }).await;
    let behind = "SELECT count(*) FROM longshore.attempt JOIN longshore.task ON task.id = task_id
        JOIN longshore.dataset ON dataset.id = dataset_id
        WHERE name = 'loan_applications' AND attempt.started_time > (
            SELECT min(attempt.started_time) FROM longshore.attempt JOIN longshore.task ON task.id = task_id
            JOIN longshore.dataset ON dataset.id = dataset_id WHERE name = 'others')";
    assert!(stage.number(behind).await > 100, "{}", stage.number(behind).await);
}

fn scan_without_privileges(stage: &Stage) -> Value {
    let output = without_privileges(stage, &["scan", "--flush", "--json"]).output().unwrap();
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["scans"][0]["counts"].clone()
}

async fn watermark(stage: &Stage) -> Vec<String> {
    stage.texts("SELECT watermark FROM longshore.dataset WHERE watermark IS NOT NULL").await
}

async fn a_day_passes(stage: &Stage) {
    let client = stage.client().await;
    client.execute("UPDATE longshore.postponed SET since = since - interval '25 hours'", &[]).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_stays_closed_holds_the_watermark_for_a_day_and_is_loaded_once_it_is_open() {
    for partition in ["", "partition = \"%Y/%m/%d/\"\n"] {
        let stage = Stage::new().await;
        stage.apply_loans(&[("[discovery]", &format!("[discovery]\n{partition}"))]).await;
        let today = stage.texts("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY/MM/DD')").await.remove(0);
        stage.put(&format!("{today}/a.csv"), loan_file(1..=2));
        let old = stage.put("2001/01/01/old.csv", loan_file(3..=4));
        set_modified(&old, SystemTime::now() - 1000 * HOUR);
        let closed = old.parent().unwrap();
        std::fs::set_permissions(closed, PermissionsExt::from_mode(0o000)).unwrap();
        let counts = scan_without_privileges(&stage);
        assert_eq!((&counts["new"], &counts["skipped"]["unreadable"]), (&json!(1), &json!(1)), "{counts}");
        assert!(watermark(&stage).await.is_empty());

        a_day_passes(&stage).await;
        assert_eq!(scan_without_privileges(&stage)["names_postponed"], 1);
        assert_eq!(watermark(&stage).await.len(), 1);
        let status = stage.ok(&["status", "--json"]).await.json();
        assert!(status["postponed"][0]["uris"][0].as_str().unwrap().ends_with("/2001/01/01"), "{status}");
        assert!(stage.ok(&["status"]).await.stdout.contains("/2001/01/01"));
        assert!(stage.ok(&["scans"]).await.stdout.contains("not readable"));
        // It is looked at by its name, wherever it lies.
        assert_eq!(scan_without_privileges(&stage)["skipped"]["unreadable"], 1);

        std::fs::set_permissions(closed, PermissionsExt::from_mode(0o755)).unwrap();
        let counts = scan_without_privileges(&stage);
        assert_eq!(counts["new"], 1, "{counts}");
        stage.drain().await;
        stage.assert_each_loan_once(4).await;
        assert_eq!(stage.number("SELECT count(*) FROM longshore.postponed").await, 0);
        assert!(stage.ok(&["status", "--json"]).await.json().get("postponed").is_none());
        // From now on it is as old as any other.
        assert_eq!(scan_without_privileges(&stage)["new"], 0);
    }
}

#[tokio::test]
async fn an_old_file_that_never_settles_holds_the_watermark_for_a_day_and_is_loaded_once_it_has() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_SETTLE", "3s")]).await;
    stage.put("a.csv", loan_file(1..=2));
    let old = stage.put("old.csv", loan_file(3..=4));
    let long_ago = SystemTime::now() - 240 * HOUR;
    let touch_and_scan = || async {
        set_modified(&old, long_ago);
        stage.scan().await["scans"][0]["counts"].clone()
    };
    eventually("the other file", || async { touch_and_scan().await["new"] == 1 }).await;
    // Not beyond the file that waits.
    let held = "SELECT watermark < now() - interval '9 days' FROM longshore.dataset";
    assert_eq!(stage.texts(held).await, ["true"]);
    a_day_passes(&stage).await;
    let counts = touch_and_scan().await;
    assert_eq!((&counts["skipped"]["settling"], &counts["names_postponed"]), (&json!(1), &json!(1)));
    assert_eq!(stage.texts(held).await, ["false"]);
    eventually("the old file", || async { stage.scan().await["scans"][0]["counts"]["new"] == 1 }).await;
    stage.drain().await;
    stage.assert_each_loan_once(4).await;
}

#[tokio::test]
async fn a_source_that_is_suddenly_empty_is_said_until_it_is_not() {
    let stage = Stage::with_loans().await;
    let file = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    let aside = stage.folder().join("aside.csv");
    std::fs::rename(&file, &aside).unwrap();
    for _ in 0..2 {
        let scan = stage.scan().await;
        assert_eq!(scan["scans"][0]["counts"]["listed_before"], 1, "{scan}");
    }
    let status = stage.ok(&["status", "--json"]).await.json();
    let short = &status["short_listings"][0];
    assert_eq!((&short["listed"], &short["listed_before"]), (&json!(0), &json!(1)), "{status}");
    assert!(stage.ok(&["status"]).await.stdout.contains("is the source mounted"));
    assert!(stage.ok(&["scans"]).await.stdout.contains("an earlier one listed 1"));
    assert!(stage.ok(&["scan"]).await.stdout.contains("an earlier one listed 1"));
    std::fs::rename(&aside, &file).unwrap();
    stage.scan().await;
    assert!(stage.ok(&["status", "--json"]).await.json().get("short_listings").is_none());
}

#[tokio::test]
async fn a_listing_of_less_than_half_is_said_once_and_files_that_leave_are_not_missed() {
    let stage = Stage::with_loans().await;
    for number in 1..=30 {
        stage.put(&format!("{number}.csv"), loan_file(number..=number));
    }
    stage.scan().await;
    for number in 1..=20 {
        std::fs::remove_file(stage.inbox.join(format!("{number}.csv"))).unwrap();
    }
    assert_eq!(stage.scan().await["scans"][0]["counts"]["listed_before"], 30);
    assert!(stage.scan().await["scans"][0]["counts"].get("listed_before").is_none());
    stage.drain().await;
    stage.apply_loans(&[("[discovery]", "[discovery]\nafter_load = \"delete\"")]).await;
    for number in 21..=30 {
        std::fs::remove_file(stage.inbox.join(format!("{number}.csv"))).unwrap();
    }
    assert!(stage.scan().await["scans"][0]["counts"].get("listed_before").is_none());
}

#[tokio::test]
async fn a_database_clock_that_was_ahead_holds_up_neither_tasks_nor_batches() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_WAIT", "1h")]).await;
    let client = stage.client().await;
    let ahead = |what: &'static str| {
        let client = &client;
        async move { assert_eq!(client.execute(what, &[]).await.unwrap(), 1, "{what}") }
    };
    stage.put("a.csv", loan_file(1..=1));
    stage.ok(&["scan"]).await;
    ahead("UPDATE longshore.file SET created_time = now() + interval '1 year'").await;
    stage.ok(&["scan"]).await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.task").await, 1);
    // A message that is in the queue already, and one that is to be published.
    ahead("UPDATE longshore.task SET due_time = now() + interval '1 year'").await;
    stage.drain().await;
    stage.assert_each_loan_once(1).await;
    stage.put("b.csv", loan_file(2..=2));
    stage.scan().await;
    let broker = stage.broker().await;
    let channel = broker.create_channel().await.unwrap();
    channel.queue_purge(stage.queue_name("tasks").into(), Default::default()).await.unwrap();
    ahead(
        "UPDATE longshore.task SET due_time = now() + interval '1 year', published_time = NULL WHERE status = 'NEW'",
    )
    .await;
    assert_eq!(stage.scan().await["published"], 1);
    stage.drain().await;
    stage.assert_each_loan_once(2).await;
}

#[tokio::test]
async fn a_clock_that_was_ahead_for_a_moment_stops_no_scans() {
    let stage = Stage::new().await;
    // A source whose links are followed is not watched but listed.
    let schedule = ("${LONGSHORE_SCHEDULE:-0 * * * *}", "continuous");
    stage.apply_loans(&[schedule, ("[discovery]", "[discovery]\nfollow_links = true")]).await;
    let clock = stage.folder().join("clock");
    std::fs::write(&clock, "31536000").unwrap();
    let _scanner = stage.spawn_with(&["scanner"], &[("LONGSHORE_CLOCK_AHEAD", clock.to_str().unwrap())]);
    let scans = "SELECT count(*) FROM longshore.scan WHERE outcome = 'COMPLETE'";
    eventually("two scans", || async { stage.number(scans).await >= 2 }).await;
    std::fs::write(&clock, "0").unwrap();
    stage.put("a.csv", loan_file(1..=2));
    eventually("the file", || async { stage.number("SELECT count(*) FROM longshore.file").await == 1 }).await;
}

#[tokio::test]
async fn cron_alone_finds_a_file_with_an_old_time_once_an_audit_is_due() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    set_modified(&stage.put("old.csv", loan_file(3..=4)), SystemTime::now() - 72 * HOUR);
    assert_eq!(stage.scan().await["scans"][0]["counts"]["skipped"]["older_than_lookback"], 1);
    let client = stage.client().await;
    client
        .execute("UPDATE longshore.dataset SET created_time = now() - interval '2 days'", &[])
        .await
        .unwrap();
    assert_eq!(stage.scan().await["scans"][0]["audit"]["missed"]["files"], 1);
    stage.drain().await;
    stage.assert_each_loan_once(4).await;
    // Until the next one is due, it scans.
    assert!(stage.scan().await["scans"][0].get("audit").is_none());
}

#[tokio::test]
async fn a_drained_queue_with_a_file_that_failed_is_exit_code_1() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=2));
    stage.put("bad.csv", "no,such,header\n1,2,3\n");
    stage.scan().await;
    assert_eq!(stage.run(&["worker", "--drain"]).await.code, 1);
    stage.assert_each_loan_once(2).await;
    assert_eq!(stage.run(&["worker", "--drain"]).await.code, 0);
    // A task that fails as a whole.
    stage
        .client()
        .await
        .batch_execute("ALTER TABLE reporting.loan_applications RENAME TO away")
        .await
        .unwrap();
    stage.put("b.csv", loan_file(3..=4));
    stage.scan().await;
    let failed = stage.run(&["worker", "--drain"]).await;
    let tasks = stage.number("SELECT count(*) FROM longshore.task WHERE status = 'FAILED'").await;
    assert_eq!(failed.code, i32::from(tasks > 1), "{failed:?}");
}

#[tokio::test]
async fn failed_tasks_of_one_dataset_are_retried_alone() {
    let stage = Stage::with_loans().await;
    let bad = "no,such,header\n1,2,3\n";
    stage.put("a.csv", bad);
    apply_others(&stage, bad).await;
    stage.scan().await;
    stage.drain().await;
    let retried = stage.ok(&["retry", "--failed", "--dataset", "others", "--json"]).await.json();
    assert_eq!(retried["retried"].as_array().unwrap().len(), 1);
    let new = stage
        .texts("SELECT name FROM longshore.task JOIN longshore.dataset ON dataset.id = dataset_id WHERE status = 'NEW'")
        .await;
    assert_eq!(new, ["others"]);
    assert_eq!(stage.run(&["retry", "--failed", "--dataset", "nobody"]).await.code, 2);
    assert_eq!(stage.run(&["retry", "--dataset", "others"]).await.code, 2);
    assert_eq!(
        stage.ok(&["retry", "--failed", "--json"]).await.json()["retried"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_file_waits_no_longer_because_a_store_is_still_being_listed() {
    let (mut stage, server) = (Stage::new().await, S3Server::start().await);
    server.create_bucket("harbour");
    stage.environment.extend(server.environment());
    stage.environment.insert("LONGSHORE_BATCH_WAIT".to_owned(), "1s".to_owned());
    stage.ok(&["dataset", "apply", &spec_with(&stage, "s3://harbour/loans/", "")]).await;
    server.put("harbour", "loans/a.csv", loan_file(1..=2));
    for number in 0..6000 {
        server.put("harbour", &format!("loans/z{number:04}.txt"), "");
    }
    server.answer_listings_after(Duration::from_secs(8));
    let mut scan = stage.spawn(&["scan"]);
    eventually("the task", || async { stage.number("SELECT count(*) FROM longshore.task").await == 1 }).await;
    assert_eq!(stage.texts("SELECT outcome IS NULL FROM longshore.scan").await, ["true"]);
    assert!(!scan.has_ended());
}
