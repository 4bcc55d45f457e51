//! Who decides that a file goes, and who may decide otherwise at the same time.

use longshore_tests::{Process, Stage, eventually, loan_file};

use super::{DELETE, deleting, files_below, moving, outcomes};

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
