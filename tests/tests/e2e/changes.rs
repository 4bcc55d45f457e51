//! New content under a known name: of all versions of a file, the rows of one are in the table, once.

use longshore_tests::{Process, Stage, eventually, loan_file};
use serde_json::Value;

/// A stage whose loan dataset has this `discovery.on_change`.
async fn with_on_change(on_change: &str) -> Stage {
    let stage = Stage::new().await;
    apply_on_change(&stage, on_change).await;
    stage
}

async fn apply_on_change(stage: &Stage, on_change: &str) {
    let spec = std::fs::read_to_string(stage.loan_spec()).unwrap();
    let path = stage.folder().join("spec.toml");
    let discovery = format!("[discovery]\non_change = \"{on_change}\"");
    std::fs::write(&path, spec.replace("[discovery]", &discovery)).unwrap();
    stage.ok(&["dataset", "apply", path.to_str().unwrap()]).await;
}

/// Scans, and gives the counts of the one scan.
async fn scan(stage: &Stage) -> Value {
    stage.scan().await["scans"][0]["counts"].clone()
}

async fn scan_and_load(stage: &Stage) {
    stage.scan().await;
    stage.drain().await;
}

/// The loaded rows, by file: `file id: lowest to highest application id (rows)`.
async fn rows_by_file(stage: &Stage) -> Vec<String> {
    let sql =
        "SELECT format('%s: %s to %s (%s)', _file_id, min(application_id), max(application_id), count(*))
               FROM reporting.loan_applications GROUP BY _file_id ORDER BY _file_id";
    stage.texts(sql).await
}

async fn failures(stage: &Stage) -> Vec<String> {
    stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED' ORDER BY id").await
}

/// The newest first.
async fn states(stage: &Stage) -> Vec<String> {
    let files = stage.ok(&["files", "--json"]).await.json();
    files.as_array().unwrap().iter().map(|file| file["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_rows_and_rejects_of_a_changed_file_take_the_place_of_the_old_ones() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10) + "x\ny\n");
    stage.put("b.csv", loan_file(21..=30));
    scan_and_load(&stage).await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.reject").await, 2);

    stage.put("a.csv", loan_file(5..=15) + "z\n");
    assert_eq!(scan(&stage).await["new"], 1);
    stage.drain().await;
    assert_eq!(rows_by_file(&stage).await, ["2: 21 to 30 (10)", "3: 5 to 15 (11)"]);
    assert_eq!(stage.texts("SELECT file_id || raw FROM longshore.reject").await, ["3z"]);
    assert_eq!(states(&stage).await, ["LOADED", "LOADED", "REPLACED"]);
    let status = stage.ok(&["status", "--json"]).await.json();
    assert_eq!(status["rows"], serde_json::json!({"read": 22, "loaded": 21, "rejected": 1}));
    // What was there before is history.
    let history =
        "SELECT rows_read || ' ' || replaced_by FROM longshore.file_load WHERE removed_time IS NOT NULL";
    assert_eq!(stage.texts(history).await, ["12 3"]);
    assert_eq!(scan(&stage).await["known"], 2);
}

#[tokio::test]
async fn a_file_can_be_replaced_by_one_without_rows_and_back() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10));
    scan_and_load(&stage).await;
    stage.put("a.csv", "");
    scan_and_load(&stage).await;
    assert_eq!(stage.loans().await, (0, 0));
    stage.put("a.csv", loan_file(11..=12));
    scan_and_load(&stage).await;
    assert_eq!(rows_by_file(&stage).await, ["3: 11 to 12 (2)"]);
}

#[tokio::test]
async fn appended_content_is_loaded_beside_the_old_rows_and_the_same_version_never_twice() {
    let stage = with_on_change("append").await;
    let first = stage.put("a.csv", loan_file(1..=10));
    let kept = stage.folder().join("kept.csv");
    std::fs::hard_link(&first, &kept).unwrap();
    scan_and_load(&stage).await;
    stage.put("a.csv", loan_file(5..=15));
    assert_eq!(scan(&stage).await["new"], 1);
    stage.drain().await;
    let both = ["1: 1 to 10 (10)", "2: 5 to 15 (11)"];
    assert_eq!(rows_by_file(&stage).await, both);
    assert_eq!(states(&stage).await, ["LOADED", "LOADED"]);
    // Its first version comes back, whose rows are there.
    std::fs::rename(&kept, &first).unwrap();
    assert_eq!(scan(&stage).await["known"], 1);
    // Once the dataset replaces, everything before makes room.
    apply_on_change(&stage, "replace").await;
    stage.put("a.csv", loan_file(7..=8));
    scan_and_load(&stage).await;
    assert_eq!(rows_by_file(&stage).await, ["3: 7 to 8 (2)"]);
}

#[tokio::test]
async fn ignored_content_is_recorded_once_and_never_loaded() {
    let stage = with_on_change("ignore").await;
    let path = stage.put("a.csv", loan_file(1..=10));
    let kept = stage.folder().join("kept.csv");
    std::fs::hard_link(&path, &kept).unwrap();
    scan_and_load(&stage).await;
    stage.put("a.csv", loan_file(5..=15));
    let counts = scan(&stage).await;
    assert_eq!((&counts["new"], &counts["skipped"]["ignored_change"]), (&0.into(), &1.into()));
    assert_eq!(scan(&stage).await["known"], 1);
    stage.drain().await;
    assert_eq!(rows_by_file(&stage).await, ["1: 1 to 10 (10)"]);
    assert_eq!(states(&stage).await, ["IGNORED", "LOADED"]);
    assert_eq!(stage.number("SELECT count(*) FROM longshore.scanner").await, 1);
    assert_eq!(stage.ok(&["status", "--json"]).await.json()["files"]["SCANNED"], 0);
    std::fs::rename(&kept, &path).unwrap();
    assert_eq!(scan(&stage).await["known"], 1);
}

#[tokio::test]
async fn refused_content_fails_and_a_retry_puts_it_in_the_old_ones_place() {
    let stage = with_on_change("fail").await;
    stage.put("a.csv", loan_file(1..=10));
    scan_and_load(&stage).await;
    stage.put("a.csv", loan_file(5..=15));
    let counts = scan(&stage).await;
    assert_eq!((&counts["new"], &counts["skipped"]["refused_change"]), (&0.into(), &1.into()));
    assert_eq!(scan(&stage).await["known"], 1);
    stage.drain().await;
    assert_eq!(rows_by_file(&stage).await, ["1: 1 to 10 (10)"]);
    assert_eq!(states(&stage).await, ["FAILED", "LOADED"]);
    assert!(failures(&stage).await[0].starts_with("an earlier version of this file is loaded"));
    stage.ok(&["retry", "--failed"]).await;
    scan_and_load(&stage).await;
    assert_eq!(rows_by_file(&stage).await, ["2: 5 to 15 (11)"]);
    assert_eq!(states(&stage).await, ["LOADED", "REPLACED"]);
}

#[tokio::test]
async fn a_version_that_comes_back_is_loaded_again() {
    let stage = Stage::with_loans().await;
    let path = stage.put("a.csv", loan_file(1..=10));
    let kept = stage.folder().join("kept.csv");
    std::fs::hard_link(&path, &kept).unwrap();
    scan_and_load(&stage).await;
    stage.put("a.csv", loan_file(5..=15));
    scan_and_load(&stage).await;
    // With its old times.
    std::fs::rename(&kept, &path).unwrap();
    assert_eq!(scan(&stage).await["new"], 1);
    stage.drain().await;
    assert_eq!(rows_by_file(&stage).await, ["3: 1 to 10 (10)"]);
    assert_eq!(scan(&stage).await["known"], 1);
    assert_eq!(states(&stage).await, ["LOADED", "REPLACED", "REPLACED"]);
}

/// Records the only file once more, as a later version with a task of its own, and publishes that.
async fn enlist_twin(stage: &Stage) {
    let twin = "WITH twin AS (
                    INSERT INTO longshore.task (id, dataset_id) SELECT gen_random_uuid(), id FROM longshore.dataset
                    RETURNING id
                )
                INSERT INTO longshore.file (dataset_id, task_id, uri, file_modified_time, size_in_bytes, identity)
                SELECT dataset_id, twin.id, uri, file_modified_time, size_in_bytes, gen_random_uuid()
                FROM longshore.file, twin";
    stage.client().await.batch_execute(twin).await.unwrap();
    assert_eq!(stage.scan().await["published"], 1);
}

/// Two workers at the two versions of one file: the first pauses at the edge for as long as the second needs.
async fn load_at_once(edge: &str) -> (Stage, [Process; 2]) {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10) + "x\n");
    assert_eq!(stage.scan().await["published"], 1);
    let fail_point = format!("{edge}=1*return(pause)");
    let first = stage.spawn_with(&["worker", "--concurrency", "1"], &[("FAILPOINTS", &fail_point)]);
    first.logs(&format!("fail point {edge}: pause")).await;
    enlist_twin(&stage).await;
    let second = stage.spawn(&["worker", "--concurrency", "1"]);
    let open = "SELECT count(*) FROM longshore.task WHERE status NOT IN ('LOADED', 'FAILED')";
    eventually("both are settled", || async { stage.number(open).await == 0 }).await;
    assert_eq!(rows_by_file(&stage).await, ["2: 1 to 10 (10)"]);
    assert_eq!(stage.texts("SELECT file_id FROM longshore.reject").await, ["2"]);
    assert_eq!(stage.texts("SELECT file_id FROM longshore.object").await, ["2"]);
    (stage, [first, second])
}

#[tokio::test]
async fn of_two_versions_that_load_at_once_the_newer_one_replaces_the_older_that_commits_first() {
    let (stage, _workers) = load_at_once("worker::before_commit").await;
    assert_eq!(stage.number("SELECT count(*) FROM longshore.task WHERE status = 'LOADED'").await, 2);
    assert_eq!(states(&stage).await, ["LOADED", "REPLACED"]);
}

#[tokio::test]
async fn of_two_versions_that_load_at_once_the_older_one_gives_way_to_the_newer_that_committed_first() {
    let (stage, _workers) = load_at_once("worker::in_copy").await;
    assert_eq!(states(&stage).await, ["LOADED", "FAILED"]);
    assert!(failures(&stage).await[0].starts_with("superseded by a newer version of the file"));
    assert_eq!(stage.number("SELECT count(*) FROM longshore.file_load").await, 1);
    // The older one has nothing to do any more.
    let retried = stage.ok(&["retry", "--failed", "--json"]).await.json();
    assert_eq!(retried["superseded"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_older_version_that_loads_late_leaves_no_rows_and_its_neighbours_load() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10) + "x\n");
    stage.scan().await;
    let client = stage.client().await;
    let hold = "UPDATE longshore.task SET due_time = now() + interval '1h', published_time = NULL";
    client.batch_execute(hold).await.unwrap();
    enlist_twin(&stage).await;
    stage.drain().await;
    assert_eq!(rows_by_file(&stage).await, ["2: 1 to 10 (10)"]);
    // The older one's task gets a neighbour, and is due.
    stage.put("b.csv", loan_file(21..=30));
    stage.ok(&["scan", "--json"]).await;
    let release = "UPDATE longshore.task SET due_time = now(), published_time = NULL WHERE status = 'NEW';
                   UPDATE longshore.file SET task_id = (SELECT id FROM longshore.task WHERE status = 'NEW' ORDER BY created_time LIMIT 1)
                   WHERE uri LIKE '%/b.csv'";
    client.batch_execute(release).await.unwrap();
    scan_and_load(&stage).await;
    assert_eq!(rows_by_file(&stage).await, ["2: 1 to 10 (10)", "3: 21 to 30 (10)"]);
    assert_eq!(states(&stage).await, ["LOADED", "LOADED", "FAILED"]);
    assert_eq!(stage.texts("SELECT file_id FROM longshore.reject").await, ["2"]);
    assert!(failures(&stage).await[0].contains("the newer version was loaded first"));
}

#[tokio::test]
async fn a_batch_replaces_the_files_that_changed_and_no_others() {
    let stage = Stage::with_loans().await;
    let first_id = |number: u64| number * 1000;
    for number in 1..=40 {
        stage.put(&format!("{number}.csv"), loan_file(first_id(number)..first_id(number) + 100));
    }
    scan_and_load(&stage).await;
    for number in (2..=40).step_by(2) {
        stage.put(&format!("{number}.csv"), loan_file(first_id(number) + 50..first_id(number) + 200));
    }
    stage.put("41.csv", loan_file(first_id(41)..first_id(41) + 100));
    assert_eq!(stage.scan().await["published"], 1);
    stage.drain().await;
    assert_eq!(stage.loans().await, (20 * 100 + 20 * 150 + 100, 20 * 100 + 20 * 150 + 100));
    let each = "SELECT count(*) FROM (
                    SELECT application_id / 1000 AS file, format('%s from %s', count(*), min(application_id % 1000)) AS rows
                    FROM reporting.loan_applications GROUP BY 1) AS file
                WHERE rows = CASE WHEN file % 2 = 0 AND file < 41 THEN '150 from 50' ELSE '100 from 0' END";
    assert_eq!(stage.number(each).await, 41);
}

#[tokio::test]
async fn a_foreign_key_keeps_a_file_from_being_replaced_and_its_neighbours_are() {
    let stage = Stage::with_loans().await;
    for (name, first) in [("a", 1), ("b", 11), ("c", 21)] {
        stage.put(&format!("{name}.csv"), loan_file(first..first + 10));
    }
    scan_and_load(&stage).await;
    let client = stage.client().await;
    let refer = "ALTER TABLE reporting.loan_applications ADD UNIQUE (application_id);
                 CREATE TABLE decision (
                     application_id bigint REFERENCES reporting.loan_applications (application_id)
                         DEFERRABLE INITIALLY DEFERRED);
                 INSERT INTO decision VALUES (15)";
    client.batch_execute(refer).await.unwrap();
    for (name, first) in [("a", 101), ("b", 111), ("c", 121)] {
        stage.put(&format!("{name}.csv"), loan_file(first..first + 10) + "x\n");
    }
    scan_and_load(&stage).await;
    assert_eq!(rows_by_file(&stage).await, ["2: 11 to 20 (10)", "4: 101 to 110 (10)", "6: 121 to 130 (10)"]);
    assert_eq!(stage.texts("SELECT file_id FROM longshore.reject ORDER BY 1").await, ["4", "6"]);
    assert_eq!(states(&stage).await, ["LOADED", "FAILED", "LOADED", "REPLACED", "LOADED", "REPLACED"]);
    let failed = failures(&stage).await;
    assert!(failed[0].contains("SQLSTATE 23503") && failed[0].contains("decision"), "{failed:?}");
    client.batch_execute("DELETE FROM decision").await.unwrap();
    stage.ok(&["retry", "--failed"]).await;
    scan_and_load(&stage).await;
    assert_eq!(stage.loans().await, (30, 30));
    assert_eq!(stage.number("SELECT min(application_id) FROM reporting.loan_applications").await, 101);
}

/// What a trigger says to the removal of the rows of a.csv's first version, and what then stands in the failure.
const KEEPING: [(&str, &str); 2] = [
    ("RETURN NULL", "a trigger or rule keeps rows"),
    ("RAISE EXCEPTION 'audited'", "audited (SQLSTATE P0001)"),
];

#[tokio::test]
async fn a_trigger_keeps_a_file_from_being_replaced_and_its_neighbours_are() {
    for (keep, reason) in KEEPING {
        let stage = Stage::with_loans().await;
        stage.put("a.csv", loan_file(1..=10));
        stage.put("b.csv", loan_file(11..=20));
        scan_and_load(&stage).await;
        let kept = stage.number("SELECT id FROM longshore.file WHERE uri LIKE '%/a.csv'").await;
        let trigger = format!(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF OLD._file_id = {kept} THEN {keep}; END IF;
                 RETURN OLD;
             END $$;
             CREATE TRIGGER keep BEFORE DELETE ON reporting.loan_applications
                 FOR EACH ROW EXECUTE FUNCTION keep()"
        );
        stage.client().await.batch_execute(&trigger).await.unwrap();
        stage.put("a.csv", loan_file(101..=110));
        stage.put("b.csv", loan_file(111..=120));
        scan_and_load(&stage).await;
        let left = "SELECT format('%s to %s (%s)', min(application_id), max(application_id), count(*))
                    FROM reporting.loan_applications GROUP BY _file_id ORDER BY min(application_id)";
        assert_eq!(stage.texts(left).await, ["1 to 10 (10)", "111 to 120 (10)"], "{keep}");
        let failed = failures(&stage).await;
        assert!(failed.len() == 1 && failed[0].contains(reason), "{failed:?}");
    }
}

/// A load that begins in free room behind an earlier one, although the table has grown since.
#[tokio::test]
async fn rows_in_the_page_where_an_earlier_load_ended_are_found_without_reading_the_table() {
    let stage = Stage::with_loans().await;
    let session = stage.client().await;
    // Some twelve rows a page.
    let spread = "ALTER TABLE reporting.loan_applications SET (fillfactor = 10, autovacuum_enabled = off)";
    session.batch_execute(spread).await.unwrap();
    stage.put("a.csv", loan_file(1..=1));
    scan_and_load(&stage).await;
    let behind = "INSERT INTO reporting.loan_applications (application_id, _file_id, _line)
                  SELECT -number, -1, 1 FROM generate_series(1, 24) AS number";
    session.batch_execute(behind).await.unwrap();
    let fill = "INSERT INTO reporting.loan_applications (application_id, _file_id, _line)
                SELECT -number, -2, 1 FROM generate_series(1, 300000) AS number";
    stage.client().await.batch_execute(fill).await.unwrap();
    let delete = "DELETE FROM reporting.loan_applications WHERE _file_id = -1";
    session.batch_execute(delete).await.unwrap();
    session.batch_execute("VACUUM reporting.loan_applications").await.unwrap();
    drop(session);
    stage.put("b.csv", loan_file(101..=110));
    scan_and_load(&stage).await;
    let page = "SELECT max((ctid::text::point)[0])::bigint FROM reporting.loan_applications WHERE application_id = 101";
    assert!(stage.number(page).await < 10);
    let blocks = stage
        .number(
            "SELECT pg_relation_size('reporting.loan_applications') / current_setting('block_size')::bigint",
        )
        .await;
    assert!(blocks > 16_384);

    let counted = "SELECT n_tup_ins + n_tup_del FROM pg_stat_user_tables WHERE relname = 'loan_applications'";
    let read = "SELECT heap_blks_read + heap_blks_hit FROM pg_statio_user_tables
                WHERE relname = 'loan_applications'";
    let changes = 1 + 24 + 300_000 + 24 + 10;
    eventually("the counts so far", || async { stage.number(counted).await == changes }).await;
    let before = stage.number(read).await;
    stage.put("b.csv", loan_file(201..=202));
    scan_and_load(&stage).await;
    eventually("the new counts", || async { stage.number(counted).await == changes + 2 + 10 }).await;
    let after = stage.number(read).await;
    assert!(after - before < blocks / 4, "{} of {blocks} blocks", after - before);
    let loaded = "SELECT application_id FROM reporting.loan_applications WHERE _file_id > 0 ORDER BY 1";
    assert_eq!(stage.texts(loaded).await, ["1", "201", "202"]);
}

/// Rows in a table of so many pages that neither the file's blocks nor one statement reach all of it.
#[tokio::test]
async fn rows_are_found_wherever_a_rewrite_of_the_table_has_put_them() {
    let stage = Stage::with_loans().await;
    let client = stage.client().await;
    // Some twelve rows a page.
    let fill = |file: i32| {
        format!(
            "INSERT INTO reporting.loan_applications (application_id, _file_id, _line)
                 SELECT -number, {file}, 1 FROM generate_series(1, 250000) AS number"
        )
    };
    let spread = "ALTER TABLE reporting.loan_applications SET (fillfactor = 10, autovacuum_enabled = off)";
    client.batch_execute(spread).await.unwrap();
    client.batch_execute(&fill(-1)).await.unwrap();
    stage.put("few.csv", loan_file(1..=3));
    stage.put("many.csv", loan_file(101..=2100));
    scan_and_load(&stage).await;
    client.batch_execute(&fill(-2)).await.unwrap();
    client.batch_execute("DELETE FROM reporting.loan_applications WHERE _file_id = -1").await.unwrap();
    client.batch_execute("VACUUM FULL reporting.loan_applications").await.unwrap();
    let blocks =
        "SELECT pg_relation_size('reporting.loan_applications') / current_setting('block_size')::bigint";
    assert!(stage.number(blocks).await > 16_384);
    stage.put("few.csv", loan_file(11..=12));
    stage.put("many.csv", loan_file(5101..=5200));
    scan_and_load(&stage).await;
    let loaded = "SELECT format('%s to %s (%s)', min(application_id), max(application_id), count(*))
                  FROM reporting.loan_applications GROUP BY _file_id ORDER BY min(application_id)";
    assert_eq!(stage.texts(loaded).await, ["-250000 to -1 (250000)", "11 to 12 (2)", "5101 to 5200 (100)"]);
}

/// A partitioned table has no blocks of its own, and more in a partition than one statement reads.
#[tokio::test]
async fn rows_are_found_in_the_partitions_of_a_table() {
    let stage = Stage::with_loans().await;
    let client = stage.client().await;
    let divide = "ALTER TABLE reporting.loan_applications RENAME TO undivided;
        CREATE TABLE reporting.loan_applications (LIKE reporting.undivided INCLUDING ALL)
            PARTITION BY RANGE (application_id);
        CREATE TABLE reporting.loans_before PARTITION OF reporting.loan_applications
            FOR VALUES FROM (MINVALUE) TO (1000) WITH (fillfactor = 10, autovacuum_enabled = off);
        CREATE TABLE reporting.loans_since PARTITION OF reporting.loan_applications
            FOR VALUES FROM (1000) TO (MAXVALUE);
        INSERT INTO reporting.loan_applications (application_id, _file_id, _line)
            SELECT -number, -1, 1 FROM generate_series(1, 250000) AS number";
    client.batch_execute(divide).await.unwrap();
    stage.put("a.csv", loan_file(1..=3));
    stage.put("b.csv", loan_file(900..=1100));
    scan_and_load(&stage).await;
    stage.put("a.csv", loan_file(11..=12));
    stage.put("b.csv", loan_file(950..=1200));
    scan_and_load(&stage).await;
    let rows = ["-1: -250000 to -1 (250000)", "3: 11 to 12 (2)", "4: 950 to 1200 (251)"];
    assert_eq!(rows_by_file(&stage).await, rows);
}

#[tokio::test]
async fn a_worker_killed_around_the_commit_of_a_replacement_leaves_one_versions_rows() {
    for edge in ["worker::before_commit", "worker::after_commit"] {
        let stage = Stage::with_loans().await;
        stage.put("a.csv", loan_file(1..=10) + "x\n");
        scan_and_load(&stage).await;
        stage.put("a.csv", loan_file(5..=15) + "y\n");
        stage.scan().await;
        let fail_point = format!("{edge}=return(kill)");
        let mut killed = stage.spawn_with(&["worker"], &[("FAILPOINTS", &fail_point)]);
        killed.ended().await;
        let expected = match edge {
            "worker::before_commit" => "1: 1 to 10 (10)",
            _ => "2: 5 to 15 (11)",
        };
        assert_eq!(rows_by_file(&stage).await, [expected], "{edge}");
        let _worker = stage.spawn(&["worker"]);
        eventually("the new rows", || async { rows_by_file(&stage).await == ["2: 5 to 15 (11)"] }).await;
        assert_eq!(stage.texts("SELECT file_id || raw FROM longshore.reject").await, ["2y"], "{edge}");
    }
}
