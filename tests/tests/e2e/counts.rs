//! The numbers of `status` and the lists are those of the ledger, though neither reads all of it.

use deadpool_postgres::ClientWrapper;
use longshore_common::ledger;
use longshore_tests::{Stage, eventually, loan_file};
use serde_json::{Value, json};

/// What `status` should say, counted row by row.
async fn counted(stage: &Stage) -> Value {
    let sql = "SELECT jsonb_build_object(
        'files', (SELECT jsonb_build_object('SCANNED', count(*) FILTER (WHERE task_id IS NULL AND NOT is_ignored),
                                            'SENT_FOR_ETL', count(task_id)) FROM longshore.file),
        'tasks', (SELECT jsonb_build_object('NEW', count(*) FILTER (WHERE status = 'NEW'),
                                            'PROCESSING', count(*) FILTER (WHERE status = 'PROCESSING'),
                                            'LOADED', count(*) FILTER (WHERE status = 'LOADED'),
                                            'FAILED', count(*) FILTER (WHERE status = 'FAILED')) FROM longshore.task),
        'rows', (SELECT jsonb_build_object('read', coalesce(sum(rows_read), 0), 'loaded', coalesce(sum(rows_loaded), 0),
                                           'rejected', coalesce(sum(rows_rejected), 0))
                 FROM longshore.file_load WHERE removed_time IS NULL))";
    serde_json::from_str(&stage.texts(sql).await[0]).unwrap()
}

async fn assert_counts(stage: &Stage) {
    let status = stage.ok(&["status", "--json"]).await.json();
    let found = json!({"files": status["files"], "tasks": status["tasks"], "rows": status["rows"]});
    assert_eq!(found, counted(stage).await);
    let listed = stage.ok(&["dataset", "list", "--json"]).await.json();
    assert_eq!(listed[0]["files"], stage.number("SELECT count(*) FROM longshore.file").await);
}

/// Each state's list has the files, in their order, that the list of all shows in this state.
async fn assert_lists(stage: &Stage, expected: &[&str]) {
    let all = stage.ok(&["files", "--json"]).await.json();
    let all = all.as_array().unwrap();
    for state in ["SCANNED", "NEW", "PROCESSING", "LOADED", "FAILED", "REPLACED", "UNLOADED", "IGNORED"] {
        let in_state: Vec<&Value> = all.iter().filter(|file| file["status"] == state).collect();
        assert_eq!(!in_state.is_empty(), expected.contains(&state), "{state}: {all:?}");
        for more in [vec![], vec!["--dataset", "loan_applications"]] {
            let arguments = [vec!["files", "--json", "--status", state], more].concat();
            assert_eq!(stage.ok(&arguments).await.json(), json!(in_state), "{arguments:?}");
        }
    }
}

#[tokio::test]
async fn status_and_lists_agree_with_the_ledger_whatever_happened_to_files() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_BYTES", "100 B")]).await;
    assert_counts(&stage).await;
    for (name, rows) in [("a.csv", 1..=10), ("b.csv", 11..=15), ("c.csv", 21..=25)] {
        stage.put(name, loan_file(rows) + "x\n");
    }
    stage.put("bad.csv", "wrong\n");
    stage.scan().await;
    assert_counts(&stage).await;
    stage.drain().await;
    assert_counts(&stage).await;
    assert_lists(&stage, &["LOADED", "FAILED"]).await;
    // Replaced, unloaded, and on its way again.
    stage.put("a.csv", loan_file(1..=7));
    stage.scan().await;
    stage.drain().await;
    stage.ok(&["unload", stage.inbox.join("b.csv").to_str().unwrap()]).await;
    assert_counts(&stage).await;
    stage.ok(&["reload", stage.inbox.join("c.csv").to_str().unwrap()]).await;
    assert_lists(&stage, &["NEW", "LOADED", "FAILED", "REPLACED", "UNLOADED"]).await;
    // Known and never loaded, and waiting for a batch.
    stage
        .apply_loans(&[
            ("[discovery]", "[discovery]\non_change = \"ignore\""),
            ("BATCH_WAIT:-5m", "WAIT:-1h"),
        ])
        .await;
    stage.put("a.csv", loan_file(1..=3));
    stage.put("d.csv", "");
    stage.ok(&["scan"]).await;
    assert_counts(&stage).await;
    assert_lists(&stage, &["NEW", "LOADED", "FAILED", "REPLACED", "UNLOADED", "IGNORED", "SCANNED"]).await;
    stage.client().await.batch_execute("TRUNCATE longshore.task CASCADE").await.unwrap();
    assert_counts(&stage).await;
}

#[tokio::test]
async fn the_scanner_adds_the_differences_up() {
    let stage = Stage::with_loans().await;
    let _scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    stage.put("a.csv", loan_file(1..=10));
    stage.ok(&["scan", "--flush"]).await;
    eventually("the rows", || async { stage.loans().await == (10, 10) }).await;
    let added_up =
        "SELECT sum(rows_loaded) FROM longshore.total WHERE NOT EXISTS (SELECT FROM longshore.total_change)";
    eventually("the totals", || async {
        stage.number(&format!("SELECT coalesce(({added_up}), 0)")).await == 10
    })
    .await;
    assert_counts(&stage).await;
}

async fn session(stage: &Stage) -> ClientWrapper {
    let (client, connection) =
        tokio_postgres::connect(&stage.database_url(), tokio_postgres::NoTls).await.unwrap();
    ClientWrapper::new(client, tokio::spawn(async { drop(connection.await) }))
}

#[tokio::test]
async fn every_snapshot_counts_each_difference_once_while_several_add_up() {
    const TASKS: i64 = 20_000;
    let stage = Stage::with_loans().await;
    let one_by_one = format!(
        "DO $$ BEGIN FOR n IN 1..{TASKS} LOOP
             INSERT INTO longshore.task (id, dataset_id) SELECT gen_random_uuid(), id FROM longshore.dataset;
         END LOOP; END $$"
    );
    stage.client().await.batch_execute(&one_by_one).await.unwrap();
    assert_eq!(stage.number("SELECT count(*) FROM longshore.total_change").await, TASKS);
    let mut adders = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let client = session(&stage).await;
        adders.spawn(async move { ledger::add_up_totals(&client).await });
    }
    let reader = session(&stage).await;
    let mut added_up = 0;
    while !adders.is_empty() {
        let tasks = ledger::overview(&reader).await.unwrap().tasks;
        assert_eq!((tasks.new, tasks.loaded), (TASKS, 0));
        while let Some(added) = adders.try_join_next() {
            added_up += added.unwrap().unwrap();
        }
    }
    assert_eq!(
        (added_up, stage.number("SELECT sum(tasks) FROM longshore.total").await),
        (TASKS as u64, TASKS)
    );
}
