//! What an audit finds: files that scans missed, those that are left out, and those that are gone.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    process::Command,
    time::SystemTime,
};

use longshore_tests::{Process, Stage, eventually, loan_file};
use serde_json::json;

use crate::discovery::{HOUR, set_modified};

/// Whatever a scan lists is new, known or skipped for a reason.
pub(crate) async fn assert_counts_add_up(stage: &Stage) {
    let wrong = "SELECT count(*) FROM longshore.scan WHERE files_listed <> files_new + files_known
        + (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(files_skipped))";
    assert_eq!(stage.number(wrong).await, 0);
    assert!(stage.number("SELECT count(*) FROM longshore.scan WHERE files_listed > 0").await > 0);
}

async fn ago(stage: &Stage, hours: u32) -> SystemTime {
    let watermark = stage.number("SELECT extract(epoch FROM watermark)::bigint FROM longshore.dataset").await;
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(watermark.unsigned_abs()) - hours * HOUR
}

#[tokio::test]
async fn a_late_file_with_an_old_time_is_counted_by_scans_and_found_by_the_audit() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    set_modified(&stage.put("late.csv", loan_file(3..=4)), ago(&stage, 25).await);
    let scan = stage.scan().await;
    assert_eq!(scan["scans"][0]["counts"]["skipped"]["older_than_lookback"], 1);
    // New, but a scan would have found it as well: nothing was missed with it.
    stage.put("new.csv", loan_file(5..=5));
    let audit = stage.run(&["audit", "loan_applications", "--flush", "--json"]).await;
    assert_eq!(audit.code, 1, "{audit:?}");
    let report = &audit.json()["scans"][0];
    let counts = &report["counts"];
    assert_eq!((&counts["listed"], &counts["new"], &counts["known"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!(report["audit"]["missed"]["files"], 1);
    assert!(report["audit"]["missed"]["uris"][0].as_str().unwrap().ends_with("/late.csv"), "{report}");
    stage.drain().await;
    stage.assert_each_loan_once(5).await;
    // Everything is known now: all is well.
    let again = stage.ok(&["audit", "--json"]).await.json();
    assert_eq!(again["scans"][0]["counts"]["known"], 3);
    let recorded = "SELECT concat(kind, ' ', outcome, ' ', audit #>> '{missed,files}') FROM longshore.scan
        WHERE kind = 'AUDIT' ORDER BY id";
    assert_eq!(stage.texts(recorded).await, ["AUDIT COMPLETE 1", "AUDIT COMPLETE 0"]);
    assert_counts_add_up(&stage).await;
}

#[tokio::test]
async fn everything_that_an_audit_leaves_out_is_named_under_its_reason() {
    let stage = Stage::with_loans().await;
    for name in ["a.csv", "notes.txt", ".hidden/a.csv"] {
        stage.put(name, loan_file(1..=1));
    }
    std::fs::write(stage.inbox.join("b.csv.part"), "x").unwrap();
    symlink("/etc/passwd", stage.inbox.join("link.csv")).unwrap();
    symlink("nowhere", stage.inbox.join("broken.csv")).unwrap();
    assert!(Command::new("mkfifo").arg(stage.inbox.join("pipe.csv")).status().unwrap().success());
    let audit = stage.ok(&["audit", "--json"]).await.json();
    let counts = &audit["scans"][0]["counts"];
    let expected = [
        ("broken_link", "/broken.csv"),
        ("half_written", "/b.csv.part"),
        ("hidden_folder", "/.hidden"),
        ("not_a_regular_file", "/pipe.csv"),
        ("pattern_mismatch", "/notes.txt"),
        ("symbolic_link", "/link.csv"),
    ];
    for (reason, name) in expected {
        assert_eq!(counts["skipped"][reason], 1, "{counts}");
        assert!(counts["skipped_uris"][reason][0].as_str().unwrap().ends_with(name), "{counts}");
    }
    assert_eq!(counts["skipped"].as_object().unwrap().len(), expected.len(), "{counts}");
    assert_eq!(counts["listed"], 7);
    // What is still settling, too; and of many names the first twenty.
    for number in 0..30 {
        stage.put(&format!("{number}.csv"), loan_file(1..=1));
    }
    stage.apply_loans(&[("${LONGSHORE_SETTLE:-5s}", "1h")]).await;
    let audit = stage.ok(&["audit", "--json"]).await.json();
    let counts = &audit["scans"][0]["counts"];
    assert_eq!(counts["skipped"]["settling"], 31);
    assert_eq!(counts["skipped_uris"]["settling"].as_array().unwrap().len(), 20);
    let text = stage.ok(&["audit"]).await.stdout;
    assert!(text.contains("skipped 31: settling") && text.contains("… and 11 more"), "{text}");
    let list = stage.ok(&["scans"]).await.stdout;
    assert!(list.contains("31 settling") && list.contains("1 pattern mismatch"), "{list}");
    assert_counts_add_up(&stage).await;
}

#[tokio::test]
async fn files_that_are_gone_are_reported_and_never_removed() {
    let stage = Stage::with_loans().await;
    for (id, name) in ["loaded.csv", "hidden.csv", "stays.csv"].into_iter().enumerate() {
        stage.put(name, loan_file(id as u64 + 1..=id as u64 + 1));
    }
    stage.scan().await;
    stage.drain().await;
    stage.put("not_loaded.csv", loan_file(4..=4));
    stage.scan().await;
    std::fs::remove_file(stage.inbox.join("loaded.csv")).unwrap();
    std::fs::remove_file(stage.inbox.join("not_loaded.csv")).unwrap();
    // What the store lists and the dataset does not want is not gone.
    std::fs::remove_file(stage.inbox.join("hidden.csv")).unwrap();
    symlink("stays.csv", stage.inbox.join("hidden.csv")).unwrap();
    let audit = stage.run(&["audit", "--json"]).await;
    assert_eq!(audit.code, 1, "{audit:?}");
    let report = audit.json();
    let gone = &report["scans"][0]["audit"]["gone"];
    for (kind, name) in [("loaded", "/loaded.csv"), ("not_loaded", "/not_loaded.csv")] {
        assert_eq!(gone[kind]["files"], 1, "{gone}");
        assert!(gone[kind]["uris"][0].as_str().unwrap().ends_with(name), "{gone}");
    }
    assert_eq!(stage.number("SELECT count(*) FROM longshore.file").await, 4);
    stage.assert_each_loan_once(3).await;
    let text = stage.run(&["audit"]).await.stdout;
    assert!(text.contains("1 gone from the store, and loaded"), "{text}");
    // Loaded files may go: all is well without the other one.
    stage.put("not_loaded.csv", loan_file(4..=4));
    stage.ok(&["audit", "--flush"]).await;
}

#[tokio::test]
async fn files_of_another_source_are_not_gone() {
    let mut stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    let other = stage.folder().join("inbox2");
    std::fs::create_dir(&other).unwrap();
    stage.environment.insert("LONGSHORE_INBOX".to_owned(), other.to_str().unwrap().to_owned());
    stage.ok(&["dataset", "apply", &stage.loan_spec(), "--new-files"]).await;
    let audit = stage.ok(&["audit", "--json"]).await.json();
    assert_eq!(audit["scans"][0]["audit"]["gone"]["not_loaded"]["files"], 0);
}

#[tokio::test]
async fn the_service_audits_by_a_schedule_of_its_own() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    set_modified(&stage.put("late.csv", loan_file(3..=4)), ago(&stage, 100).await);
    let audits = "SELECT count(*) FROM longshore.scan WHERE kind = 'AUDIT'";
    // As if the dataset had been made days ago and never been audited.
    let client = stage.client().await;
    client
        .execute("UPDATE longshore.dataset SET created_time = now() - interval '3 days'", &[])
        .await
        .unwrap();
    let mut scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    eventually("the late rows", || async { stage.loans().await == (4, 4) }).await;
    scanner.logs("scans had missed files").await;
    scanner.signal("TERM");
    assert!(scanner.ended().await.success());
    // The next start has nothing to audit. That it has looked at every dataset shows in the scan of a new one.
    let _scanner = stage.spawn(&["scanner"]);
    let name = ("\"loan_applications\"", "\"others\"");
    stage.apply_loans(&[name, ("reporting.loan_applications", "reporting.others")]).await;
    let scanned = "SELECT count(*) FROM longshore.scan JOIN longshore.dataset ON dataset.id = dataset_id
        WHERE name = 'others' AND outcome = 'COMPLETE'";
    eventually("the other dataset's scan", || async { stage.number(scanned).await == 1 }).await;
    assert_eq!(stage.number(audits).await, 1);
}

/// The command without what root may do beyond others: for root, permissions hold only then.
pub(crate) fn without_privileges(stage: &Stage, arguments: &[&str]) -> Command {
    let command = stage.command(arguments);
    let mut plain = match stage.inbox.metadata().unwrap().uid() {
        0 => {
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(command.get_program());
            setpriv
        }
        _ => Command::new(command.get_program()),
    };
    plain.args(command.get_args());
    plain.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    plain
}

#[tokio::test]
async fn a_folder_without_permission_is_named_once_and_nothing_in_it_is_gone() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_SETTLE", "2s")]).await;
    let known = stage.put("closed/a.csv", loan_file(1..=2));
    stage.put("open/b.csv", loan_file(3..=4));
    let closed = known.parent().unwrap();
    eventually("both files", || async {
        stage.scan().await;
        stage.number("SELECT count(*) FROM longshore.file").await == 2
    })
    .await;
    stage.drain().await;
    std::fs::set_permissions(closed, PermissionsExt::from_mode(0o000)).unwrap();
    let output = without_privileges(&stage, &["audit", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let scan = &report["scans"][0];
    assert_eq!(scan["counts"]["skipped"]["unreadable"], 1, "{report}");
    assert!(scan["counts"]["skipped_uris"]["unreadable"][0].as_str().unwrap().ends_with("/closed"));
    assert_eq!((&scan["counts"]["known"], &scan["audit"]["gone"]["loaded"]["files"]), (&json!(1), &json!(0)));

    // A scan goes on with the rest. The service is due, as if for years, and scans twice, because a file had not settled; it
    // says it once.
    let client = stage.client().await;
    client
        .execute("UPDATE longshore.scan SET started_time = started_time - interval '2 years'", &[])
        .await
        .unwrap();
    stage.put("open/c.csv", loan_file(5..=6));
    let log = stage.folder().join("unprivileged.log");
    let service = Process::spawn(without_privileges(&stage, &["scanner"]), log);
    let _worker = stage.spawn(&["worker"]);
    let scans = "SELECT count(*) FROM longshore.scan WHERE outcome = 'COMPLETE'
        AND skipped_uris #>> '{unreadable,0}' LIKE '%/closed'";
    eventually("the rows", || async { stage.loans().await == (6, 6) }).await;
    eventually("three scans, with the first audit", || async { stage.number(scans).await >= 3 }).await;
    std::fs::set_permissions(closed, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(service.log().matches("cannot be read").count(), 1, "{}", service.log());
    assert_counts_add_up(&stage).await;
}
