//! The record of scans: while one runs, when it dies, when it fails, and how much of it is kept.

use std::time::Duration;

use longshore_tests::{Stage, eventually, loan_file};
use serde_json::Value;

use crate::audits::assert_counts_add_up;

async fn newest(stage: &Stage) -> Value {
    stage.ok(&["scans", "--json"]).await.json()[0].clone()
}

#[tokio::test]
async fn a_running_scan_shows_a_bar_and_a_killed_one_that_it_ended_abnormally() {
    let stage = Stage::with_loans().await;
    assert_eq!(stage.ok(&["scans"]).await.stdout, "no scans\n");
    for number in 0..1500 {
        std::fs::write(stage.inbox.join(format!("{number}.csv")), loan_file(1..=1)).unwrap();
    }
    stage.scan().await;
    let first = newest(&stage).await;
    assert_eq!(
        (&first["state"], &first["listed"], &first["new"]),
        (&"COMPLETE".into(), &1500.into(), &1500.into())
    );

    // The first page takes longer than the time after which progress is recorded, the second one hangs.
    let hangs = [("FAILPOINTS", "scanner::after_enlist=1*sleep(1500)->sleep(600000)")];
    let mut scan = stage.spawn_with(&["scan"], &hangs);
    eventually("a thousand files", || async {
        let running = newest(&stage).await;
        running["state"] == "RUNNING" && running["listed"] == 1000
    })
    .await;
    let list = stage.ok(&["scans", "loan_applications"]).await.stdout;
    let line = list.lines().nth(1).unwrap();
    assert!(line.contains("RUNNING") && line.contains("█████████████░░░░░░░ of about 1,500"), "{list}");
    assert_eq!(list.lines().count(), 3, "{list}");

    scan.signal("KILL");
    scan.ended().await;
    eventually("its end", || async { newest(&stage).await["state"] == "DIED" }).await;
    let list = stage.ok(&["scans", "--limit", "1"]).await.stdout;
    assert!(list.contains("DIED") && list.contains("ended abnormally") && list.contains("1,000"), "{list}");
    // The next scan writes it down, and finds what the killed one had not come to.
    assert_eq!(stage.scan().await["scans"][0]["counts"]["known"], 1500);
    let outcomes = stage.texts("SELECT outcome FROM longshore.scan ORDER BY id").await;
    assert_eq!(outcomes, ["COMPLETE", "DIED", "COMPLETE"]);
    assert_eq!(stage.run(&["scans", "other"]).await.code, 2);
    assert_counts_add_up(&stage).await;
}

/// Several datasets have the same source, because each is tried again only after half a minute.
#[tokio::test]
async fn a_source_that_hangs_takes_no_more_threads_of_a_scanner() {
    let stage = Stage::new().await;
    for name in ["a", "b", "c", "d", "e"] {
        let spec = format!(
            "name = \"{name}\"\nsource = \"file://{}\"\nschedule = \"continuous\"\n[target]\ntable = \"reporting.{name}\"\n\
             [[columns]]\nname = \"id\"\ntype = \"bigint\"\n",
            stage.inbox.display()
        );
        let path = stage.folder().join("spec.toml");
        std::fs::write(&path, spec).unwrap();
        stage.ok(&["dataset", "apply", path.to_str().unwrap()]).await;
    }
    let hangs = [("FAILPOINTS", "store::walk=sleep(600000)"), ("LONGSHORE_STALL_LIMIT", "1s")];
    let _scanner = stage.spawn_with(&["scanner"], &hangs);
    let failed = |error: &str| {
        let sql = format!(
            "SELECT count(*) FROM longshore.scan WHERE outcome = 'FAILED' AND error LIKE '%{error}%'"
        );
        let stage = &stage;
        async move { stage.number(&sql).await }
    };
    eventually("scans that hang", || async { failed("gave no entry for 1s").await >= 5 }).await;
    // Until they are tried again.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let hung = "have not come back: the file system behind it hangs";
    eventually("scans that begin no thread", || async { failed(hung).await > 0 }).await;
}

#[tokio::test]
async fn a_failed_scan_keeps_its_counts_and_its_reason() {
    let stage = Stage::with_loans().await;
    for number in 0..1200 {
        std::fs::write(stage.inbox.join(format!("{number}.csv")), loan_file(1..=1)).unwrap();
    }
    let fails = [("FAILPOINTS", "scanner::before_enlist=1*off->return(error)")];
    assert_eq!(stage.run_with(&["scan"], &fails).await.code, 1);
    let failed = newest(&stage).await;
    assert_eq!(
        (&failed["state"], &failed["new"], &failed["listed"]),
        (&"FAILED".into(), &1000.into(), &1000.into())
    );
    assert!(failed["error"].as_str().unwrap().contains("scanner::before_enlist"), "{failed}");
    let counts = stage.scan().await["scans"][0]["counts"].clone();
    assert_eq!((&counts["known"], &counts["new"]), (&1000.into(), &200.into()));
    assert_counts_add_up(&stage).await;
}

#[tokio::test]
async fn a_broken_store_holds_up_no_other_and_is_told_of_once() {
    let stage = Stage::with_loans().await;
    let missing = stage.folder().join("missing");
    let broken = |schedule: &'static str| {
        let source = format!("source = \"file://{}\"", missing.display());
        let stage = &stage;
        async move {
            let changes = [
                ("\"loan_applications\"", "\"broken\""),
                ("reporting.loan_applications", "reporting.broken"),
                ("source = \"file://${LONGSHORE_INBOX:-/var/lib/longshore/inbox}\"", source.as_str()),
                ("${LONGSHORE_SCHEDULE:-0 * * * *}", schedule),
            ];
            stage.apply_loans(&changes).await;
        }
    };
    broken("0 0 1 1 *").await;
    stage.put("a.csv", loan_file(1..=5));
    let scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    eventually("the healthy rows", || async { stage.loans().await == (5, 5) }).await;
    let failures = "SELECT count(*) FROM longshore.scan WHERE outcome = 'FAILED'";
    eventually("a failure", || async { stage.number(failures).await == 1 }).await;
    // With a new schedule, a dataset that was never scanned is due at once.
    broken("0 0 1 2 *").await;
    eventually("another failure", || async { stage.number(failures).await == 2 }).await;
    let since = "SELECT count(DISTINCT failing_since) FROM longshore.scan WHERE outcome = 'FAILED'";
    assert_eq!(stage.number(since).await, 1);

    let status = stage.ok(&["status", "--json"]).await.json();
    let failing = &status["failing"][0];
    assert_eq!((&failing["dataset"], &failing["kind"]), (&"broken".into(), &"SCAN".into()), "{status}");
    assert!(failing["error"].as_str().unwrap().contains("cannot list file://"), "{status}");
    assert!(failing["next_time"].as_str().unwrap() > failing["last_time"].as_str().unwrap(), "{status}");
    assert_eq!(status["failing"].as_array().unwrap().len(), 1);
    let text = stage.ok(&["status"]).await.stdout;
    assert!(text.contains("broken: its scan fails since ") && text.contains("tries again from "), "{text}");

    std::fs::create_dir(&missing).unwrap();
    broken("0 0 1 3 *").await;
    scanner.logs("the scan works again").await;
    let log = scanner.log();
    assert_eq!(log.matches("the scan failed").count(), 1, "{log}");
    assert!(stage.ok(&["status", "--json"]).await.json().get("failing").is_none());
}

#[tokio::test]
async fn the_books_keep_the_newest_scans_and_for_a_month_those_that_found_something() {
    let stage = Stage::with_loans().await;
    let client = stage.client().await;
    // Every hundredth found something, the first of them long ago.
    client
        .batch_execute(
            "INSERT INTO longshore.scan (dataset_id, started_time, finished_time, outcome, files_new)
             SELECT dataset.id, time, time, 'COMPLETE', CASE WHEN n % 100 = 1 THEN 1 ELSE 0 END
             FROM longshore.dataset, generate_series(1, 1500) AS n
             CROSS JOIN LATERAL (SELECT now() - CASE WHEN n <= 100 THEN interval '31 days' ELSE interval '1 hour' END AS time) AS t",
        )
        .await
        .unwrap();
    stage.scan().await;
    let kept = "SELECT count(*) FROM longshore.scan";
    // Those from 502 on and the new one are the newest; before them, 101, 201, 301, 401 and 501 found something.
    assert_eq!(stage.number(kept).await, 1005);
    assert_eq!(stage.number("SELECT min(id) FROM longshore.scan").await, 101);
}

#[tokio::test]
async fn the_books_are_bounded_however_many_scans_find_something() {
    let stage = Stage::with_loans().await;
    let client = stage.client().await;
    client
        .batch_execute(
            "INSERT INTO longshore.scan (dataset_id, started_time, finished_time, outcome, files_new)
             SELECT id, now() - interval '1 hour', now() - interval '1 hour', 'COMPLETE', 1
             FROM longshore.dataset, generate_series(1, 12000)",
        )
        .await
        .unwrap();
    stage.scan().await;
    // The new one found nothing.
    assert_eq!(stage.number("SELECT count(*) FROM longshore.scan").await, 10_001);
    assert_eq!(stage.number("SELECT min(id) FROM longshore.scan").await, 2001);
}
