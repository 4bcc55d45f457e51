mod states;

use std::ffi::OsStr;

use chrono::{DateTime, TimeDelta, Utc};
use longshore_common::{
    dataset::OnChange,
    ledger::{AttemptRecord, FileVersion, History, NewerVersion, Subject, TaskHistory},
};
use uuid::Uuid;

use super::{Named, moments::lasting, story::tell};

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
        table_wait: None,
        is_leased: false,
        files: 1,
        size_in_bytes: 2048,
        first_files: vec!["file:///srv/a.csv".to_owned()],
        superseded_by: None,
        rows: None,
        removed_files: 0,
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
        after_load: None,
        removed_time: None,
        replaced_by: None,
        on_change: OnChange::Replace,
        waiting: None,
        task,
    }
}

fn newer(status: &str, task_id: Option<Uuid>) -> Option<NewerVersion> {
    Some(NewerVersion { file_id: 9, file_modified_time: at(-5), status: status.to_owned(), task_id })
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
Dataset orders; 1 byte, modified 2026-03-01T11:58:20Z; recorded at 2026-03-01T11:58:30Z (1m 30s ago); _file_id 9.
In task 019c0000-0000-7000-8000-000000000002, alone.

NEW: not published yet.
The scanner service publishes it within its tick (LONGSHORE_TICK), once RabbitMQ answers; without the service, `longshore scan` does.

Version 1
Dataset orders; 1 byte, modified 2026-03-01T11:58:20Z; recorded at 2026-03-01T11:58:30Z (1m 30s ago); _file_id 7.
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
fn a_task_is_told_from_a_file() {
    assert_eq!(Named::read(OsStr::new("/srv/a.csv")).unwrap(), Named::File("file:///srv/a.csv".to_owned()));
    assert_eq!(Named::read(OsStr::new(&TASK.to_string())).unwrap(), Named::Task(TASK));
    assert!(Named::read(OsStr::new("")).is_err());
}
