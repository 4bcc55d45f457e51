//! What is said of each state.

use std::time::Duration;

use longshore_common::{
    dataset::{HumanDuration, OnChange},
    ledger::{AttemptRecord, FileVersion, REFUSED_CHANGE, RowCounts, TaskHistory, WaitingBatch},
};

use super::{NEWER_TASK, at, attempt, beating, newer, task, version};
use crate::commands::why::state;

const IN_QUEUE: &str =
    "`longshore status` shows the queue and who consumes it; `longshore worker` starts a worker.";
const UNPUBLISHED: &str = "The scanner service publishes it within its tick (LONGSHORE_TICK), once RabbitMQ answers; \
                           without the service, `longshore scan` does.";
const DUE_LATER: &str = "Then the scanner service publishes it within its tick (LONGSHORE_TICK), and the next free worker \
                         takes it; without the service, `longshore scan` publishes.";

#[test]
fn a_task_that_waits_says_for_what_and_why_again() {
    let new = task("NEW");
    let published = TaskHistory { published_time: Some(at(-3)), ..new.clone() };
    let in_queue = "NEW: published at 2026-03-01T11:59:57Z (3.0s ago), waits for a worker. (Should the queue have lost it, it is published again.)";
    let failed_twice = TaskHistory {
        due_time: at(4),
        first_failure_time: Some(at(-20)),
        failure_msg: Some("the store failed\nLOADED".to_owned()),
        attempts: vec![
            // Before an operator's retry, which counts anew.
            AttemptRecord { finished_time: Some(at(-25)), ..attempt(1, Some("RETRY"), Some("x")) },
            AttemptRecord { finished_time: Some(at(-20)), ..attempt(2, Some("RETRY"), Some("y")) },
            attempt(3, Some("RETRY"), Some("the store failed\nLOADED")),
        ],
        ..new.clone()
    };
    let ended = |outcome, error| TaskHistory {
        attempts: vec![attempt(1, Some(outcome), error)],
        failure_msg: Some("broken".to_owned()),
        ..published.clone()
    };
    let retried = "An operator retried it at 2026-03-01T11:59:00Z (1m ago); before, it had FAILED: broken";
    let cases: [(TaskHistory, &[&str]); 9] = [
        (new, &["NEW: not published yet.", UNPUBLISHED]),
        (published.clone(), &[in_queue, IN_QUEUE]),
        (
            failed_twice,
            &[
                "NEW: not due before 2026-03-01T12:00:04Z (in 4.0s).",
                "Attempt 3 failed at 2026-03-01T11:59:50Z (10.0s ago), perhaps not for good: the store failed\\nLOADED",
                "It has failed 2 times, first at 2026-03-01T11:59:40Z (20.0s ago); it is FAILED if it still fails \
                 LONGSHORE_RETRY_FOR (24h, if not set) after that.",
                DUE_LATER,
            ],
        ),
        (
            ended("STOPPED", None),
            &[
                in_queue,
                "Attempt 1 was given back at 2026-03-01T11:59:50Z (10.0s ago), because its worker was told to stop; that \
                 counts for nothing.",
                IN_QUEUE,
            ],
        ),
        (
            TaskHistory { deaths: 2, ..ended("DIED", Some("the worker died")) },
            &[
                in_queue,
                "Attempt 1 ended at 2026-03-01T11:59:50Z (10.0s ago), because its worker host-1 died.",
                "2 workers died while loading it. From the second on it is loaded alone, and halved if it has several files; a \
                 file that is alone is FAILED as poison at LONGSHORE_MAX_DEATHS (5, if not set).",
                IN_QUEUE,
            ],
        ),
        (
            ended("EVICTED", Some("silent for 61s")),
            &[
                in_queue,
                "Attempt 1 ended at 2026-03-01T11:59:50Z (10.0s ago), EVICTED: silent for 61s",
                IN_QUEUE,
            ],
        ),
        // Retried after a failure, after poison, and after it was carved out of a batch.
        (ended("FAILED", Some("broken")), &[in_queue, retried, IN_QUEUE]),
        (ended("DIED", Some("the worker died")), &[in_queue, retried, IN_QUEUE]),
        (
            TaskHistory { failure_msg: Some("broken".to_owned()), ..published.clone() },
            &[in_queue, retried, IN_QUEUE],
        ),
    ];
    for (task, expected) in cases {
        assert_eq!(state::of_task(&task, at(0)), expected);
    }
}

#[test]
fn a_task_that_is_processing_says_whether_its_worker_lives() {
    let claimed = "PROCESSING: claimed at 2026-03-01T11:59:30Z (30.0s ago) by worker host-1, attempt 1.";
    let with = |attempt, is_leased| {
        let task = TaskHistory { is_leased, attempts: vec![attempt], ..task("PROCESSING") };
        state::of_task(&task, at(0))
    };
    let alive = with(beating(-3), true);
    assert_eq!(alive[..2], [claimed, "At its last heartbeat, 3.0s ago, it had read 1 row (4,096 bytes)."]);
    assert!(
        alive[2].starts_with("Its rows appear all at once when it is LOADED. If the worker dies before that")
    );
    let silent = with(beating(-16), true);
    assert!(silent[2].starts_with("The worker has been silent for 16.0s, though"), "{silent:?}");
    assert!(silent[3].contains("LONGSHORE_STALL_LIMIT"), "{silent:?}");
    let gone = with(attempt(1, None, None), false);
    assert_eq!(gone[..2], [claimed, "It has not said yet how far it is."]);
    assert!(gone[2].starts_with("Nobody holds its lease"), "{gone:?}");
    assert!(gone[3].contains("makes it NEW again") && gone[3].contains("`longshore scan`"), "{gone:?}");
    let just_claimed = with(AttemptRecord { started_time: at(-1), ..attempt(1, None, None) }, true);
    assert!(just_claimed[2].starts_with("Its rows appear"), "{just_claimed:?}");
}

#[test]
fn a_task_that_failed_says_what_to_do_unless_a_newer_version_took_its_place() {
    let own = TaskHistory {
        failure_msg: Some("no such column".to_owned()),
        attempts: vec![attempt(1, Some("FAILED"), Some("no such column"))],
        ..task("FAILED")
    };
    let carved = TaskHistory { attempts: Vec::new(), ..own.clone() };
    let failed = "FAILED at 2026-03-01T11:59:50Z (10.0s ago): no such column";
    let carved_out =
        "It was taken out of its batch, so that the other files could load; its attempt was the batch's.";
    let by_itself = "Nothing happens to it by itself.";
    let mend = "If the file is at fault, put a mended one in its place: the next scan finds it as a new version and loads \
                that.";
    let retry = "If something else was, such as the spec, the table or the store, mend it, then `longshore retry \
                 019c0000-0000-7000-8000-000000000001`.";
    let left = "It has taken this one's place: nothing happens here any more, and a retry leaves it alone.";
    let cases: [(TaskHistory, &[&str]); 4] = [
        (own.clone(), &[failed, by_itself, mend, retry]),
        (carved.clone(), &[failed, carved_out, by_itself, mend, retry]),
        (
            TaskHistory { superseded_by: newer("LOADED", Some(NEWER_TASK)), ..carved },
            &[
                failed,
                carved_out,
                "A newer version of the file, modified 2026-03-01T11:59:55Z (_file_id 9), is LOADED in task \
                 019c0000-0000-7000-8000-000000000002.",
                left,
            ],
        ),
        (
            TaskHistory { files: 2, superseded_by: newer("SCANNED", None), ..own },
            &[
                failed,
                "All its files have newer versions; that of the first one, modified 2026-03-01T11:59:55Z (_file_id 9), is \
                 SCANNED.",
                left,
            ],
        ),
    ];
    for (task, expected) in cases {
        assert_eq!(state::of_task(&task, at(0)), expected);
    }
}

fn rows(rejected: i64) -> Option<RowCounts> {
    Some(RowCounts { read: 1200, loaded: 1200 - rejected, rejected })
}

#[test]
fn a_task_and_a_file_that_are_loaded_say_how_many_rows_each_has() {
    let task = TaskHistory {
        files: 3,
        rows: rows(5),
        attempts: vec![attempt(1, Some("LOADED"), None)],
        ..task("LOADED")
    };
    let loaded = "LOADED at 2026-03-01T11:59:50Z (10.0s ago) by worker host-1, attempt 1.";
    let of_task = [
        loaded,
        "Rows: 1,200 read = 1,195 loaded + 5 rejected.",
        "`longshore rejects orders` shows the rejected ones, and why.",
    ];
    assert_eq!(state::of_task(&task, at(0)), of_task);
    let replaced =
        "New content under this name takes the place of these rows (discovery.on_change = \"replace\").";
    let clean = FileVersion { rows: rows(0), ..version(Some(task.clone())) };
    let of_clean = [loaded, "Rows: 1,200 read = 1,200 loaded + 0 rejected.", replaced];
    assert_eq!(state::of_version(&clean, at(0)), of_clean);
    let file_name = "file:///srv/$(reboot).csv".to_owned();
    let hostile = FileVersion { rows: rows(1), file_name, ..version(Some(task)) };
    let told = state::of_version(&hostile, at(0));
    assert_eq!(told[2], "`longshore rejects 'file:///srv/$(reboot).csv'` shows the rejected ones, and why.");
}

#[test]
fn a_loaded_version_says_what_became_of_it_since_and_what_new_content_would_do() {
    let loaded = FileVersion { rows: rows(5), ..version(Some(task("LOADED"))) };
    let last_line = |version: FileVersion| state::of_version(&version, at(0)).pop().unwrap();
    let cases = [
        (OnChange::Append, "is loaded beside these rows (discovery.on_change = \"append\")."),
        (OnChange::Ignore, "is recorded and not loaded (discovery.on_change = \"ignore\")."),
        (
            OnChange::Fail,
            "becomes a FAILED task, which an operator may retry (discovery.on_change = \"fail\").",
        ),
    ];
    for (on_change, expected) in cases {
        let told = last_line(FileVersion { on_change, ..loaded.clone() });
        assert_eq!(told, format!("New content under this name {expected}"));
    }
    assert_eq!(
        last_line(FileVersion { superseded_by: Some(9), ..loaded.clone() }),
        "There is a newer version of this file (_file_id 9); these rows are in the table still."
    );
    let removed = FileVersion { removed_time: Some(at(-5)), ..loaded };
    let story = state::of_version(&removed, at(0));
    // Its rejects are gone, too.
    assert!(!story.iter().any(|line| line.contains("longshore rejects")), "{story:?}");
    assert_eq!(
        last_line(removed.clone()),
        "UNLOADED at 2026-03-01T11:59:55Z (5.0s ago) by an operator: its rows are not in the table. No scan loads it again; \
         `longshore reload file:///srv/a.csv` loads the newest version."
    );
    assert_eq!(
        last_line(FileVersion { replaced_by: Some(9), ..removed }),
        "REPLACED at 2026-03-01T11:59:55Z (5.0s ago) by the newer version (_file_id 9): its own rows were removed."
    );
    let told = state::of_task(&TaskHistory { files: 3, removed_files: 1, ..task("LOADED") }, at(0));
    assert!(told[1].starts_with("Of that, the rows of 1 file were removed since"), "{told:?}");
}

#[test]
fn new_content_that_was_refused_or_ignored_says_how_it_can_be_loaded() {
    let refused = TaskHistory { failure_msg: Some(REFUSED_CHANGE.to_owned()), ..task("FAILED") };
    assert_eq!(
        state::of_task(&refused, at(0))[1..],
        ["`longshore retry 019c0000-0000-7000-8000-000000000001` loads it."]
    );
    let ignored = FileVersion { status: "IGNORED".to_owned(), ..version(None) };
    let told = state::of_version(&ignored, at(0));
    assert!(
        told[0].starts_with("IGNORED: ") && told[1].contains("`longshore reload file:///srv/a.csv`"),
        "{told:?}"
    );
}

#[test]
fn a_file_without_a_task_says_until_when_it_is_held_back() {
    let max_wait = HumanDuration(Duration::from_secs(300));
    let waiting = |until| {
        let waiting = Some(WaitingBatch { files: 2, max_wait, until });
        state::of_version(&FileVersion { waiting, ..version(None) }, at(0))
    };
    assert_eq!(
        waiting(at(90)),
        [
            "SCANNED: waits for its batch; 2 files of dataset orders waiting.",
            "The batch is sent when it is full, and at the latest at 2026-03-01T12:01:30Z (in 1m 30s): batch.max_wait (5m) \
             after the oldest of them was found.",
            "The scanner service does that; without it, the first `longshore scan` from then on.",
            "`longshore scan orders --flush` sends it now.",
        ]
    );
    let due = waiting(at(-90));
    assert!(due[1].starts_with("The batch has been due since 2026-03-01T11:58:30Z (1m 30s ago)"), "{due:?}");
    assert!(due[2].ends_with("without it, `longshore scan orders` does."), "{due:?}");
}
