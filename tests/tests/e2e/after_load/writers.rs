//! Files whose writers are not done, or that changed or came back, are not taken.

use std::{fs::File, io::Write};

use longshore_tests::{Stage, eventually, loan_file, loan_line};

use super::{DELETE, apply, deleting, files_below, move_to, outcomes, set_modified};

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
