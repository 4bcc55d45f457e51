//! Never a file missed, never one twice.

use std::{
    ffi::OsStr,
    fs::{File, FileTimes},
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, SystemTime},
};

use longshore_tests::{Stage, eventually, loan_file};

pub(crate) fn set_modified(path: &Path, time: SystemTime) {
    File::options().append(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_second_scan_finds_nothing_new() {
    let stage = Stage::with_loans().await;
    for name in ["a.csv", "2026/03/b.csv", "notes.txt"] {
        stage.put(name, loan_file(1..=2));
    }
    let first = stage.scan().await;
    assert_eq!(first["scans"][0]["counts"]["new"], 2);
    assert_eq!(first["scans"][0]["counts"]["skipped"]["pattern_mismatch"], 1);
    for all in [&["scan", "--flush", "--json"][..], &["scan", "--flush", "--json", "--all"]] {
        let report = stage.ok(all).await.json();
        let counts = &report["scans"][0]["counts"];
        assert_eq!((&counts["listed"], &counts["new"], &counts["known"]), (&3.into(), &0.into(), &2.into()));
        assert_eq!(report["published"], 0);
    }
    // Known files draw no ids.
    let next = stage.number("SELECT last_value FROM longshore.file_id_seq").await;
    assert_eq!(next, 2);
}

#[tokio::test]
async fn a_stopped_scanner_goes_on_from_its_watermark() {
    let stage = Stage::with_loans().await;
    let old = stage.put("a.csv", loan_file(1..=5));
    let mut scanner = stage.spawn(&["scanner"]);
    eventually("a task", || async { stage.number("SELECT count(*) FROM longshore.task").await == 1 }).await;
    scanner.signal("TERM");
    assert!(scanner.ended().await.success());
    assert!(scanner.log().contains("scanner stopped: told to"), "{}", scanner.log());

    let watermark = stage.texts("SELECT watermark FROM longshore.dataset").await;
    assert_eq!(watermark, stage.texts("SELECT file_modified_time FROM longshore.file").await);
    // Younger than watermark − lookback is compared, older is counted.
    let modified = std::fs::metadata(old).unwrap().modified().unwrap();
    set_modified(&stage.put("late.csv", loan_file(6..=8)), modified - 23 * HOUR);
    set_modified(&stage.put("ancient.csv", loan_file(9..=9)), modified - 25 * HOUR);
    let report = stage.scan().await;
    assert_eq!(report["scans"][0]["counts"]["new"], 1);
    assert_eq!(report["scans"][0]["counts"]["known"], 1);
    assert_eq!(report["scans"][0]["counts"]["skipped"]["older_than_lookback"], 1);
    let everything = stage.ok(&["scan", "--all", "--flush", "--json"]).await.json();
    assert_eq!(everything["scans"][0]["counts"]["new"], 1);
    stage.drain().await;
    stage.assert_each_loan_once(9).await;
}

#[tokio::test]
async fn a_file_dated_in_the_future_is_loaded_and_hides_nothing() {
    let stage = Stage::with_loans().await;
    let future = stage.put("future.csv", loan_file(1..=2));
    set_modified(&future, SystemTime::now() + 1000 * HOUR);
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 1);
    stage.put("now.csv", loan_file(3..=4));
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 1);
    stage.drain().await;
    stage.assert_each_loan_once(4).await;
}

#[tokio::test]
async fn a_file_that_has_not_settled_waits_however_it_is_dated() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_SETTLE", "1h")]).await;
    let path = stage.put("a.csv", loan_file(1..=2));
    set_modified(&path, SystemTime::now() - 2 * HOUR);
    let report = stage.scan().await;
    assert_eq!(report["scans"][0]["counts"]["skipped"]["settling"], 1);
    assert_eq!(report["scans"][0]["counts"]["new"], 0);
}

#[tokio::test]
async fn the_service_looks_again_at_what_had_not_settled() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_SETTLE", "3s")]).await;
    stage.put("a.csv", loan_file(1..=2));
    // Scheduled once a year: the first scan, at once, finds a file that has not settled.
    let _scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    eventually("the rows", || async { stage.loans().await == (2, 2) }).await;
    let settling = "SELECT count(*) FROM longshore.scan WHERE files_skipped ->> 'settling' = '1'";
    assert!(stage.number(settling).await >= 1);
}

#[tokio::test]
async fn files_wait_for_a_batch_in_the_order_of_their_modified_time() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", "1 B")]).await;
    let now = SystemTime::now();
    for (name, age) in [("c.csv", 1), ("a.csv", 3), ("b.csv", 2)] {
        set_modified(&stage.put(name, loan_file(1..=1)), now - age * HOUR);
    }
    stage.scan().await;
    let order = stage.texts("SELECT right(files, 5) FROM longshore.etl_task ORDER BY id").await;
    assert_eq!(order, ["a.csv", "b.csv", "c.csv"]);
}

#[tokio::test]
async fn new_content_waits_until_the_earlier_version_is_loaded_or_failed() {
    let stage = Stage::with_loans().await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.put("a.csv", loan_file(1..=3));
    set_modified(&path, SystemTime::now() + HOUR);
    // While the earlier version is on its way, the new one waits: the store has only one of them to give.
    let report = stage.scan().await;
    assert_eq!(report["scans"][0]["counts"]["skipped"]["earlier_version_on_its_way"], 1);
    stage.drain().await;
    let failed = stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED'").await;
    assert!(failed[0].contains("changed since it was scanned"), "{failed:?}");
    // It failed, so the new version is simply a new file.
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 1);
    stage.drain().await;
    stage.assert_each_loan_once(3).await;
    stage.put("a.csv", loan_file(1..=4));
    let report = stage.scan().await;
    assert_eq!(report["scans"][0]["counts"]["new"], 1);
    stage.drain().await;
    stage.assert_each_loan_once(4).await;
}

#[tokio::test]
async fn a_missing_folder_fails_its_scan_and_the_next_one_tries_again() {
    let stage = Stage::with_loans().await;
    std::fs::remove_dir(&stage.inbox).unwrap();
    let failed = stage.run(&["scan", "--json"]).await;
    assert_eq!(failed.code, 1);
    assert!(
        failed.json()["failed"][0]["error"].as_str().unwrap().contains("cannot list file://"),
        "{failed:?}"
    );
    let recorded = stage.texts("SELECT error FROM longshore.scan WHERE finished_time IS NOT NULL").await;
    assert!(recorded[0].contains("cannot list"), "{recorded:?}");
    stage.put("a.csv", loan_file(1..=2));
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 1);
}

#[tokio::test]
async fn every_name_that_a_file_can_have_is_loaded() {
    let stage = Stage::with_loans().await;
    let names: [&[u8]; 8] = [
        b"plain.csv",
        b"a, b;c.csv",
        b"quote\"'`$(x).csv",
        b"line\nbreak\tINFO forged.csv",
        b"percent%20%2F#fragment?query.csv",
        "\u{fc}n\u{ef}c\u{f6}de \u{1f600}.csv".as_bytes(),
        b"not utf-8 \xff\xfe.csv",
        b" leading space .csv",
    ];
    for (index, name) in names.iter().enumerate() {
        let id = index as u64 + 1;
        std::fs::write(stage.inbox.join(OsStr::from_bytes(name)), loan_file(id..=id)).unwrap();
    }
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 8);
    stage.drain().await;
    stage.assert_each_loan_once(8).await;
    assert_eq!(stage.scan().await["scans"][0]["counts"]["known"], 8);
    let files = stage.ok(&["files"]).await.stdout;
    assert_eq!(files.lines().count(), 9, "{files}");
}

#[tokio::test]
async fn scans_at_the_same_time_record_each_file_once() {
    let stage = Stage::with_loans().await;
    for id in 1..=20 {
        stage.put(&format!("{id}.csv"), loan_file(id..=id));
    }
    let mut scans: Vec<_> = (0..4).map(|_| stage.spawn(&["scan", "--flush"])).collect();
    for scan in &mut scans {
        assert!(scan.ended().await.success(), "{}", scan.log());
    }
    // Whoever came too late left the work to the one that had the lock.
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(20).await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.file").await, 20);
}

#[tokio::test]
async fn another_source_is_compared_whole_however_old_its_files_are() {
    let mut stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    let other = stage.folder().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("old.csv"), loan_file(3..=4)).unwrap();
    set_modified(&other.join("old.csv"), SystemTime::now() - 100 * HOUR);
    stage.environment.insert("LONGSHORE_INBOX".to_owned(), other.to_str().unwrap().to_owned());
    stage.ok(&["dataset", "apply", &stage.loan_spec(), "--new-files"]).await;
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 1);
    stage.drain().await;
    stage.assert_each_loan_once(4).await;
}
