use std::{ffi::OsStr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_common::{
    dataset::HumanDuration,
    ledger::{
        AttemptRecord, FileVersion, History, NewerVersion, RowCounts, Subject, TaskHistory, WaitingBatch,
    },
};
use uuid::Uuid;

use super::{Named, moments::lasting, state, story::tell};

const TASK: Uuid = Uuid::from_u128(0x019c_0000_0000_7000_8000_0000_0000_0001);
const NEWER_TASK: Uuid = Uuid::from_u128(0x019c_0000_0000_7000_8000_0000_0000_0002);

/// Noon, and so many seconds.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_366_400 + seconds, 0).unwrap()
}

fn task(status: &str) -> TaskHistory {
    TaskHistory {
        id: TASK,
        dataset: "orders".to_owned(),
        status: status.to_owned(),
        attempt: 0,
        deaths: 0,
        due_time: at(-60),
        published_time: None,
        first_failure_time: None,
        failure_msg: None,
        created_time: at(-60),
        modified_time: at(-10),
        is_leased: false,
        files: 1,
        size_in_bytes: 2048,
        first_files: vec!["file:///srv/a.csv".to_owned()],
        superseded_by: None,
        rows: None,
        attempts: Vec::new(),
    }
}

fn attempt(number: i32, outcome: Option<&str>, error: Option<&str>) -> AttemptRecord {
    AttemptRecord {
        attempt: number,
        worker: format!("host-{number}"),
        dataset_version: 1,
        started_time: at(-30),
        heartbeat_time: None,
        bytes_read: None,
        rows_read: None,
        finished_time: outcome.map(|_| at(-10)),
        outcome: outcome.map(str::to_owned),
        error: error.map(str::to_owned),
    }
}

fn beating(seconds: i64) -> AttemptRecord {
    AttemptRecord {
        heartbeat_time: Some(at(seconds)),
        bytes_read: Some(4096),
        rows_read: Some(1),
        ..attempt(1, None, None)
    }
}

fn version(task: Option<TaskHistory>) -> FileVersion {
    FileVersion {
        id: 7,
        dataset: "orders".to_owned(),
        file_name: "file:///srv/a.csv".to_owned(),
        file_modified_time: at(-100),
        size_in_bytes: 1,
        etag: String::new(),
        created_time: at(-90),
        status: task.as_ref().map_or("SCANNED".to_owned(), |task| task.status.clone()),
        superseded_by: None,
        rows: None,
        waiting: None,
        task,
    }
}

fn newer(status: &str, task_id: Option<Uuid>) -> Option<NewerVersion> {
    Some(NewerVersion { file_id: 9, file_modified_time: at(-5), status: status.to_owned(), task_id })
}

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
    let in_queue = "NEW: published at 2026-03-01T11:59:57Z (3.0s ago), waits in the queue for a worker.";
    let failed_twice = TaskHistory {
        due_time: at(4),
        first_failure_time: Some(at(-20)),
        failure_msg: Some("the store failed".to_owned()),
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
        (new.clone(), &["NEW: not published yet.", UNPUBLISHED]),
        (published.clone(), &[in_queue, IN_QUEUE]),
        (
            failed_twice,
            &[
                "NEW: not due before 2026-03-01T12:00:04Z (in 4.0s).",
                "Attempt 3 failed at 2026-03-01T11:59:50Z (10.0s ago), perhaps not for good: the store failed\\nLOADED",
                "It has failed 2 times, first at 2026-03-01T11:59:40Z (20.0s ago); it is FAILED if it still fails \
                 LONGSHORE_RETRY_FOR after that.",
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
                "Attempt 1 ended at 2026-03-01T11:59:50Z (10.0s ago), because its worker host-1 died; the next one loads \
                 the task alone.",
                "2 workers died while loading it; at LONGSHORE_MAX_DEATHS it is FAILED as poison.",
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
    assert!(alive[2].starts_with("Its rows appear all at once when it is LOADED. If the worker dies before"));
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

#[test]
fn a_task_and_a_file_that_are_loaded_say_how_many_rows_each_has() {
    let rows = |rejected| Some(RowCounts { read: 1200, loaded: 1200 - rejected, rejected });
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
    let replaced = "New content under this name is not loaded, only counted (changed_after_load).";
    let clean = FileVersion { rows: rows(0), ..version(Some(task.clone())) };
    let of_clean = [loaded, "Rows: 1,200 read = 1,200 loaded + 0 rejected.", replaced];
    assert_eq!(state::of_version(&clean, at(0)), of_clean);
    let file_name = "file:///srv/$(reboot).csv".to_owned();
    let hostile = FileVersion { rows: rows(1), file_name, ..version(Some(task)) };
    let told = state::of_version(&hostile, at(0));
    assert_eq!(told[2], "`longshore rejects 'file:///srv/$(reboot).csv'` shows the rejected ones, and why.");
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

#[test]
fn a_story_has_each_version_with_its_state_and_attempts_and_no_text_forges_a_line() {
    let evil = "x\nLOADED\u{1b}[2J\u{202e}";
    let failed = TaskHistory {
        failure_msg: Some(evil.to_owned()),
        superseded_by: newer("NEW", Some(NEWER_TASK)),
        attempts: vec![AttemptRecord { worker: evil.to_owned(), ..attempt(1, Some(evil), Some(evil)) }],
        ..task("FAILED")
    };
    let new = TaskHistory { id: NEWER_TASK, ..task("NEW") };
    let file_name = format!("file:///srv/{evil}");
    let older = FileVersion { superseded_by: Some(9), file_name: file_name.clone(), ..version(Some(failed)) };
    let newest = FileVersion { id: 9, file_name, ..version(Some(new)) };
    let story = tell(&History { now: at(0), subject: Subject::Versions(vec![newest, older]) });
    let told = "\
file:///srv/x\\nLOADED\\u{1b}[2J\\u{202e} has 2 versions; the newest comes first.

Version 2
Dataset orders; 1 byte, modified 2026-03-01T11:58:20Z; found by a scan at 2026-03-01T11:58:30Z (1m 30s ago); _file_id 9.
In task 019c0000-0000-7000-8000-000000000002, alone.

NEW: not published yet.
The scanner service publishes it within its tick (LONGSHORE_TICK), once RabbitMQ answers; without the service, `longshore scan` does.

Version 1
Dataset orders; 1 byte, modified 2026-03-01T11:58:20Z; found by a scan at 2026-03-01T11:58:30Z (1m 30s ago); _file_id 7.
In task 019c0000-0000-7000-8000-000000000001, alone.

FAILED at 2026-03-01T11:59:50Z (10.0s ago): x\\nLOADED\\u{1b}[2J\\u{202e}
A newer version of the file, modified 2026-03-01T11:59:55Z (_file_id 9), is NEW in task 019c0000-0000-7000-8000-000000000002.
It has taken this one's place: nothing happens here any more, and a retry leaves it alone.

ATTEMPT  WORKER                         STARTED                TOOK  BYTES  ROWS  OUTCOME                        CAUSE
      1  x\\nLOADED\\u{1b}[2J\\u{202e}  2026-03-01T11:59:30Z  20.0s               x\\nLOADED\\u{1b}[2J\\u{202e}  x\\nLOADED\\u{1b}[2J\\u{202e}";
    assert_eq!(without_runs_of_spaces(&story), without_runs_of_spaces(told));
}

/// The width of a table's columns is the table's own affair.
fn without_runs_of_spaces(text: &str) -> String {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_task_names_its_first_files_and_its_running_attempt() {
    let running = TaskHistory {
        files: 1002,
        first_files: vec!["file:///srv/a.csv".to_owned(), "file:///srv/b.csv".to_owned()],
        is_leased: true,
        attempts: vec![beating(-3)],
        ..task("PROCESSING")
    };
    let told = |task: TaskHistory| tell(&History { now: at(0), subject: Subject::Task(Box::new(task)) });
    let story = told(running.clone());
    let heading = "\
Task 019c0000-0000-7000-8000-000000000001
Dataset orders; 1,002 files, 2,048 bytes; made at 2026-03-01T11:59:00Z (1m ago).
  file:///srv/a.csv
  file:///srv/b.csv
  and 1,000 more

PROCESSING: ";
    assert!(story.starts_with(heading), "{story}");
    let row = "1 host-1 2026-03-01T11:59:30Z 30.0s 4,096 1 running";
    assert!(without_runs_of_spaces(&story).ends_with(row), "{story}");
    let gone = told(TaskHistory { is_leased: false, ..running });
    assert!(gone.ends_with("gone"), "{gone}");
}

#[test]
fn durations_are_as_exact_as_they_are_short() {
    let cases = [(-5, "0ms"), (46, "46ms"), (1_540, "1.5s"), (59_000, "59.0s"), (123_456, "2m 3s")];
    for (milliseconds, expected) in cases {
        assert_eq!(lasting(TimeDelta::milliseconds(milliseconds)), expected);
    }
}

#[test]
fn a_file_can_be_named_by_uri_or_path_however_it_is_spelled() {
    let here = std::env::current_dir().unwrap();
    let folder = url::Url::from_directory_path(&here).unwrap();
    let cases = [
        ("file:///srv/a%2C%20b.csv", "file:///srv/a,%20b.csv".to_owned()),
        ("file:///srv/../srv/a b.csv", "file:///srv/a%20b.csv".to_owned()),
        ("/srv/./x/../100%25 ü#1.csv", "file:///srv/100%2525%20%C3%BC%231.csv".to_owned()),
        ("in/a.csv", format!("{folder}in/a.csv")),
        ("./a.csv", format!("{folder}a.csv")),
        ("s3://bucket/a.csv", "s3://bucket/a.csv".to_owned()),
        ("://", "://".to_owned()),
    ];
    for (name, expected) in cases {
        assert_eq!(Named::read(OsStr::new(name)).unwrap(), Named::File(expected));
    }
    assert_eq!(Named::read(OsStr::new(&TASK.to_string())).unwrap(), Named::Task(TASK));
    assert!(Named::read(OsStr::new("")).is_err());
}
