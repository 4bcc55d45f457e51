//! `schedule = "continuous"`: files are loaded as they come. The scans of such a dataset are minutes apart, so that what these
//! tests wait for came by the watch, unless they count a scan.

use std::{
    fs::{self, File, FileTimes},
    path::Path,
    time::{Duration, SystemTime},
};

use longshore_tests::{Process, S3Server, Stage, eventually, loan_file};

use crate::s3::spec_with;

const SCANS: &str = "SELECT count(*) FROM longshore.scan WHERE finished_time IS NOT NULL AND error IS NULL";

async fn continuous_stage() -> Stage {
    Stage::with_loans_and(&[("LONGSHORE_SCHEDULE", "continuous")]).await
}

/// A scanner that watches the inbox and has scanned it, and a worker.
async fn watching(stage: &Stage) -> [Process; 2] {
    let scanner = stage.spawn(&["scanner"]);
    scanner.logs("watching the folder").await;
    eventually("the first scan", || async { stage.number(SCANS).await == 1 }).await;
    [scanner, stage.spawn(&["worker"])]
}

/// The ids 1 to `count` are loaded, each once.
async fn loaded(stage: &Stage, count: i64) {
    eventually(&format!("{count} rows"), || async { stage.loans().await.0 >= count }).await;
    stage.assert_each_loan_once(count).await;
}

async fn apply(stage: &mut Stage, schedule: &str) {
    stage.environment.insert("LONGSHORE_SCHEDULE".to_owned(), schedule.to_owned());
    stage.ok(&["dataset", "apply", &stage.loan_spec()]).await;
}

/// Whether the process has a watch of any folder.
fn watches(process: &Process) -> bool {
    let open = fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap();
    open.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .any(|target| target == Path::new("anon_inode:inotify"))
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().append(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[tokio::test]
async fn a_file_is_loaded_as_it_comes_without_a_scan() {
    let stage = continuous_stage().await;
    let [mut scanner, _worker] = watching(&stage).await;
    stage.put("a.csv", loan_file(1..=2));
    loaded(&stage, 2).await;
    stage.put("b.csv", loan_file(3..=4));
    loaded(&stage, 4).await;
    assert_eq!(stage.number(SCANS).await, 1);
    assert!(stage.ok(&["dataset", "list"]).await.stdout.contains("continuous"));
    scanner.signal("TERM");
    assert!(scanner.ended().await.success());
    assert!(scanner.log().contains("scanner stopped: told to"), "{}", scanner.log());
}

/// As in a mount that was dead and is replaced: the thread that looks never comes back.
#[tokio::test]
async fn a_look_that_hangs_costs_the_watch_and_no_file() {
    let stage = continuous_stage().await;
    let hangs = [("FAILPOINTS", "watch::sort_out=1*sleep(600000)->off"), ("LONGSHORE_STALL_LIMIT", "3s")];
    let mut scanner = stage.spawn_with(&["scanner"], &hangs);
    scanner.logs("watching the folder").await;
    eventually("the first scan", || async { stage.number(SCANS).await == 1 }).await;
    let _worker = stage.spawn(&["worker"]);
    stage.put("a.csv", loan_file(1..=2));
    scanner.logs("the file system did not answer within 3s").await;
    loaded(&stage, 2).await;
    eventually("the folder is watched again", || async {
        scanner.log().matches("watching the folder").count() == 2
    })
    .await;
    stage.put("b.csv", loan_file(3..=4));
    loaded(&stage, 4).await;
    scanner.signal("TERM");
    assert!(scanner.ended().await.success());
}

#[tokio::test]
async fn a_file_in_a_folder_that_did_not_exist_is_loaded() {
    let stage = continuous_stage().await;
    let _services = watching(&stage).await;
    stage.put("2026/03/01/a.csv", loan_file(1..=2));
    stage.put("2026/03/02/a.csv", loan_file(3..=4));
    loaded(&stage, 4).await;
    stage.put("2026/03/01/b.csv", loan_file(5..=6));
    loaded(&stage, 6).await;
    assert_eq!(stage.number(SCANS).await, 1);
}

#[tokio::test]
async fn a_folder_that_is_moved_here_brings_its_files_however_old_they_are() {
    let stage = continuous_stage().await;
    let _services = watching(&stage).await;
    let elsewhere = stage.folder().join("elsewhere");
    fs::create_dir_all(elsewhere.join("deep")).unwrap();
    fs::write(elsewhere.join("deep/a.csv"), loan_file(1..=2)).unwrap();
    set_modified(&elsewhere.join("deep/a.csv"), SystemTime::now() - Duration::from_secs(100 * 3600));
    fs::rename(&elsewhere, stage.inbox.join("here")).unwrap();
    loaded(&stage, 2).await;
    // Under its new name it is watched like any other folder.
    fs::rename(stage.inbox.join("here"), stage.inbox.join("there")).unwrap();
    eventually("the file under its other name", || async { stage.loans().await == (4, 2) }).await;
    stage.put("there/deep/b.csv", loan_file(3..=4));
    eventually("the new file", || async {
        stage.number("SELECT count(*) FROM reporting.loan_applications WHERE application_id > 2").await == 2
    })
    .await;
    assert_eq!(stage.number(SCANS).await, 1);
}

#[tokio::test]
async fn a_file_is_loaded_once_it_has_its_final_name() {
    let stage = continuous_stage().await;
    let _services = watching(&stage).await;
    let partial = stage.inbox.join("a.csv.part");
    fs::write(&partial, loan_file(1..=2)).unwrap();
    fs::create_dir(stage.inbox.join(".hidden")).unwrap();
    fs::write(stage.inbox.join(".hidden/b.csv"), loan_file(1..=2)).unwrap();
    stage.put("c.csv", loan_file(3..=4));
    eventually("the complete file", || async { stage.loans().await.0 == 2 }).await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.file").await, 1);
    fs::rename(&partial, stage.inbox.join("a.csv")).unwrap();
    loaded(&stage, 4).await;
}

#[tokio::test]
async fn a_file_that_is_overwritten_while_it_settles_is_loaded_once_with_its_last_content() {
    let settings = [("LONGSHORE_SCHEDULE", "continuous"), ("LONGSHORE_SETTLE", "1s")];
    let stage = Stage::with_loans_and(&settings).await;
    let _services = watching(&stage).await;
    for rows in 1..=100 {
        fs::write(stage.inbox.join("a.csv"), loan_file(1..=rows)).unwrap();
    }
    loaded(&stage, 100).await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.file").await, 1);
    assert_eq!(stage.number(SCANS).await, 1);
}

#[tokio::test]
async fn what_came_while_nobody_watched_is_found_by_the_first_scan() {
    let stage = continuous_stage().await;
    stage.put("a.csv", loan_file(1..=2));
    let [mut scanner, _worker] = watching(&stage).await;
    loaded(&stage, 2).await;
    scanner.signal("KILL");
    scanner.ended().await;
    stage.put("b.csv", loan_file(3..=4));
    let _scanner = stage.spawn(&["scanner"]);
    loaded(&stage, 4).await;
}

#[tokio::test]
async fn a_folder_that_appears_and_is_replaced_is_watched_all_the_same() {
    let stage = continuous_stage().await;
    fs::remove_dir(&stage.inbox).unwrap();
    let scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    scanner.logs("cannot be watched").await;
    stage.put("a.csv", loan_file(1..=2));
    loaded(&stage, 2).await;
    let times_watched = || scanner.log().matches("watching the folder").count();
    eventually("the watch", || async { times_watched() == 1 }).await;
    fs::rename(&stage.inbox, stage.folder().join("old")).unwrap();
    stage.put("b.csv", loan_file(3..=4));
    eventually("the watch of the other folder", || async { times_watched() == 2 }).await;
    loaded(&stage, 4).await;
    let scans = "SELECT count(*) FROM longshore.scan WHERE started_time > (SELECT max(created_time) FROM longshore.file)";
    eventually("the last scan for now", || async { stage.number(scans).await >= 1 }).await;
    let before = stage.number(SCANS).await;
    stage.put("c.csv", loan_file(5..=6));
    loaded(&stage, 6).await;
    assert!(stage.number(SCANS).await <= before + 1, "scans beside the watch:\n{}", scanner.log());
}

#[tokio::test]
async fn a_burst_of_files_is_loaded_whole() {
    let stage = continuous_stage().await;
    let _services = watching(&stage).await;
    for id in 1..=2000 {
        stage.put(&format!("{}/{id}.csv", id % 7), loan_file(id..=id));
    }
    loaded(&stage, 2000).await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.file").await, 2000);
}

#[tokio::test]
async fn a_schedule_that_changes_is_followed_at_once() {
    let mut stage = Stage::with_loans().await;
    let scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    eventually("the scan by the cron schedule", || async { stage.number(SCANS).await == 1 }).await;
    assert!(!watches(&scanner));
    stage.put("a.csv", loan_file(1..=2));
    apply(&mut stage, "continuous").await;
    scanner.logs("watching the folder").await;
    assert!(watches(&scanner));
    loaded(&stage, 2).await;
    apply(&mut stage, "0 0 1 1 *").await;
    eventually("the end of the watch", || async { !watches(&scanner) }).await;
    stage.put("b.csv", loan_file(3..=4));
    // Nobody has seen it before.
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 1);
    loaded(&stage, 4).await;
}

#[tokio::test]
async fn two_scanners_that_watch_the_same_folder_load_each_file_once() {
    let stage = continuous_stage().await;
    let scanners = [stage.spawn(&["scanner"]), stage.spawn(&["scanner"])];
    let _worker = stage.spawn(&["worker"]);
    for scanner in &scanners {
        scanner.logs("watching the folder").await;
    }
    for id in 1..=300 {
        stage.put(&format!("{id}.csv"), loan_file(id..=id));
    }
    loaded(&stage, 300).await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.file").await, 300);
    for scanner in &scanners {
        assert!(!scanner.log().contains("fails"), "{}", scanner.log());
    }
}

#[tokio::test]
async fn a_bucket_is_listed_often_enough_and_so_is_a_folder_whose_links_are_followed() {
    let (mut stage, server) = (continuous_stage().await, S3Server::start().await);
    server.create_bucket("harbour");
    stage.environment.extend(server.environment());
    let _services = [stage.spawn(&["scanner"]), stage.spawn(&["worker"])];
    stage.ok(&["dataset", "apply", &spec_with(&stage, "s3://harbour/loans", "")]).await;
    eventually("a scan of the bucket", || async { stage.number(SCANS).await >= 2 }).await;
    server.put("harbour", "loans/a.csv", loan_file(1..=2));
    loaded(&stage, 2).await;
    let folder = format!("file://{}", stage.inbox.display());
    stage.ok(&["dataset", "apply", &spec_with(&stage, &folder, "follow_links = true"), "--new-files"]).await;
    let before = stage.number(SCANS).await;
    eventually("a scan of the folder", || async { stage.number(SCANS).await >= before + 2 }).await;
    let elsewhere = stage.folder().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, stage.inbox.join("link")).unwrap();
    fs::write(elsewhere.join("b.csv"), loan_file(3..=4)).unwrap();
    loaded(&stage, 4).await;
}
