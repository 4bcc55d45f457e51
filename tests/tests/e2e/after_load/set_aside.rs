//! A file that was set aside, under a hidden name, when its step was cut off: nothing forgets it there.

use std::{path::PathBuf, time::Duration};

use longshore_tests::{HEADER, Process, Stage, eventually, loan_file, loan_line, on_a_mount_of_its_own};
use serde_json::json;

use super::{DELETE, apply, deleting, files_below, move_to, moving, names, outcomes};

/// Loads `a.csv` and lets the scan die after it has set the file aside.
async fn cut_off(stage: &Stage, content: String) -> PathBuf {
    let path = stage.put("a.csv", content);
    stage.scan().await;
    stage.drain().await;
    let kill = [("FAILPOINTS", "after_load::after_set_aside=return(kill)")];
    assert_ne!(stage.run_with(&["scan"], &kill).await.code, 0);
    assert!(!path.exists());
    path
}

#[tokio::test]
async fn a_file_that_is_unloaded_or_reloaded_comes_back_under_its_name() {
    for undo in ["unload", "reload"] {
        let stage = deleting().await;
        let path = cut_off(&stage, loan_file(1..=2)).await;
        stage.ok(&[undo, path.to_str().unwrap()]).await;
        assert_eq!(stage.scan().await["after_load"]["left"], 1);
        assert_eq!(files_below(&stage.inbox), names(["a.csv"]));
        assert_eq!(std::fs::read(&path).unwrap(), loan_file(1..=2).as_bytes());
        if undo == "unload" {
            assert_eq!(stage.loans().await, (0, 0));
            stage.ok(&["reload", path.to_str().unwrap()]).await;
            stage.scan().await;
        }
        stage.drain().await;
        stage.assert_each_loan_once(2).await;
        assert_eq!(stage.scan().await["after_load"]["deleted"], 1);
        assert!(files_below(&stage.inbox).is_empty());
    }
}

#[tokio::test]
async fn a_file_with_rejects_comes_back_where_the_spec_keeps_such_files_by_now() {
    let stage = Stage::new().await;
    apply(&stage, &format!("{DELETE}\ndelete_with_rejects = true")).await;
    let rejected = loan_line(2).replacen('2', "two", 1);
    let path = cut_off(&stage, format!("{HEADER}\n{}\n{rejected}\n", loan_line(1))).await;
    apply(&stage, DELETE).await;
    assert_eq!(stage.scan().await["after_load"]["left"], 1);
    assert_eq!(files_below(&stage.inbox), names(["a.csv"]));
    let told = stage.ok(&["why", path.to_str().unwrap()]).await.stdout;
    assert!(told.contains("it has rejected rows"), "{told}");
}

#[tokio::test]
async fn a_file_that_was_moved_before_its_unload_is_not_said_to_be_left() {
    let (stage, archive) = moving().await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    let kill = [("FAILPOINTS", "after_load::before_record=return(kill)")];
    assert_ne!(stage.run_with(&["scan"], &kill).await.code, 0);
    stage.ok(&["unload", path.to_str().unwrap()]).await;
    assert_eq!(stage.scan().await["after_load"]["moved"], 1);
    assert_eq!(files_below(&archive), names(["loan_applications/1/a.csv"]));
}

#[tokio::test]
async fn a_folder_that_moves_takes_along_what_was_set_aside_in_it() {
    let stage = deleting().await;
    cut_off(&stage, loan_file(1..=2)).await;
    let moved = stage.folder().join("moved");
    std::fs::rename(&stage.inbox, &moved).unwrap();
    let source = |name: &str| format!("file://{}", stage.folder().join(name).display());
    let spec = std::fs::read_to_string(stage.folder().join("loans.toml")).unwrap();
    let spec = spec.replace("${LONGSHORE_INBOX:-/var/lib/longshore/inbox}", moved.to_str().unwrap());
    let path = stage.folder().join("moved.toml");
    std::fs::write(&path, spec).unwrap();
    let renaming = [path.to_str().unwrap(), "--rename-prefix", &source("inbox"), &source("moved")];
    stage.ok(&[&["dataset", "apply"][..], &renaming].concat()).await;
    stage.scan().await;
    assert!(files_below(&moved).is_empty(), "{:?}", files_below(&moved));
    assert_eq!(outcomes(&stage).await, ["a.csv DELETED"]);
}

/// As on NFS, where a rename that refuses to overwrite is a link and a removal.
const NO_EXCLUSIVE_RENAME: &str = "after_load::exclusive_rename=return(error)";

#[tokio::test]
async fn a_rename_that_was_cut_off_between_link_and_removal_is_finished() {
    for delete in [true, false] {
        let stage = Stage::new().await;
        let archive = stage.folder().join("archive");
        apply(&stage, &if delete { DELETE.to_owned() } else { move_to(&archive) }).await;
        let path = stage.put("a.csv", loan_file(1..=2));
        stage.scan().await;
        stage.drain().await;
        let kill = format!("{NO_EXCLUSIVE_RENAME};after_load::after_link=return(kill)");
        // Set aside, and where it is moved, into the archive.
        for _ in 0..if delete { 1 } else { 2 } {
            assert_ne!(stage.run_with(&["scan"], &[("FAILPOINTS", &kill)]).await.code, 0);
        }
        assert_eq!(path.exists(), delete);
        assert_eq!(files_below(&stage.inbox).len(), if delete { 2 } else { 1 });
        let environment = [("FAILPOINTS", NO_EXCLUSIVE_RENAME)];
        assert_eq!(stage.run_with(&["scan"], &environment).await.code, 0);
        assert!(files_below(&stage.inbox).is_empty(), "{:?}", files_below(&stage.inbox));
        assert_eq!(files_below(&archive).len(), if delete { 0 } else { 1 });
        assert_eq!(outcomes(&stage).await, [if delete { "a.csv DELETED" } else { "a.csv MOVED" }]);
        stage.assert_each_loan_once(2).await;
    }
}

#[tokio::test]
async fn a_rename_that_leads_to_another_mount_is_refused_before_the_file_loses_its_name() {
    let (stage, archive) = moving().await;
    stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    // One device, two mounts.
    let mut scan = on_a_mount_of_its_own(&stage.command(&["scan", "--json"]), &stage.inbox);
    let output = tokio::task::spawn_blocking(move || scan.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["after_load"]["failed"], 1, "{report}");
    assert_eq!(files_below(&stage.inbox), names(["a.csv"]));
    let reason = stage.texts("SELECT reason FROM longshore.after_load").await;
    assert!(reason[0].contains("one mount"), "{reason:?}");
    // Mended, it is moved, as nobody has touched it.
    eventually("it is moved", || async {
        stage.scan().await;
        files_below(&archive) == names(["loan_applications/1/a.csv"])
    })
    .await;
}

#[tokio::test]
async fn a_file_that_cannot_leave_its_file_system_comes_back_under_its_name() {
    let (stage, archive) = moving().await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    let elsewhere = [("FAILPOINTS", "after_load::to_archive=return(error)")];
    let scanned = stage.run_with(&["scan", "--json"], &elsewhere).await.json();
    assert_eq!(scanned["after_load"]["left"], 1, "{scanned}");
    assert_eq!(files_below(&stage.inbox), names(["a.csv"]));
    let told = stage.ok(&["why", path.to_str().unwrap()]).await.stdout;
    assert!(told.contains("must be on the same file system") && told.contains("longshore reload"), "{told}");
    stage.ok(&["reload", path.to_str().unwrap()]).await;
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.scan().await["after_load"]["moved"], 1);
    assert_eq!(files_below(&archive).len(), 1);
    stage.assert_each_loan_once(2).await;
}

/// A scanner that holds `a.csv` at this edge and goes on three seconds later, and whose session is ended meanwhile; then the file's
/// rows are taken out.
async fn unloaded_behind_its_back(
    stage: &Stage,
    pause: &str,
    stall_limit: &str,
    is_stopped: bool,
) -> (Process, PathBuf) {
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    let environment = [("FAILPOINTS", pause)];
    let scanner = stage.spawn_with(&["scanner", "--stall-limit", stall_limit], &environment);
    scanner.logs(": pause").await;
    if is_stopped {
        scanner.signal("STOP");
    }
    let client = stage.client().await;
    let ending = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks
        WHERE relation = 'longshore.object'::regclass AND granted AND pid <> pg_backend_pid()";
    assert!(!client.query(ending, &[]).await.unwrap().is_empty());
    stage.ok(&["unload", path.to_str().unwrap()]).await;
    (scanner, path)
}

/// Past the pause of the thread that holds the file.
async fn until_the_pause_is_over() {
    tokio::time::sleep(Duration::from_secs(4)).await;
}

const HOLDS_IT_ASIDE: &str = "after_load::after_set_aside=1*return(pause)";

#[tokio::test]
async fn a_scanner_that_has_lost_its_session_takes_nothing_and_no_name_away() {
    let between_link_and_removal = format!("{NO_EXCLUSIVE_RENAME};after_load::after_link=1*return(pause)");
    for (pause, keeps_its_name) in [(HOLDS_IT_ASIDE, false), (&between_link_and_removal, true)] {
        let stage = deleting().await;
        // A stall limit long enough that no time is up.
        let (_scanner, path) = unloaded_behind_its_back(&stage, pause, "60s", false).await;
        // Nobody brings the file back before the thread of the first try goes on.
        let client = stage.client().await;
        client.batch_execute("BEGIN; SELECT FROM longshore.object FOR UPDATE").await.unwrap();
        until_the_pause_is_over().await;
        assert!(!files_below(&stage.inbox).is_empty());
        assert_eq!(path.exists(), keeps_its_name);
        client.batch_execute("COMMIT").await.unwrap();
        eventually("it is left", || async { outcomes(&stage).await == ["a.csv LEFT"] }).await;
        assert_eq!(files_below(&stage.inbox), names(["a.csv"]));
    }
}

#[tokio::test]
async fn a_scanner_that_was_stopped_for_longer_than_its_locks_last_removes_nothing_when_it_goes_on() {
    let stage = deleting().await;
    let (scanner, path) = unloaded_behind_its_back(&stage, HOLDS_IT_ASIDE, "5s", true).await;
    // The thread goes on at once then, before anything else tells it to stop.
    until_the_pause_is_over().await;
    scanner.signal("CONT");
    eventually("it is left", || async { outcomes(&stage).await == ["a.csv LEFT"] }).await;
    assert!(path.exists());
    assert_eq!(stage.ok(&["status", "--json"]).await.json()["after_load"], json!({"open": 0, "failing": 0}));
}
