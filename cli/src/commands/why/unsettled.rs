//! Tasks that are neither LOADED nor FAILED: what they wait for, and what can still make them FAILED. Sentences, a line each.

use chrono::{DateTime, TimeDelta, Utc};
use longshore_common::ledger::{AttemptRecord, TableWait, TaskHistory};

use super::moments::{lasting, moment};
use crate::output::{counted, one_line};

/// Workers beat every five seconds; three missed beats are no accident.
const OLD_HEARTBEAT: TimeDelta = TimeDelta::seconds(15);

/// Of a task that waits to be published, or for a worker.
pub(super) fn new(task: &TaskHistory, now: DateTime<Utc>) -> Vec<String> {
    if let Some(wait) = task.table_wait.as_ref().filter(|wait| !wait.is_tried) {
        return waits_for_table(&task.dataset, wait, now);
    }
    let is_due = task.due_time <= now;
    let headline = match task.published_time {
        Some(published) => {
            format!(
                "NEW: published at {}, waits for a worker. (Should the queue have lost it, it is published again.)",
                moment(published, now)
            )
        }
        None if is_due => "NEW: not published yet.".to_owned(),
        None => format!("NEW: not due before {}.", moment(task.due_time, now)),
    };
    let next = match task.published_time {
        Some(_) => {
            "`longshore status` shows the queue and who consumes it; `longshore worker` starts a worker."
        }
        None if is_due => {
            "The scanner service publishes it within its tick (LONGSHORE_TICK), once RabbitMQ answers; without the \
             service, `longshore scan` does."
        }
        None => {
            "Then the scanner service publishes it within its tick (LONGSHORE_TICK), and the next free worker takes it; \
             without the service, `longshore scan` publishes."
        }
    };
    let mut lines = vec![headline];
    lines.extend(why_again(task, now));
    lines.extend(limits(task, now));
    lines.push(next.to_owned());
    lines
}

/// Of a task whose dataset waits.
fn waits_for_table(dataset: &str, wait: &TableWait, now: DateTime<Utc>) -> Vec<String> {
    vec![
        format!(
            "NEW: its dataset {dataset} waits for its target table since {}; no file is at fault: {}",
            moment(wait.since, now),
            one_line(&wait.reason)
        ),
        format!(
            "One task at a time is tried, the next one from {} on. The first that loads, or `longshore dataset apply`, ends the wait.",
            moment(wait.next_try_time, now)
        ),
        "However long that takes, the task does not fail for it.".to_owned(),
    ]
}

/// Why a task is NEW that was somewhere else before.
fn why_again(task: &TaskHistory, now: DateTime<Utc>) -> Option<String> {
    let cause = |text: &Option<String>| one_line(text.as_deref().unwrap_or("no cause is recorded"));
    let last = task.attempts.last();
    let outcome = last.and_then(|attempt| attempt.outcome.as_deref());
    if is_retried(task, outcome) {
        let retried = moment(task.due_time, now);
        return Some(format!(
            "An operator retried it at {retried}; before, it had FAILED: {}",
            cause(&task.failure_msg)
        ));
    }
    if is_unclaimed(task, last) {
        return Some(format!("It is tried again: {}", cause(&task.failure_msg)));
    }
    let AttemptRecord { attempt, worker, error, finished_time, .. } = last?;
    let ended = finished_time.map(|time| moment(time, now)).unwrap_or_default();
    Some(match outcome? {
        "RETRY" => format!("Attempt {attempt} failed at {ended}, perhaps not for good: {}", cause(error)),
        "STOPPED" => {
            format!(
                "Attempt {attempt} was given back at {ended}, because its worker was told to stop; that counts for nothing."
            )
        }
        "DIED" => {
            format!("Attempt {attempt} ended at {ended}, because its worker {} died.", one_line(worker))
        }
        other => format!("Attempt {attempt} ended at {ended}, {}: {}", one_line(other), cause(error)),
    })
}

/// An operator's retry leaves the failure's text, and forgets deaths and the first failure's time.
fn is_retried(task: &TaskHistory, last_outcome: Option<&str>) -> bool {
    let is_forgotten = task.first_failure_time.is_none();
    is_forgotten
        && match last_outcome {
            None => task.failure_msg.is_some(),
            Some("DIED") => task.deaths == 0,
            Some(outcome) => outcome == "FAILED",
        }
}

/// Workers could not claim it: a failure that is no attempt's. One that was given back keeps the text of an earlier failure.
fn is_unclaimed(task: &TaskHistory, last: Option<&AttemptRecord>) -> bool {
    let is_told_by_attempt =
        last.is_some_and(|last| last.error == task.failure_msg || last.outcome.as_deref() == Some("STOPPED"));
    task.first_failure_time.is_some() && task.failure_msg.is_some() && !is_told_by_attempt
}

/// What can make a task FAILED that is not.
fn limits(task: &TaskHistory, now: DateTime<Utc>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(first) = task.first_failure_time {
        let is_counted = |attempt: &&AttemptRecord| {
            attempt.outcome.as_deref() == Some("RETRY") && attempt.finished_time >= Some(first)
        };
        let failures = match task.attempts.iter().filter(is_counted).count() as u64 {
            0 => "It fails".to_owned(),
            failures => format!("It has failed {}", counted(failures, "time")),
        };
        lines.push(format!(
            "{failures}, first at {}; it is FAILED if it still fails LONGSHORE_RETRY_FOR (24h, if not set) after that.",
            moment(first, now)
        ));
    }
    if task.deaths > 0 {
        let deaths = counted(task.deaths.unsigned_abs().into(), "worker");
        lines.push(format!(
            "{deaths} died while loading it. From the second on it is loaded alone, and halved if it has several files; a file that is \
             alone is FAILED as poison at LONGSHORE_MAX_DEATHS (5, if not set)."
        ));
    }
    lines
}

/// Of a task that a worker has, or had when it was last heard of.
pub(super) fn processing(task: &TaskHistory, now: DateTime<Utc>) -> Vec<String> {
    let Some(attempt) = task.attempts.last() else { return vec!["PROCESSING.".to_owned()] };
    let worker = one_line(&attempt.worker);
    let since = moment(attempt.started_time, now);
    let mut lines =
        vec![format!("PROCESSING: claimed at {since} by worker {worker}, attempt {}.", attempt.attempt)];
    lines.push(progress(attempt, now));
    let silent_for = now - attempt.heartbeat_time.unwrap_or(attempt.started_time);
    if !task.is_leased {
        lines.push(
            "Nobody holds its lease: the worker died or lost its connection, or has just finished."
                .to_owned(),
        );
        lines.push(
            "Unless the worker still settles it, the scanner service makes it NEW again in one or two seconds; without \
             the service, `longshore scan` does."
                .to_owned(),
        );
    } else if silent_for > OLD_HEARTBEAT {
        lines.push(format!(
            "The worker has been silent for {}, though it should say every 5s how far it is: it is stopped or hangs, or its \
             host is gone. Its session holds the task's lease.",
            lasting(silent_for)
        ));
        lines.push(
            "Some seconds after LONGSHORE_STALL_LIMIT (60s, if not set) of silence, the scanner service ends its session, and the task is \
             NEW again."
                .to_owned(),
        );
    } else {
        lines.push(
            "Its rows appear all at once when it is LOADED. If the worker dies before that, the scanner service makes the task \
             NEW again in one or two seconds; without the service, `longshore scan` does."
                .to_owned(),
        );
    }
    lines.extend(limits(task, now));
    lines
}

fn progress(attempt: &AttemptRecord, now: DateTime<Utc>) -> String {
    match (attempt.heartbeat_time, attempt.bytes_read, attempt.rows_read) {
        (Some(beat), Some(bytes), Some(rows)) => format!(
            "At its last heartbeat, {} ago, it had read {} ({}).",
            lasting(now - beat),
            counted(rows.unsigned_abs(), "row"),
            counted(bytes.unsigned_abs(), "byte"),
        ),
        _ => "It has not said yet how far it is.".to_owned(),
    }
}
