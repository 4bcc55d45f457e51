//! `longshore why`: where a file or a task is, how it came there, and what happens next.

use longshore_tests::{Stage, eventually, loan_file};
use serde_json::Value;

/// What it says about a file in the inbox, by its path.
async fn why_file(stage: &Stage, name: &str) -> String {
    let path = stage.inbox.join(name);
    stage.ok(&["why", path.to_str().unwrap()]).await.stdout
}

/// What it says about the only task.
async fn why_task(stage: &Stage) -> String {
    stage.ok(&["why", &only_task(stage).await]).await.stdout
}

async fn only_task(stage: &Stage) -> String {
    let mut tasks = stage.texts("SELECT id FROM longshore.task").await;
    assert_eq!(tasks.len(), 1);
    tasks.remove(0)
}

/// Asserts that each of the texts is in the story, in this order.
fn assert_told(story: &str, texts: &[&str]) {
    let mut rest = story;
    for text in texts {
        let (_, behind) = rest.split_once(text).unwrap_or_else(|| panic!("`{text}` is missing in:\n{story}"));
        rest = behind;
    }
}

async fn end_of_lease(stage: &Stage) {
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("the dead worker's lease is free", || async { stage.number(held).await == 0 }).await;
}

#[tokio::test]
async fn a_file_that_is_held_back_says_until_when_and_what_sends_it() {
    let stage = Stage::with_loans_and(&[("LONGSHORE_BATCH_WAIT", "1h")]).await;
    stage.put("a, b.csv", loan_file(1..=3));
    stage.ok(&["scan"]).await;
    let until =
        "SELECT to_char((created_time + interval '1h') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')
        FROM longshore.file";
    let until = stage.texts(until).await.remove(0);
    let story = why_file(&stage, "a, b.csv").await;
    let texts = ["/a,%20b.csv\n", "SCANNED: ", &until, "`longshore scan loan_applications --flush`"];
    assert_told(&story, &texts);
    // However it is spelled: this is how the view `etl_task` has it.
    let by_view = format!("file://{}/a%2C%20b.csv", stage.inbox.display());
    assert_told(&stage.ok(&["why", &by_view]).await.stdout, &["/a,%20b.csv\n", "SCANNED: "]);
    let facts = stage.ok(&["why", &by_view, "--json"]).await.json();
    let version = &facts["versions"][0];
    assert_eq!((&version["status"], &version["waiting"]["files"]), (&"SCANNED".into(), &1.into()));
    assert!(version["waiting"]["until"].as_str().unwrap().starts_with(&until), "{facts}");
    assert_eq!(version["task"], Value::Null);
}

#[tokio::test]
async fn a_published_task_waits_for_a_worker_and_a_running_one_says_how_far_it_is() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=40_000));
    stage.scan().await;
    let waiting = ["In task ", ", alone.\n", "NEW: published at ", "`longshore worker` starts a worker"];
    assert_told(&why_file(&stage, "a.csv").await, &waiting);
    let _worker = stage.worker_in_mid_load(&[]).await;
    let running = ["PROCESSING: claimed at ", "attempt 1.\nAt its last heartbeat, ", " byte", " running"];
    assert_told(&why_file(&stage, "a.csv").await, &running);
    let facts = stage.ok(&["why", &only_task(&stage).await, "--json"]).await.json();
    let task = &facts["task"];
    assert_eq!((&task["status"], &task["is_leased"]), (&"PROCESSING".into(), &true.into()));
    assert!(task["attempts"][0]["bytes_read"].as_i64().unwrap() > 0, "{facts}");
}

#[tokio::test]
async fn a_loaded_file_says_how_many_rows_it_has_of_its_task() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=10) + "x\n");
    stage.put("b.csv", loan_file(11..=15));
    stage.scan().await;
    stage.drain().await;
    let of_a = [
        ", with 1 other file.\n",
        "LOADED at ",
        "Rows: 11 read = 10 loaded + 1 rejected.\n`longshore rejects file:///",
        "/a.csv` shows",
        " 16  LOADED",
    ];
    assert_told(&why_file(&stage, "a.csv").await, &of_a);
    let of_b = why_file(&stage, "b.csv").await;
    assert_told(&of_b, &["LOADED at ", "Rows: 5 read = 5 loaded + 0 rejected.\n"]);
    assert!(!of_b.contains("longshore rejects"), "{of_b}");
    let of_task = ["2 files", "/a.csv\n", "/b.csv\n", "Rows: 16 read = 15 loaded + 1 rejected.\n"];
    assert_told(&why_task(&stage).await, &of_task);
}

#[tokio::test]
async fn a_transient_failure_says_its_cause_and_when_it_is_tried_again() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=3));
    stage.scan().await;
    let fail = [("FAILPOINTS", "worker::after_begin=1*return(error)")];
    let worker = stage.spawn_with(&["worker"], &fail);
    let settled = "SELECT count(*) FROM longshore.attempt WHERE outcome = 'RETRY'";
    eventually("the attempt has failed", || async { stage.number(settled).await == 1 }).await;
    drop(worker);
    // A backoff as after many failures, which leaves time to ask.
    let later = "UPDATE longshore.task SET due_time = now() + interval '5min'";
    stage.client().await.batch_execute(later).await.unwrap();
    let texts = [
        "NEW: not due before ",
        " (in ",
        "Attempt 1 failed at ",
        "perhaps not for good: the store failed: a test made `worker::after_begin` fail\n",
        "It has failed 1 time, first at ",
        "LONGSHORE_RETRY_FOR",
        "  RETRY    the store failed: a test made",
    ];
    assert_told(&why_task(&stage).await, &texts);
}

#[tokio::test]
async fn a_killed_workers_task_says_that_it_is_gone_and_then_that_it_died() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=3));
    stage.scan().await;
    let kill = [("FAILPOINTS", "worker::in_copy=1*return(kill)")];
    assert!(!stage.spawn_with(&["worker"], &kill).ended().await.success());
    end_of_lease(&stage).await;
    let gone = ["PROCESSING: claimed at ", "Nobody holds its lease", "NEW again", "  gone"];
    assert_told(&why_task(&stage).await, &gone);
    stage.scan().await;
    let died = [
        "NEW: published at ",
        "Attempt 1 ended at ",
        " died.\n1 worker died while loading it. From the second on it is loaded alone",
        "  DIED     a worker died",
    ];
    assert_told(&why_task(&stage).await, &died);
    stage.drain().await;
    assert_told(&why_task(&stage).await, &["LOADED at ", "attempt 2.\n", "  DIED ", "  LOADED"]);
}

#[tokio::test]
async fn a_failed_file_says_how_to_mend_it_and_then_what_became_of_that() {
    let stage = Stage::with_loans().await;
    stage.put("a.csv", loan_file(1..=3));
    stage.put("b.csv", "wrong\n");
    stage.scan().await;
    stage.drain().await;
    let task = stage.texts("SELECT id FROM longshore.task WHERE status = 'FAILED'").await.remove(0);
    let retry = format!("`longshore retry {task}`.");
    let failed = ["FAILED at ", ": the header lacks ", "taken out of its batch", "by itself", &retry];
    assert_told(&why_file(&stage, "b.csv").await, &failed);

    stage.ok(&["retry", &task]).await;
    let retried = ["NEW: not published yet.\nAn operator retried it at ", "it had FAILED: the header lacks "];
    assert_told(&why_file(&stage, "b.csv").await, &retried);
    stage.scan().await;
    stage.drain().await;
    let own = why_file(&stage, "b.csv").await;
    assert_told(&own, &["FAILED at ", &retry, "  FAILED   the header lacks "]);
    assert!(!own.contains("taken out of its batch"), "{own}");

    stage.put("b.csv", loan_file(4..=6));
    stage.scan().await;
    stage.drain().await;
    let superseded = [
        "/b.csv has 2 versions; the newest comes first.\n\nVersion 2\n",
        "LOADED at ",
        "Version 1\n",
        "FAILED at ",
        "A newer version of the file, ",
        " is LOADED in task ",
        "a retry leaves it alone",
    ];
    let story = why_file(&stage, "b.csv").await;
    assert_told(&story, &superseded);
    assert!(!story.contains("`longshore retry"), "{story}");
    let facts = stage.ok(&["why", &task, "--json"]).await.json();
    assert_eq!(facts["task"]["superseded_by"]["status"], "LOADED");
}

#[tokio::test]
async fn what_is_not_known_is_a_wrong_call_that_says_where_to_look() {
    let stage = Stage::with_loans().await;
    let task = uuid::Uuid::now_v7().to_string();
    for (unknown, hint) in
        [("inbox/a.csv", "It lies in no dataset's source; these are file://"), (&task, "`longshore tasks`")]
    {
        let refused = stage.run(&["why", unknown]).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
        assert!(refused.stderr.contains(hint) && refused.stderr.contains(unknown), "{refused:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_known_says_which_dataset_leaves_it_out_and_why() {
    let stage = Stage::with_loans().await;
    let why = async |path: &str| {
        let refused = stage.run(&["why", stage.inbox.join(path).to_str().unwrap()]).await;
        assert_eq!(refused.code, 2, "{refused:?}");
        refused.stderr
    };
    let never = why("a.csv").await;
    assert!(never.contains("Dataset loan_applications has never been scanned to its end"), "{never}");
    for name in ["notes.txt", "b.csv.part", ".trash/c.csv"] {
        stage.put(name, "x\n");
    }
    std::os::unix::fs::symlink("nowhere", stage.inbox.join("broken.csv")).unwrap();
    stage.ok(&["audit"]).await;
    for (path, reason) in [
        ("notes.txt", "leaves it out by its name: no pattern of `include` matches it (`**/*.csv"),
        ("b.csv.part", "is still being written"),
        (".trash/c.csv", "a folder that it lies in begins with a dot"),
        ("broken.csv", "left it out: broken_link"),
        ("none.csv", "would take it, and its last audit began at "),
    ] {
        let told = why(path).await;
        assert!(told.contains("ataset loan_applications") && told.contains(reason), "{path}: {told}");
    }
}
