//! After the load: files are moved or deleted once their rows are committed, and nothing else ever is.

mod buckets;
mod crashes;
mod decisions;
mod set_aside;
mod writers;

use std::{
    collections::BTreeSet,
    fs::{File, FileTimes},
    path::{Path, PathBuf},
    time::SystemTime,
};

use longshore_tests::{HEADER, Stage, eventually, loan_file, loan_line};

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
