//! After the load: files are moved or deleted once their rows are committed, and nothing else ever is.

use std::{
    collections::BTreeSet,
    fs::{File, FileTimes},
    io::Write,
    path::{Path, PathBuf},
    time::SystemTime,
};

use longshore_tests::{HEADER, Process, S3Server, Stage, eventually, loan_file, loan_line};

use serde_json::json;

/// As soon as the rows are there.
const DELETE: &str = "after_load = \"delete\"\nafter_load_delay = \"0s\"";

fn move_to(folder: &Path) -> String {
    format!("after_load = \"move\"\nafter_load_delay = \"0s\"\nmove_to = \"file://{}\"", folder.display())
}

/// Applies the loan spec with these keys of `[discovery]`.
async fn apply(stage: &Stage, keys: &str) {
    let spec = std::fs::read_to_string(stage.loan_spec()).unwrap();
    let path = stage.folder().join("loans.toml");
    std::fs::write(&path, spec.replace("[discovery]\n", &format!("[discovery]\n{keys}\n"))).unwrap();
    stage.ok(&["dataset", "apply", path.to_str().unwrap()]).await;
}

async fn moving() -> (Stage, PathBuf) {
    let stage = Stage::new().await;
    let archive = stage.folder().join("archive");
    apply(&stage, &move_to(&archive)).await;
    (stage, archive)
}

async fn deleting() -> Stage {
    let stage = Stage::new().await;
    apply(&stage, DELETE).await;
    stage
}

/// Everything that is no folder below `folder`, by its path from there.
fn files_below(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    let mut files = BTreeSet::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match path.is_dir() {
            true => files.extend(files_below(&path).iter().map(|below| format!("{name}/{below}"))),
            false => drop(files.insert(name)),
        }
    }
    files
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// What has become of the files, by the ends of their names.
async fn outcomes(stage: &Stage) -> Vec<String> {
    let sql = "SELECT substring(uri FROM '[^/]*$') || ' ' || coalesce(outcome, 'open')
        FROM longshore.after_load JOIN longshore.file ON file.id = file_id ORDER BY file.id";
    stage.texts(sql).await
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().append(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[tokio::test]
async fn loaded_files_are_moved_and_keep_their_path() {
    let (stage, archive) = moving().await;
    let paths = ["a.csv", "2026/03/a.csv", "2026/03/b, c#1 %20\n.csv"];
    for (index, path) in paths.into_iter().enumerate() {
        stage.put(path, loan_file(index as u64..=index as u64));
        stage.scan().await;
    }
    stage.put("notes.txt", "not wanted");
    stage.drain().await;
    let report = stage.scan().await;
    assert_eq!(report["after_load"], json!({"moved": 3, "deleted": 0, "gone": 0, "left": 0, "failed": 0}));
    assert_eq!(files_below(&stage.inbox), names(["notes.txt"]));
    let moved = files_below(&archive);
    let expected = paths.into_iter().enumerate();
    let expected = expected.map(|(index, path)| format!("loan_applications/{}/{path}", index + 1));
    assert_eq!(moved, expected.collect());
    // An audit does not miss what we have moved ourselves.
    let audit = stage.ok(&["audit", "loan_applications", "--json"]).await.json();
    assert_eq!(audit["scans"][0]["audit"]["gone"]["loaded"]["files"], 0, "{audit}");
    // Nothing is left to do, and it is told where the file is.
    assert_eq!(stage.scan().await["after_load"]["moved"], 0);
    assert_eq!(stage.ok(&["status", "--json"]).await.json()["after_load"], json!({"open": 0, "failing": 0}));
    let told = stage.ok(&["why", stage.inbox.join("a.csv").to_str().unwrap()]).await.stdout;
    assert!(
        told.contains("The file was moved") && told.contains("/archive/loan_applications/1/a.csv"),
        "{told}"
    );
    let copy = archive.join("loan_applications/1/a.csv");
    let original = stage.run(&["why", copy.to_str().unwrap()]).await.stderr;
    assert!(
        original.contains("It is where file://") && original.contains("/inbox/a.csv was moved to"),
        "{original}"
    );
    let reloaded = stage.ok(&["reload", stage.inbox.join("2026/03/a.csv").to_str().unwrap()]).await.stderr;
    let note = "note: after its last load the file was moved to file://";
    assert!(
        reloaded.contains(note) && reloaded.contains("/loan_applications/2/2026/03/a.csv;"),
        "{reloaded}"
    );
    // Copied back with its times, it is the file that is known.
    let back = stage.put("a.csv", std::fs::read(&copy).unwrap());
    set_modified(&back, std::fs::metadata(&copy).unwrap().modified().unwrap());
    assert_eq!(stage.scan().await["scans"][0]["counts"]["known"], 1);
}

#[tokio::test]
async fn loaded_files_are_deleted_by_the_scanner_service() {
    let stage = deleting().await;
    for id in 1..=250 {
        stage.put(&format!("{}/{id}.csv", id % 7), loan_file(id..=id));
    }
    let scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    eventually("an empty inbox", || async { files_below(&stage.inbox).is_empty() }).await;
    stage.assert_each_loan_once(250).await;
    let deleted = "SELECT count(*) FROM longshore.after_load WHERE outcome = 'DELETED'";
    eventually("all is recorded", || async { stage.number(deleted).await == 250 }).await;
    assert!(!scanner.log().contains("WARN"), "{}", scanner.log());
}

#[tokio::test]
async fn by_default_loaded_files_are_kept_and_nothing_is_planned() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    stage.scan().await;
    // What was loaded to be kept is kept, whatever the spec says later.
    apply(&stage, DELETE).await;
    stage.put("b.csv", loan_file(3..=4));
    stage.scan().await;
    stage.drain().await;
    stage.scan().await;
    assert_eq!(files_below(&stage.inbox), names(["a.csv"]));
    assert_eq!(outcomes(&stage).await, ["b.csv DELETED"]);
}

#[tokio::test]
async fn a_failed_file_stays_while_its_neighbours_move() {
    let (stage, archive) = moving().await;
    stage.put("a.csv", loan_file(1..=2));
    stage.put("bad.csv", "wrong header\n");
    stage.put("c.csv", loan_file(3..=4));
    stage.scan().await;
    stage.drain().await;
    stage.scan().await;
    assert_eq!(files_below(&stage.inbox), names(["bad.csv"]));
    assert_eq!(files_below(&archive).len(), 2);
    assert_eq!(outcomes(&stage).await, ["a.csv MOVED", "c.csv MOVED"]);
}

#[tokio::test]
async fn files_of_one_name_do_not_collide() {
    let (stage, archive) = moving().await;
    for (index, folder) in ["x", "y", "z/x"].into_iter().enumerate() {
        let id = index as u64 + 1;
        stage.put(&format!("{folder}/a.csv"), loan_file(id..=id));
    }
    stage.scan().await;
    stage.drain().await;
    stage.scan().await;
    // One that came again under the same name, with other content.
    stage.put("x/a.csv", loan_file(4..=4));
    stage.scan().await;
    stage.drain().await;
    stage.scan().await;
    assert!(files_below(&stage.inbox).is_empty());
    assert_eq!(files_below(&archive).len(), 4, "{:?}", files_below(&archive));
}

#[tokio::test]
async fn a_file_that_was_overwritten_after_its_load_is_left_in_place() {
    let stage = deleting().await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    stage.put("a.csv", loan_file(1..=3));
    let report = stage.scan().await;
    assert_eq!(report["after_load"]["left"], 1);
    assert_eq!(std::fs::read(&path).unwrap(), loan_file(1..=3).as_bytes());
    let told = stage.ok(&["why", path.to_str().unwrap()]).await.stdout;
    assert!(told.contains("The file was left where it is"), "{told}");
    // The new version is loaded in its place, and is the one that is deleted then.
    stage.drain().await;
    stage.assert_each_loan_once(3).await;
    assert!(path.exists());
    stage.scan().await;
    assert!(!path.exists());
    assert_eq!(outcomes(&stage).await, ["a.csv LEFT", "a.csv DELETED"]);
}

#[tokio::test]
async fn a_file_that_is_unloaded_or_about_to_be_reloaded_is_left_alone() {
    let stage = deleting().await;
    let (a, b) = (stage.put("a.csv", loan_file(1..=2)), stage.put("b.csv", loan_file(3..=4)));
    stage.scan().await;
    stage.drain().await;
    stage.ok(&["unload", a.to_str().unwrap()]).await;
    stage.ok(&["reload", b.to_str().unwrap()]).await;
    assert_eq!(stage.scan().await["after_load"]["left"], 2);
    assert!(a.exists() && b.exists());
    stage.drain().await;
    assert_eq!(stage.loans().await, (2, 2));
    assert_eq!(stage.scan().await["after_load"]["deleted"], 1);
    assert!(a.exists() && !b.exists());
    // What is deleted cannot be loaded anew; its rows stay.
    stage.ok(&["reload", b.to_str().unwrap()]).await;
    stage.scan().await;
    stage.drain().await;
    let missed = stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'NEW'").await;
    assert!(missed.len() == 1 && missed[0].contains("gone"), "{missed:?}");
    assert_eq!(stage.loans().await, (2, 2));
}

#[tokio::test]
async fn a_step_that_was_cut_off_before_its_record_is_repeated_without_harm() {
    for keys in [Some(DELETE.to_owned()), None] {
        let stage = Stage::new().await;
        let archive = stage.folder().join("archive");
        apply(&stage, &keys.clone().unwrap_or_else(|| move_to(&archive))).await;
        for id in 1..=20 {
            stage.put(&format!("{id}.csv"), loan_file(id..=id));
        }
        stage.scan().await;
        stage.drain().await;
        let kill = [("FAILPOINTS", "after_load::before_record=return(kill)")];
        let mut killed = stage.spawn_with(&["scanner"], &kill);
        assert!(!killed.ended().await.success());
        killed.logs("fail point after_load::before_record: kill").await;
        assert!(files_below(&stage.inbox).is_empty());
        assert_eq!(
            stage.number("SELECT count(*) FROM longshore.after_load WHERE done_time IS NULL").await,
            20
        );
        // One of the names is taken by another version in the meantime.
        let newer = stage.put("1.csv", loan_file(21..=22));
        let _scanner = stage.spawn(&["scanner"]);
        let open = "SELECT count(*) FROM longshore.after_load WHERE done_time IS NULL";
        eventually("nothing is open", || async { stage.number(open).await == 0 }).await;
        assert_eq!(std::fs::read(&newer).unwrap(), loan_file(21..=22).as_bytes());
        let (outcome, files) = if keys.is_some() { ("GONE", 19) } else { ("MOVED", 20) };
        let told = format!("SELECT count(*) FROM longshore.after_load WHERE outcome = '{outcome}'");
        assert_eq!(stage.number(&told).await, files);
        assert_eq!(files_below(&archive).len(), if keys.is_some() { 0 } else { 20 });
        stage.assert_each_loan_once(20).await;
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_used_is_tried_again_shown_and_holds_up_no_load() {
    let stage = Stage::new().await;
    // A file where the folder should be: what even root cannot write into.
    let archive = stage.folder().join("archive");
    std::fs::write(&archive, "in the way").unwrap();
    apply(&stage, &move_to(&archive)).await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    let scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    let failing = "SELECT count(*) FROM longshore.after_load WHERE done_time IS NULL AND tries >= 2";
    eventually("two tries", || async { stage.number(failing).await == 1 }).await;
    assert!(path.exists());
    let status = stage.ok(&["status", "--json"]).await.json();
    assert_eq!(status["after_load"], json!({"open": 1, "failing": 1}));
    let told = stage.ok(&["why", path.to_str().unwrap()]).await.stdout;
    assert!(told.contains("could not be moved") && told.contains("`move_to` cannot be made"), "{told}");
    // Others load meanwhile.
    stage.put("b.csv", loan_file(3..=4));
    stage.scan().await;
    eventually("the rows", || async { stage.loans().await == (4, 4) }).await;
    std::fs::remove_file(&archive).unwrap();
    eventually("both moved", || async { files_below(&archive).len() == 2 }).await;
    eventually("it is said", || async { scanner.log().contains("can be moved and deleted again") }).await;
    assert_eq!(scanner.log().matches("`move_to` cannot be made").count(), 1, "{}", scanner.log());
}

#[tokio::test]
async fn a_spec_that_is_mended_mends_what_is_open() {
    let stage = Stage::new().await;
    let wrong = stage.folder().join("wrong");
    std::fs::write(&wrong, "in the way").unwrap();
    apply(&stage, &move_to(&wrong)).await;
    let path = stage.put("a.csv", loan_file(1..=2));
    let scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    scanner.logs("`move_to` cannot be made").await;
    let archive = stage.folder().join("archive");
    apply(&stage, &move_to(&archive)).await;
    eventually("it is moved", || async { files_below(&archive).len() == 1 }).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn who_changes_their_mind_keeps_what_is_still_there() {
    let stage = deleting().await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    stage.ok(&["dataset", "apply", &stage.loan_spec()]).await;
    assert_eq!(stage.scan().await["after_load"]["left"], 1);
    assert!(path.exists());
}

#[tokio::test]
async fn a_worker_that_dies_before_its_commit_leaves_the_file_untouched() {
    let stage = deleting().await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    let kill = [("FAILPOINTS", "worker::before_commit=return(kill)")];
    let mut worker = stage.spawn_with(&["worker"], &kill);
    assert!(!worker.ended().await.success());
    let _scanner = stage.spawn(&["scanner"]);
    eventually("the task is NEW", || async {
        stage.number("SELECT count(*) FROM longshore.task WHERE status = 'NEW' AND deaths = 1").await == 1
    })
    .await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.after_load").await, 0);
    assert!(path.exists());
    let _worker: Process = stage.spawn(&["worker"]);
    eventually("it is deleted", || async { !path.exists() }).await;
    stage.assert_each_loan_once(2).await;
}

#[tokio::test]
async fn scanners_that_work_at_the_same_time_move_each_file_once() {
    let (stage, archive) = moving().await;
    for id in 1..=300 {
        stage.put(&format!("{id}.csv"), loan_file(id..=id));
    }
    stage.scan().await;
    stage.drain().await;
    let _scanners: Vec<Process> = (0..3).map(|_| stage.spawn(&["scanner"])).collect();
    let moved = "SELECT count(*) FROM longshore.after_load WHERE outcome = 'MOVED'";
    eventually("all are moved", || async { stage.number(moved).await == 300 }).await;
    assert_eq!(files_below(&archive).len(), 300);
    assert!(files_below(&stage.inbox).is_empty());
}

#[tokio::test]
async fn a_link_never_leads_a_move_or_a_deletion_elsewhere() {
    let (stage, archive) = moving().await;
    stage.put("in/a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    // The folder is swapped for a link to one outside, in which a file of the very same identity lies.
    let outside = stage.folder().join("outside");
    std::fs::rename(stage.inbox.join("in"), &outside).unwrap();
    std::os::unix::fs::symlink(&outside, stage.inbox.join("in")).unwrap();
    assert_eq!(stage.scan().await["after_load"]["gone"], 1);
    assert_eq!(files_below(&outside), names(["a.csv"]));
    assert!(files_below(&archive).is_empty());

    // And a link that leads the target back into the source.
    let (stage, archive) = moving().await;
    std::os::unix::fs::symlink(&stage.inbox, &archive).unwrap();
    stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.scan().await["after_load"]["failed"], 1);
    assert_eq!(files_below(&stage.inbox), names(["a.csv"]));
}

/// A stage whose dataset lies in a bucket, with these keys of `[discovery]`.
async fn in_a_bucket(keys: &str) -> (Stage, S3Server) {
    let (mut stage, server) = (Stage::new().await, S3Server::start().await);
    server.create_bucket("harbour");
    stage.environment.extend(server.environment());
    let spec = crate::s3::spec_with(&stage, "s3://harbour/loans", keys);
    stage.ok(&["dataset", "apply", &spec]).await;
    (stage, server)
}

#[tokio::test]
async fn objects_are_moved_below_a_prefix_of_their_bucket() {
    let keys = "after_load = \"move\"\nafter_load_delay = \"0s\"\nmove_to = \"s3://harbour/archive\"";
    let (stage, server) = in_a_bucket(keys).await;
    let paths = ["a.csv", "2026/a, b 100% #?.csv", "ü+1.csv"];
    for (index, path) in paths.into_iter().enumerate() {
        server.put("harbour", &format!("loans/{path}"), loan_file(index as u64..=index as u64));
        stage.scan().await;
    }
    server.put("harbour", "loans/bad.csv", "wrong header\n");
    stage.scan().await;
    stage.drain().await;
    let kill = [("FAILPOINTS", "after_load::before_record=return(kill)")];
    assert_ne!(stage.run_with(&["scan"], &kill).await.code, 0);
    assert_eq!(stage.scan().await["after_load"]["moved"], 3);
    let moved = paths.into_iter().enumerate();
    let moved = moved.map(|(index, path)| format!("archive/loan_applications/{}/{path}", index + 1));
    let mut expected: Vec<String> = moved.chain(["loans/bad.csv".to_owned()]).collect();
    expected.sort();
    assert_eq!(server.keys("harbour"), expected);
    stage.assert_each_loan_once(3).await;
}

#[tokio::test]
async fn objects_are_deleted_in_the_version_that_was_loaded() {
    let (stage, server) = in_a_bucket(DELETE).await;
    server.put("harbour", "loans/a.csv", loan_file(1..=2));
    server.put("harbour", "loans/b.csv", loan_file(3..=4));
    stage.scan().await;
    stage.drain().await;
    server.put("harbour", "loans/b.csv", loan_file(3..=5));
    let report = stage.scan().await;
    assert_eq!((&report["after_load"]["deleted"], &report["after_load"]["left"]), (&1.into(), &1.into()));
    assert_eq!(server.keys("harbour"), ["loans/b.csv"]);
    stage.drain().await;
    stage.scan().await;
    assert!(server.keys("harbour").is_empty());
    stage.assert_each_loan_once(5).await;
}

#[tokio::test]
async fn a_simple_store_without_etags_and_conditions_will_do() {
    let (mut stage, server) = (Stage::new().await, S3Server::start_simple().await);
    server.create_bucket("harbour");
    stage.environment.extend(server.environment());
    let keys = "after_load = \"move\"\nafter_load_delay = \"0s\"\nmove_to = \"s3://harbour/archive\"";
    stage.ok(&["dataset", "apply", &crate::s3::spec_with(&stage, "s3://harbour/loans", keys)]).await;
    server.put("harbour", "loans/a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.scan().await["after_load"]["moved"], 1);
    assert_eq!(stage.ok(&["scan", "--all", "--json"]).await.json()["scans"][0]["counts"]["listed"], 0);
}

/// As a spec says it that has no word of how long files stay.
fn without_delay(keys: &str) -> String {
    keys.replace("after_load_delay = \"0s\"\n", "").replace("\nafter_load_delay = \"0s\"", "")
}

#[tokio::test]
async fn a_writer_that_pauses_for_longer_than_files_settle_loses_nothing() {
    for delete in [true, false] {
        let stage = Stage::new().await;
        let keys = if delete { DELETE.to_owned() } else { move_to(&stage.folder().join("archive")) };
        apply(&stage, &without_delay(&keys)).await;
        let path = stage.inbox.join("a.csv");
        let mut writer = File::create(&path).unwrap();
        writer.write_all(loan_file(1..=2).as_bytes()).unwrap();
        stage.scan().await;
        stage.drain().await;
        assert_eq!(stage.loans().await, (2, 2));
        stage.scan().await;
        let told = stage.ok(&["why", path.to_str().unwrap()]).await.stdout;
        assert!(told.contains("stays where it is until") && told.contains("after_load_delay"), "{told}");
        // It goes on where it was.
        writer.write_all(format!("{}\n", loan_line(3)).as_bytes()).unwrap();
        drop(writer);
        stage.scan().await;
        stage.drain().await;
        stage.assert_each_loan_once(3).await;
        assert!(path.exists());
    }
}

#[tokio::test]
async fn what_a_writer_adds_while_its_file_is_taken_is_loaded_as_a_new_version() {
    for delete in [true, false] {
        let stage = Stage::new().await;
        let archive = stage.folder().join("archive");
        apply(&stage, &if delete { DELETE.to_owned() } else { move_to(&archive) }).await;
        let path = stage.inbox.join("a.csv");
        let mut writer = File::create(&path).unwrap();
        writer.write_all(loan_file(1..=2).as_bytes()).unwrap();
        stage.scan().await;
        stage.drain().await;
        // It has lost its name, and is looked at once more three seconds later.
        let pause = [("FAILPOINTS", "after_load::after_set_aside=1*return(pause)")];
        let scanner = stage.spawn_with(&["scanner"], &pause);
        scanner.logs("fail point after_load::after_set_aside: pause").await;
        assert!(!path.exists());
        writer.write_all(format!("{}\n", loan_line(3)).as_bytes()).unwrap();
        drop(writer);
        eventually("it is left", || async { outcomes(&stage).await == ["a.csv LEFT"] }).await;
        drop(scanner);
        assert!(path.exists() && files_below(&archive).is_empty());
        stage.scan().await;
        stage.drain().await;
        stage.assert_each_loan_once(3).await;
        stage.scan().await;
        assert_eq!(outcomes(&stage).await[1], if delete { "a.csv DELETED" } else { "a.csv MOVED" });
    }
}

#[tokio::test]
async fn a_file_that_was_touched_after_its_load_is_left_and_taken_after_a_reload() {
    let stage = deleting().await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    // As many bytes of the same time: only the change time is another.
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, loan_file(1..=2)).unwrap();
    set_modified(&path, modified);
    assert_eq!(stage.scan().await["after_load"]["left"], 1);
    let told = stage.ok(&["why", path.to_str().unwrap()]).await.stdout;
    assert!(told.contains("was touched after its load") && told.contains("longshore reload"), "{told}");
    stage.ok(&["reload", path.to_str().unwrap()]).await;
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.scan().await["after_load"]["deleted"], 1);
    assert!(!path.exists());
    stage.assert_each_loan_once(2).await;
}

#[tokio::test]
async fn a_file_with_rejects_is_deleted_only_if_the_spec_says_so() {
    for with_rejects in [false, true] {
        let stage = Stage::new().await;
        apply(&stage, &format!("{DELETE}\ndelete_with_rejects = {with_rejects}")).await;
        let rejected = loan_line(2).replacen('2', "two", 1);
        let path = stage.put("a.csv", format!("{HEADER}\n{}\n{rejected}\n", loan_line(1)));
        stage.put("b.csv", loan_file(3..=3));
        stage.scan().await;
        stage.drain().await;
        assert_eq!(stage.number("SELECT count(*) FROM longshore.reject").await, 1);
        let report = stage.scan().await;
        assert_eq!(report["after_load"]["deleted"], if with_rejects { 2 } else { 1 });
        assert_eq!(path.exists(), !with_rejects);
        let told = stage.ok(&["why", path.to_str().unwrap()]).await.stdout;
        assert_eq!(told.contains("it has rejected rows"), !with_rejects, "{told}");
    }
    // A move loses nothing.
    let (stage, archive) = moving().await;
    stage.put("a.csv", format!("{HEADER}\n{}\n{}\n", loan_line(1), loan_line(2).replacen('2', "two", 1)));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.scan().await["after_load"]["moved"], 1);
    assert_eq!(files_below(&archive).len(), 1);
}

/// A scanner that has decided to take a file and waits for three seconds before it does.
async fn deciding(stage: &Stage) -> Process {
    let pause = [("FAILPOINTS", "after_load::after_lock=1*return(pause)")];
    let scanner = stage.spawn_with(&["scanner"], &pause);
    scanner.logs("fail point after_load::after_lock: pause").await;
    scanner
}

#[tokio::test]
async fn an_unload_or_reload_comes_before_or_after_a_deletion_and_never_in_between() {
    let stage = deleting().await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    let scanner = deciding(&stage).await;
    let reloaded = stage.ok(&["reload", path.to_str().unwrap(), "--json"]).await.json();
    // It has waited, and knows.
    assert_eq!(reloaded["after_load"], "DELETED", "{reloaded}");
    drop(scanner);

    let stage = deleting().await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    // One that is under way is not waited for: the file is left once it has committed.
    let client = stage.client().await;
    client.batch_execute("BEGIN; SELECT FROM longshore.object FOR UPDATE").await.unwrap();
    assert_eq!(stage.scan().await["after_load"]["deleted"], 0);
    client.batch_execute("COMMIT").await.unwrap();
    stage.ok(&["unload", path.to_str().unwrap()]).await;
    assert_eq!(stage.scan().await["after_load"]["left"], 1);
    assert!(path.exists());
}

#[tokio::test]
async fn who_has_applied_a_spec_that_keeps_files_may_rest_on_it() {
    let stage = deleting().await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    let scanner = deciding(&stage).await;
    stage.ok(&["dataset", "apply", &stage.loan_spec()]).await;
    // Decided before, and done before the apply has ended; nothing is afterwards.
    assert!(!path.exists());
    assert_eq!(outcomes(&stage).await, ["a.csv DELETED"]);
    drop(scanner);
}

#[tokio::test]
async fn a_load_whose_file_is_to_be_removed_is_on_disk_when_it_commits() {
    let stage = deleting().await;
    let client = stage.client().await;
    let settings = format!("ALTER DATABASE {} SET synchronous_commit = off", stage.database_name());
    client.batch_execute(&settings).await.unwrap();
    // Tells with which setting LOADED is to commit.
    client
        .batch_execute(
            "CREATE TABLE told (setting text);
             CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO told VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER tell AFTER UPDATE ON longshore.task DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW WHEN (NEW.status = 'LOADED') EXECUTE FUNCTION tell()",
        )
        .await
        .unwrap();
    stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.texts("SELECT setting FROM told").await, ["on"]);
    // Where nothing is removed, the database's own setting holds; and a stronger one always does.
    stage.ok(&["dataset", "apply", &stage.loan_spec()]).await;
    stage.put("b.csv", loan_file(3..=4));
    stage.scan().await;
    stage.drain().await;
    apply(&stage, DELETE).await;
    client.batch_execute(&settings.replace("off", "remote_apply")).await.unwrap();
    stage.put("c.csv", loan_file(5..=6));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.texts("SELECT setting FROM told").await, ["on", "off", "remote_apply"]);
}

#[tokio::test]
async fn a_file_that_was_gone_because_a_mount_was_away_is_taken_once_it_is_listed_again() {
    let stage = deleting().await;
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.put("b.csv", loan_file(3..=4));
    stage.scan().await;
    stage.drain().await;
    // What a scanner sees whose mount is missing: the empty folder below it.
    let away = stage.folder().join("away");
    std::fs::rename(&stage.inbox, &away).unwrap();
    std::fs::create_dir(&stage.inbox).unwrap();
    assert_eq!(stage.scan().await["after_load"]["gone"], 2);
    assert_eq!(outcomes(&stage).await, ["a.csv GONE", "b.csv GONE"]);
    std::fs::remove_dir(&stage.inbox).unwrap();
    std::fs::rename(&away, &stage.inbox).unwrap();
    // This one is really gone.
    std::fs::remove_file(stage.inbox.join("b.csv")).unwrap();
    stage.scan().await;
    assert_eq!(outcomes(&stage).await, ["a.csv DELETED", "b.csv GONE"]);
    assert!(!path.exists());
    stage.assert_each_loan_once(4).await;
}

#[tokio::test]
async fn busy_datasets_give_way_to_another_whose_files_are_to_be_taken() {
    let stage = Stage::new().await;
    let spec = std::fs::read_to_string(stage.loan_spec()).unwrap();
    for name in ["one", "two", "zzz"] {
        let folder = stage.folder().join(name);
        std::fs::create_dir(&folder).unwrap();
        let own = spec.replace("name = \"loan_applications\"", &format!("name = \"{name}\""));
        let own = own.replace("reporting.loan_applications", &format!("reporting.{name}"));
        let own = own.replace("${LONGSHORE_INBOX:-/var/lib/longshore/inbox}", folder.to_str().unwrap());
        let own = own.replace("[discovery]\n", &format!("[discovery]\n{DELETE}\n"));
        let path = stage.folder().join(format!("{name}.toml"));
        std::fs::write(&path, own).unwrap();
        stage.ok(&["dataset", "apply", path.to_str().unwrap()]).await;
        let files = if name == "zzz" { 1 } else { 1500 };
        for id in 1..=files {
            std::fs::write(folder.join(format!("{id}.csv")), loan_file(id..=id)).unwrap();
        }
    }
    stage.scan().await;
    stage.drain().await;
    // One after the other, in the order of their names, a turn each.
    assert!(stage.scan().await["after_load"]["deleted"].as_u64().unwrap() > 2000);
    let done_before = "SELECT max(files) FROM (
            SELECT count(*) FROM longshore.after_load JOIN longshore.dataset ON dataset.id = dataset_id
            WHERE name <> 'zzz' AND done_time < (
                SELECT done_time FROM longshore.after_load JOIN longshore.dataset ON dataset.id = dataset_id WHERE name = 'zzz')
            GROUP BY dataset_id) AS busy (files)";
    assert!((1..=1000).contains(&stage.number(done_before).await));
}

#[tokio::test]
async fn nothing_archived_is_overwritten_when_ids_come_again_after_a_restore() {
    let (stage, archive) = moving().await;
    let taken = archive.join("loan_applications/1/a.csv");
    std::fs::create_dir_all(taken.parent().unwrap()).unwrap();
    std::fs::write(&taken, "what the restored books do not know").unwrap();
    let path = stage.put("a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.scan().await["after_load"]["moved"], 1);
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "what the restored books do not know");
    let moved = archive.join("loan_applications/1-2/a.csv");
    assert_eq!(std::fs::read(&moved).unwrap(), loan_file(1..=2).as_bytes());
    let told = stage.ok(&["why", path.to_str().unwrap()]).await.stdout;
    assert!(told.contains("/loan_applications/1-2/a.csv now"), "{told}");

    let keys = "after_load = \"move\"\nafter_load_delay = \"0s\"\nmove_to = \"s3://harbour/archive\"";
    let (stage, server) = in_a_bucket(keys).await;
    server.put("harbour", "archive/loan_applications/1/a.csv", "archived before");
    server.put("harbour", "loans/a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.scan().await["after_load"]["moved"], 1);
    let keys = ["archive/loan_applications/1-2/a.csv", "archive/loan_applications/1/a.csv"];
    assert_eq!(server.keys("harbour"), keys);
}

/// Where the step may die.
const EDGES: [&str; 5] = [
    "after_load::after_flush",
    "after_load::after_lock",
    "after_load::before_set_aside",
    "after_load::after_set_aside",
    "after_load::before_record",
];

#[tokio::test]
async fn a_step_that_dies_anywhere_is_finished_by_the_next_one() {
    for delete in [true, false] {
        let stage = Stage::new().await;
        let archive = stage.folder().join("archive");
        apply(&stage, &if delete { DELETE.to_owned() } else { move_to(&archive) }).await;
        for (id, edge) in (1..).zip(EDGES) {
            stage.put(&format!("{id}.csv"), loan_file(id..=id));
            stage.scan().await;
            stage.drain().await;
            let kill = format!("{edge}=return(kill)");
            assert_ne!(stage.run_with(&["scan"], &[("FAILPOINTS", &kill)]).await.code, 0);
            eventually(edge, || async {
                stage.scan().await;
                files_below(&stage.inbox).is_empty()
            })
            .await;
        }
        // Of the last one nobody has recorded that it was deleted.
        let expected = match delete {
            true => ["1.csv DELETED", "2.csv DELETED", "3.csv DELETED", "4.csv DELETED", "5.csv GONE"],
            false => ["1.csv MOVED", "2.csv MOVED", "3.csv MOVED", "4.csv MOVED", "5.csv MOVED"],
        };
        assert_eq!(outcomes(&stage).await, expected);
        assert_eq!(files_below(&archive).len(), if delete { 0 } else { EDGES.len() });
        stage.assert_each_loan_once(EDGES.len() as i64).await;
    }
}
