//! Steps that die, servers that forget, and ids that come again after a restore.

use longshore_tests::{Process, Stage, eventually, loan_file};

use super::{DELETE, apply, buckets::in_a_bucket, deleting, files_below, move_to, moving, outcomes};

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
