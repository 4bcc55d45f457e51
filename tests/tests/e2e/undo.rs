//! A file is the unit of undo: out of the table, and in again.

use longshore_tests::{Stage, eventually, loan_file};

/// Two files of ten rows each, loaded.
async fn with_two_files() -> Stage {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10) + "x\n");
    stage.put("b.csv", loan_file(21..=30));
    stage.scan().await;
    stage.drain().await;
    stage
}

/// The state of a.csv's versions, the newest first.
async fn states(stage: &Stage) -> Vec<String> {
    let files = stage.ok(&["files", "--json"]).await.json();
    let files = files.as_array().unwrap().iter();
    let files = files.filter(|file| file["file_name"].as_str().unwrap().ends_with("/a.csv"));
    files.map(|file| file["status"].as_str().unwrap().to_owned()).collect()
}

async fn lowest_and_highest(stage: &Stage) -> Vec<String> {
    stage.texts("SELECT format('%s %s', min(application_id), max(application_id)) FROM reporting.loan_applications").await
}

#[tokio::test]
async fn an_unloaded_file_leaves_no_rows_stays_known_and_can_be_reloaded() {
    let stage = with_two_files().await;
    let path = stage.inbox.join("a.csv");
    let path = path.to_str().unwrap();
    let unloaded = stage.ok(&["unload", path, "--json"]).await.json();
    assert_eq!((&unloaded["rows_removed"], unloaded["file_ids"].as_array().unwrap().len()), (&10.into(), 1));
    assert_eq!(lowest_and_highest(&stage).await, ["21 30"]);
    assert_eq!(stage.number("SELECT count(*) FROM longshore.reject").await, 0);
    assert_eq!(states(&stage).await, ["UNLOADED"]);
    assert_eq!(stage.ok(&["status", "--json"]).await.json()["rows"]["loaded"], 10);
    let story = stage.ok(&["why", path]).await.stdout;
    assert!(story.contains("UNLOADED at ") && story.contains("`longshore reload file://"), "{story}");
    // It is known.
    assert_eq!(stage.scan().await["scans"][0]["counts"]["known"], 2);
    let again = stage.run(&["unload", path]).await;
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("it is not loaded"), "{again:?}");

    let said = stage.ok(&["reload", path]).await.stdout;
    assert!(said.contains("longshore why"), "{said}");
    assert_eq!(stage.scan().await["scans"][0]["counts"]["known"], 2);
    stage.drain().await;
    assert_eq!(stage.loans().await, (20, 20));
    assert_eq!(stage.number("SELECT count(*) FROM longshore.reject").await, 1);
    assert_eq!(states(&stage).await, ["LOADED", "UNLOADED"]);
}

#[tokio::test]
async fn an_unloaded_version_stays_out_also_when_a_newer_one_had_failed() {
    let stage = with_two_files().await;
    let path = stage.inbox.join("a.csv");
    let (kept, path) = (stage.inbox.join("a.csv.part"), path.to_str().unwrap());
    std::fs::hard_link(path, &kept).unwrap();
    stage.put("a.csv", "no such header\n1\n");
    stage.scan().await;
    stage.drain().await;
    assert_eq!(states(&stage).await, ["FAILED", "LOADED"]);
    // The version that is loaded is what the store has again.
    std::fs::rename(&kept, path).unwrap();
    assert_eq!(stage.scan().await["scans"][0]["counts"]["known"], 2);
    stage.ok(&["unload", path]).await;
    assert_eq!(stage.scan().await["scans"][0]["counts"]["known"], 2);
    assert_eq!(lowest_and_highest(&stage).await, ["21 30"]);
    std::fs::remove_file(path).unwrap();
    let audit = stage.run(&["audit", "--json"]).await;
    assert_eq!((audit.code, &audit.json()["scans"][0]["audit"]["gone"]["loaded"]["files"]), (0, &1.into()));
}

#[tokio::test]
async fn new_content_of_an_unloaded_file_is_a_new_file() {
    let stage = with_two_files().await;
    stage.ok(&["unload", stage.inbox.join("a.csv").to_str().unwrap()]).await;
    stage.put("a.csv", loan_file(1..=5));
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 1);
    stage.drain().await;
    assert_eq!(stage.loans().await, (15, 15));
}

#[tokio::test]
async fn a_reload_replaces_the_rows_with_those_of_the_current_spec_at_once() {
    let stage = with_two_files().await;
    let path = stage.inbox.join("a.csv");
    let spec = std::fs::read_to_string(stage.loan_spec()).unwrap();
    let changed = stage.folder().join("spec.toml");
    std::fs::write(&changed, spec.replacen("required = true", "required = true\nmin = 5", 1)).unwrap();
    stage.ok(&["dataset", "apply", changed.to_str().unwrap()]).await;
    stage.ok(&["reload", path.to_str().unwrap()]).await;
    // One is enough at a time, and nothing is undone under it.
    for command in ["reload", "unload"] {
        let refused = stage.run(&[command, path.to_str().unwrap()]).await;
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("on its way (NEW"), "{refused:?}");
    }
    assert_eq!(stage.loans().await, (20, 20));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(lowest_and_highest(&stage).await, ["5 30"]);
    assert_eq!(stage.loans().await, (16, 16));
    assert_eq!(states(&stage).await, ["LOADED", "REPLACED"]);
    assert_eq!(stage.scan().await["scans"][0]["counts"]["known"], 2);
    let story = stage.ok(&["why", path.to_str().unwrap()]).await.stdout;
    assert!(story.contains("REPLACED at ") && story.contains("(_file_id 3)"), "{story}");
}

#[tokio::test]
async fn a_reload_that_fails_leaves_the_old_rows() {
    let stage = with_two_files().await;
    let path = stage.inbox.join("a.csv");
    std::fs::remove_file(&path).unwrap();
    stage.ok(&["reload", path.to_str().unwrap()]).await;
    stage.scan().await;
    stage.drain().await;
    // Ten minutes after a worker of another host, this one misses it as well.
    let pass = "UPDATE longshore.file SET missed_time = missed_time - interval '10 min', missed_by = 'another-host-1-abcd';
                UPDATE longshore.task SET due_time = now()";
    stage.client().await.batch_execute(pass).await.unwrap();
    stage.scan().await;
    stage.drain().await;
    assert_eq!(states(&stage).await, ["FAILED", "LOADED"]);
    assert_eq!(stage.loans().await, (20, 20));
    // The file comes back, with its old time: what is loaded of it is right.
    stage.ok(&["unload", path.to_str().unwrap()]).await;
    assert_eq!(stage.loans().await, (10, 10));
}

#[tokio::test]
async fn a_reload_under_append_replaces_its_own_version_and_no_other() {
    let stage = with_two_files().await;
    let spec = std::fs::read_to_string(stage.loan_spec()).unwrap();
    let changed = stage.folder().join("spec.toml");
    std::fs::write(&changed, spec.replace("[discovery]", "[discovery]\non_change = \"append\"")).unwrap();
    stage.ok(&["dataset", "apply", changed.to_str().unwrap()]).await;
    let path = stage.put("a.csv", loan_file(11..=15));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.loans().await, (25, 25));
    stage.ok(&["reload", path.to_str().unwrap()]).await;
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.loans().await, (25, 25));
    assert_eq!(states(&stage).await, ["LOADED", "REPLACED", "LOADED"]);
    let unloaded = stage.ok(&["unload", path.to_str().unwrap(), "--json"]).await.json();
    assert_eq!(unloaded["rows_removed"], 15);
}

#[tokio::test]
async fn a_file_is_not_unloaded_while_its_new_version_loads() {
    let stage = with_two_files().await;
    let path = stage.put("a.csv", loan_file(11..=15));
    stage.scan().await;
    let fail_point = [("FAILPOINTS", "worker::before_commit=1*return(pause)")];
    let worker = stage.spawn_with(&["worker"], &fail_point);
    worker.logs("fail point worker::before_commit: pause").await;
    // Waits for the load's lock, and then finds the new rows.
    let unloaded = stage.ok(&["unload", path.to_str().unwrap(), "--json"]).await.json();
    assert_eq!(unloaded["rows_removed"], 5);
    eventually("the other rows", || async { stage.loans().await == (10, 10) }).await;
    assert_eq!(states(&stage).await, ["UNLOADED", "REPLACED"]);
}

#[tokio::test]
async fn rows_that_a_foreign_key_holds_are_not_unloaded() {
    let stage = with_two_files().await;
    let refer = "ALTER TABLE reporting.loan_applications ADD UNIQUE (application_id);
                 CREATE TABLE decision (application_id bigint REFERENCES reporting.loan_applications (application_id));
                 INSERT INTO decision VALUES (5)";
    stage.client().await.batch_execute(refer).await.unwrap();
    let refused = stage.run(&["unload", stage.inbox.join("a.csv").to_str().unwrap()]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("is not unloaded") && refused.stderr.contains("decision"), "{refused:?}");
    assert_eq!(stage.loans().await, (20, 20));
    assert_eq!(states(&stage).await, ["LOADED"]);
}

#[tokio::test]
async fn rows_that_a_trigger_keeps_are_not_unloaded() {
    let stage = with_two_files().await;
    let trigger = "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
                   CREATE TRIGGER keep BEFORE DELETE ON reporting.loan_applications
                       FOR EACH ROW WHEN (OLD.application_id = 5) EXECUTE FUNCTION keep()";
    stage.client().await.batch_execute(trigger).await.unwrap();
    let refused = stage.run(&["unload", stage.inbox.join("a.csv").to_str().unwrap()]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("a trigger or rule keeps rows"), "{refused:?}");
    assert_eq!(stage.loans().await, (20, 20));
    assert_eq!(states(&stage).await, ["LOADED"]);
}

#[tokio::test]
async fn an_older_version_does_not_bring_an_unloaded_file_back() {
    let stage = Stage::with_loans().await;
    let path = stage.put("a.csv", loan_file(1..=10));
    stage.scan().await;
    let client = stage.client().await;
    let hold = "UPDATE longshore.task SET status = 'FAILED', failure_msg = 'held'";
    client.batch_execute(hold).await.unwrap();
    stage.put("a.csv", loan_file(1..=5));
    stage.scan().await;
    stage.drain().await;
    stage.ok(&["unload", path.to_str().unwrap()]).await;
    let release = "UPDATE longshore.task SET status = 'NEW', failure_msg = NULL, published_time = NULL
                   WHERE status = 'FAILED';
                   UPDATE longshore.file SET file_modified_time = newest.file_modified_time,
                       size_in_bytes = newest.size_in_bytes
                   FROM longshore.file AS newest WHERE file.id = 1 AND newest.id = 2";
    client.batch_execute(release).await.unwrap();
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.loans().await, (0, 0));
    assert_eq!(states(&stage).await, ["UNLOADED", "FAILED"]);
    let reason = "SELECT failure_msg FROM longshore.task WHERE status = 'FAILED'";
    assert!(stage.texts(reason).await[0].contains("the newer version was loaded first"));
}

#[tokio::test]
async fn what_no_scan_has_found_or_several_datasets_have_is_a_wrong_call() {
    let stage = with_two_files().await;
    let unknown = stage.run(&["unload", "/no/such.csv"]).await;
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("no scan has found file:///no/such.csv"), "{unknown:?}");
    let spec = std::fs::read_to_string(stage.loan_spec())
        .unwrap()
        .replace("name = \"loan_applications\"", "name = \"other\"");
    let other = stage.folder().join("other.toml");
    std::fs::write(&other, spec.replace("reporting.loan_applications", "reporting.other")).unwrap();
    stage.ok(&["dataset", "apply", other.to_str().unwrap()]).await;
    stage.scan().await;
    stage.drain().await;
    let path = stage.inbox.join("a.csv");
    let path = path.to_str().unwrap();
    let ambiguous = stage.run(&["unload", path]).await;
    assert_eq!(ambiguous.code, 2);
    assert!(ambiguous.stderr.contains("(loan_applications, other): name one by --dataset"), "{ambiguous:?}");
    stage.ok(&["unload", path, "--dataset", "other"]).await;
    assert_eq!(stage.loans().await, (20, 20));
    assert_eq!(stage.number("SELECT count(*) FROM reporting.other").await, 10);
}
