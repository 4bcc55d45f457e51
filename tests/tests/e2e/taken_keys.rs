//! Target tables with a unique key: a new version of a file has the keys of the rows that it replaces.

use longshore_tests::{Stage, eventually, loan_file};

async fn with_unique_key() -> Stage {
    let stage = Stage::with_loans().await;
    let key = "ALTER TABLE reporting.loan_applications ADD PRIMARY KEY (application_id)";
    stage.client().await.batch_execute(key).await.unwrap();
    stage
}

async fn scan_and_load(stage: &Stage) {
    stage.scan().await;
    stage.drain().await;
}

/// The ends of the names of the loaded files, with their rows in the table.
async fn rows(stage: &Stage) -> Vec<String> {
    let sql =
        "SELECT format('%s %s to %s (%s)', right(uri, 5), min(application_id), max(application_id), count(*))
               FROM reporting.loan_applications JOIN longshore.file ON file.id = _file_id
               GROUP BY uri, file.id ORDER BY uri, file.id";
    stage.texts(sql).await
}

async fn failures(stage: &Stage) -> Vec<String> {
    stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED' ORDER BY id").await
}

#[tokio::test]
async fn a_version_with_the_keys_of_the_earlier_one_replaces_it_and_so_does_a_reload() {
    let stage = with_unique_key().await;
    stage.put("a.csv", loan_file(1..=10) + "x\n");
    stage.put("b.csv", loan_file(11..=20));
    scan_and_load(&stage).await;
    // In one batch: two that replace, and one that is new.
    stage.put("a.csv", loan_file(1..=8) + "x\ny\n");
    stage.put("b.csv", loan_file(12..=20));
    stage.put("c.csv", loan_file(21..=30));
    scan_and_load(&stage).await;
    let replaced = ["a.csv 1 to 8 (8)", "b.csv 12 to 20 (9)", "c.csv 21 to 30 (10)"];
    assert_eq!(rows(&stage).await, replaced);
    assert_eq!(stage.number("SELECT count(*) FROM longshore.task WHERE status = 'LOADED'").await, 2);
    assert_eq!(stage.number("SELECT count(*) FROM longshore.reject").await, 2);
    let status = stage.ok(&["status", "--json"]).await.json();
    assert_eq!(status["rows"], serde_json::json!({"read": 29, "loaded": 27, "rejected": 2}));

    stage.ok(&["reload", stage.inbox.join("b.csv").to_str().unwrap()]).await;
    scan_and_load(&stage).await;
    assert_eq!(rows(&stage).await, replaced);
    assert_eq!(stage.number("SELECT count(*) FROM longshore.file_load WHERE removed_time IS NULL").await, 3);
    assert_eq!(failures(&stage).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_large_version_with_the_keys_of_the_earlier_one_replaces_it() {
    let stage = with_unique_key().await;
    stage.put("a.csv", loan_file(1..=50_000));
    scan_and_load(&stage).await;
    stage.put("a.csv", loan_file(2..=50_001));
    scan_and_load(&stage).await;
    assert_eq!(rows(&stage).await, ["a.csv 2 to 50001 (50000)"]);
    assert_eq!(failures(&stage).await, Vec::<String>::new());
}

#[tokio::test]
async fn keys_that_move_between_the_files_of_a_batch_find_their_places() {
    let stage = with_unique_key().await;
    stage.put("a.csv", loan_file(1..=5));
    stage.put("b.csv", loan_file(6..=10));
    scan_and_load(&stage).await;
    stage.put("a.csv", loan_file(6..=8));
    stage.put("b.csv", loan_file(1..=4));
    stage.put("c.csv", loan_file(5..=5));
    // This one's key is taken for good, and keeps none of the others out, although it is older than all.
    let newcomer = stage.put("d.csv", loan_file(8..=8));
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::options().append(true).open(newcomer).unwrap().set_modified(long_ago).unwrap();
    scan_and_load(&stage).await;
    assert_eq!(rows(&stage).await, ["a.csv 6 to 8 (3)", "b.csv 1 to 4 (4)", "c.csv 5 to 5 (1)"]);
    let failed = failures(&stage).await;
    assert!(failed.len() == 1 && failed[0].contains("(8) already exists"), "{failed:?}");
}

#[tokio::test]
async fn an_update_is_not_kept_out_by_a_neighbour_that_fails() {
    let stage = with_unique_key().await;
    stage.put("a.csv", loan_file(1..=5));
    stage.put("b.csv", loan_file(6..=10));
    scan_and_load(&stage).await;
    // The first takes a key of the second, which has it, too, and gave it up to be copied again.
    stage.put("a.csv", loan_file(1..=6));
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    stage.put("b.csv", loan_file(6..=9));
    scan_and_load(&stage).await;
    assert_eq!(rows(&stage).await, ["a.csv 1 to 5 (5)", "b.csv 6 to 9 (4)"]);
    let failed = failures(&stage).await;
    assert!(failed.len() == 1 && failed[0].contains("(6) already exists"), "{failed:?}");
}

#[tokio::test]
async fn a_key_that_a_replaced_file_has_given_up_is_free_for_its_neighbour() {
    let stage = with_unique_key().await;
    stage.put("a.csv", loan_file(1..=5));
    scan_and_load(&stage).await;
    stage.put("a.csv", loan_file(6..=10));
    stage.put("b.csv", loan_file(1..=5));
    scan_and_load(&stage).await;
    assert_eq!(rows(&stage).await, ["a.csv 6 to 10 (5)", "b.csv 1 to 5 (5)"]);
    assert_eq!(failures(&stage).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_worker_killed_in_the_second_copy_leaves_the_earlier_rows_until_the_next_attempt() {
    let stage = with_unique_key().await;
    stage.put("a.csv", loan_file(1..=10));
    scan_and_load(&stage).await;
    stage.put("a.csv", loan_file(2..=11));
    stage.scan().await;
    // The first copy reads twice: the file, and its end.
    let mut worker =
        stage.spawn_with(&["worker"], &[("FAILPOINTS", "worker::read_chunk=2*off->return(kill)")]);
    worker.logs("fail point worker::read_chunk: kill").await;
    worker.ended().await;
    assert_eq!(rows(&stage).await, ["a.csv 1 to 10 (10)"]);
    let _services = (stage.spawn(&["scanner"]), stage.spawn(&["worker"]));
    eventually("the new version", || async { rows(&stage).await == ["a.csv 2 to 11 (10)"] }).await;
}

#[tokio::test]
async fn rows_whose_removal_would_reach_other_tables_are_not_removed_to_make_room() {
    let stage = with_unique_key().await;
    stage.put("a.csv", loan_file(1..=10));
    scan_and_load(&stage).await;
    let notes = "CREATE TABLE reporting.notes (
            application_id bigint REFERENCES reporting.loan_applications ON DELETE CASCADE, note text);
        INSERT INTO reporting.notes VALUES (1, 'called back')";
    stage.client().await.batch_execute(notes).await.unwrap();
    stage.put("a.csv", loan_file(1..=9));
    scan_and_load(&stage).await;
    assert_eq!(rows(&stage).await, ["a.csv 1 to 10 (10)"]);
    assert_eq!(stage.number("SELECT count(*) FROM reporting.notes").await, 1);
    assert!(failures(&stage).await[0].contains("(SQLSTATE 23505)"));
}

#[tokio::test]
async fn a_version_that_fails_all_the_same_leaves_the_earlier_rows_and_its_neighbours_load() {
    let stage = with_unique_key().await;
    stage.put("a.csv", loan_file(1..=10) + "x\n");
    stage.put("b.csv", loan_file(11..=20));
    scan_and_load(&stage).await;
    // One has a key of its own earlier version, and one of another file.
    stage.put("a.csv", loan_file(5..=15));
    stage.put("c.csv", loan_file(21..=30));
    scan_and_load(&stage).await;
    let kept = ["a.csv 1 to 10 (10)", "b.csv 11 to 20 (10)", "c.csv 21 to 30 (10)"];
    assert_eq!(rows(&stage).await, kept);
    assert_eq!(stage.number("SELECT count(*) FROM longshore.reject").await, 1);
    let failed = failures(&stage).await;
    assert!(failed.len() == 1 && failed[0].contains("(SQLSTATE 23505)"), "{failed:?}");
    assert!(failed[0].contains("(11) already exists"), "it is the other file's key: {failed:?}");
    let books = "SELECT count(*) FROM longshore.object JOIN longshore.file_load USING (file_id)
        WHERE removed_time IS NULL";
    assert_eq!(stage.number(books).await, 3);

    // Beside no earlier version there is nothing to make room.
    stage.put("d.csv", loan_file(30..=31));
    scan_and_load(&stage).await;
    assert_eq!(rows(&stage).await, kept);
    assert_eq!(failures(&stage).await.len(), 2);
}

#[tokio::test]
async fn appended_content_never_removes_rows_to_make_room() {
    let stage = Stage::new().await;
    let spec = std::fs::read_to_string(stage.loan_spec()).unwrap();
    let path = stage.folder().join("spec.toml");
    std::fs::write(&path, spec.replace("[discovery]", "[discovery]\non_change = \"append\"")).unwrap();
    stage.ok(&["dataset", "apply", path.to_str().unwrap()]).await;
    let key = "ALTER TABLE reporting.loan_applications ADD PRIMARY KEY (application_id)";
    stage.client().await.batch_execute(key).await.unwrap();
    stage.put("a.csv", loan_file(1..=10));
    scan_and_load(&stage).await;
    stage.put("a.csv", loan_file(10..=12));
    scan_and_load(&stage).await;
    assert_eq!(rows(&stage).await, ["a.csv 1 to 10 (10)"]);
    assert_eq!(failures(&stage).await.len(), 1);
    // The very same version gives the same rows again.
    stage.put("a.csv", loan_file(13..=14));
    scan_and_load(&stage).await;
    stage.ok(&["reload", stage.inbox.join("a.csv").to_str().unwrap()]).await;
    scan_and_load(&stage).await;
    assert_eq!(rows(&stage).await, ["a.csv 1 to 10 (10)", "a.csv 13 to 14 (2)"]);
}
