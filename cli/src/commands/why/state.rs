//! The state that a file or a task is in, how it came there, and what happens next: sentences, a line each.

use chrono::{DateTime, TimeDelta, Utc};
use longshore_common::ledger::{AttemptRecord, FileVersion, RowCounts, TaskHistory, WaitingBatch};

use super::moments::{lasting, moment};
use crate::output::{counted, one_line, thousands};

/// Workers beat every five seconds; three missed beats are no accident.
const OLD_HEARTBEAT: TimeDelta = TimeDelta::seconds(15);

/// Of a task.
pub(super) fn of_task(task: &TaskHistory, now: DateTime<Utc>) -> Vec<String> {
    match task.status.as_str() {
        "NEW" => new(task, now),
        "PROCESSING" => processing(task, now),
        "LOADED" => {
            let mut lines = loaded(task, now);
            lines.extend(task.rows.as_ref().map(rows));
            lines.extend(rejects_of_task(task));
            lines
        }
        "FAILED" => failed(task, now),
        other => vec![format!("{} since {}.", one_line(other), moment(task.modified_time, now))],
    }
}

/// Of one version of a file.
pub(super) fn of_version(version: &FileVersion, now: DateTime<Utc>) -> Vec<String> {
    match (&version.task, &version.waiting) {
        (Some(task), _) if task.status == "LOADED" => {
            let mut lines = loaded(task, now);
            lines.extend(version.rows.as_ref().map(rows));
            if version.rows.as_ref().is_some_and(|rows| rows.rejected > 0) {
                lines.push(format!(
                    "{} shows the rejected ones, and why.",
                    rejects_command(&version.file_name)
                ));
            }
            if version.superseded_by.is_none() {
                let skipped = "New content under this name is not loaded, only counted (changed_after_load).";
                lines.push(skipped.to_owned());
            }
            lines
        }
        (Some(task), _) => of_task(task, now),
        (None, Some(batch)) => scanned(batch, &version.dataset, now),
        (None, None) => vec!["SCANNED.".to_owned()],
    }
}

fn scanned(batch: &WaitingBatch, dataset: &str, now: DateTime<Utc>) -> Vec<String> {
    let WaitingBatch { files, max_wait, until } = *batch;
    let files = counted(files.unsigned_abs(), "file");
    let wait = format!("batch.max_wait ({max_wait}) after the oldest of them was found");
    let mut lines = vec![format!("SCANNED: waits for its batch; {files} of dataset {dataset} waiting.")];
    if until > now {
        lines.push(format!(
            "The batch is sent when it is full, and at the latest at {}: {wait}.",
            moment(until, now)
        ));
        lines.push(
            "The scanner service does that; without it, the first `longshore scan` from then on.".to_owned(),
        );
        lines.push(format!("`longshore scan {dataset} --flush` sends it now."));
    } else {
        lines.push(format!("The batch has been due since {}: {wait}.", moment(until, now)));
        lines.push(format!(
            "The scanner service sends it within its tick (LONGSHORE_TICK), or when a scan that is running has ended; \
             without it, `longshore scan {dataset}` does."
        ));
    }
    lines
}

fn new(task: &TaskHistory, now: DateTime<Utc>) -> Vec<String> {
    let is_due = task.due_time <= now;
    let headline = match task.published_time {
        Some(published) => {
            format!("NEW: published {}, waits in the queue for a worker.", moment(published, now))
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

/// Why a task is NEW that was somewhere else before.
fn why_again(task: &TaskHistory, now: DateTime<Utc>) -> Option<String> {
    let cause = |text: &Option<String>| one_line(text.as_deref().unwrap_or("no cause is recorded"));
    let last = task.attempts.last();
    let outcome = last.and_then(|attempt| attempt.outcome.as_deref());
    if is_retried(task, outcome) {
        let retried = moment(task.due_time, now);
        return Some(format!(
            "An operator retried it {retried}; before, it had FAILED: {}",
            cause(&task.failure_msg)
        ));
    }
    let AttemptRecord { attempt, worker, error, finished_time, .. } = last?;
    let ended = finished_time.map(|time| moment(time, now)).unwrap_or_default();
    Some(match outcome? {
        "RETRY" => format!("Attempt {attempt} failed {ended}, perhaps not for good: {}", cause(error)),
        "STOPPED" => {
            format!(
                "Attempt {attempt} was given back {ended}, because its worker was told to stop; that counts for nothing."
            )
        }
        "DIED" => format!(
            "Attempt {attempt} ended {ended}, because its worker {} died; the next one loads the task alone.",
            one_line(worker)
        ),
        other => format!("Attempt {attempt} ended {ended}, {}: {}", one_line(other), cause(error)),
    })
}

/// An operator's retry leaves the failure's text, and forgets deaths and the first failure's time.
fn is_retried(task: &TaskHistory, last_outcome: Option<&str>) -> bool {
    match last_outcome {
        None => task.failure_msg.is_some(),
        Some("DIED") => task.deaths == 0,
        Some(outcome) => outcome == "FAILED",
    }
}

/// What can make a task FAILED that is not.
fn limits(task: &TaskHistory, now: DateTime<Utc>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(first) = task.first_failure_time {
        let is_counted = |attempt: &&AttemptRecord| {
            attempt.outcome.as_deref() == Some("RETRY") && attempt.finished_time >= Some(first)
        };
        let failures = counted(task.attempts.iter().filter(is_counted).count() as u64, "time");
        lines.push(format!(
            "It has failed {failures}, first {}; it is FAILED if it still fails LONGSHORE_RETRY_FOR after that.",
            moment(first, now)
        ));
    }
    if task.deaths > 0 {
        let deaths = counted(task.deaths.unsigned_abs().into(), "worker");
        lines
            .push(format!("{deaths} died while loading it; at LONGSHORE_MAX_DEATHS it is FAILED as poison."));
    }
    lines
}

fn processing(task: &TaskHistory, now: DateTime<Utc>) -> Vec<String> {
    let Some(attempt) = task.attempts.last() else { return vec!["PROCESSING.".to_owned()] };
    let worker = one_line(&attempt.worker);
    let since = moment(attempt.started_time, now);
    let mut lines =
        vec![format!("PROCESSING: claimed {since} by worker {worker}, attempt {}.", attempt.attempt)];
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
            "Once it has been silent for LONGSHORE_STALL_LIMIT, its session is ended and the task is NEW again."
                .to_owned(),
        );
    } else {
        lines.push(
            "Its rows appear all at once when it is LOADED. If the worker dies before, the task is NEW again in one or two \
             seconds by the scanner service; without the service, by `longshore scan`."
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

fn loaded(task: &TaskHistory, now: DateTime<Utc>) -> Vec<String> {
    let last = task.attempts.last();
    let ended = last.and_then(|attempt| attempt.finished_time).unwrap_or(task.modified_time);
    let by =
        last.map(|attempt| format!(" by worker {}, attempt {}", one_line(&attempt.worker), attempt.attempt));
    vec![format!("LOADED {}{}.", moment(ended, now), by.unwrap_or_default())]
}

fn rows(rows: &RowCounts) -> String {
    let RowCounts { read, loaded, rejected } = rows;
    format!(
        "Rows: {} read = {} loaded + {} rejected.",
        thousands(*read),
        thousands(*loaded),
        thousands(*rejected)
    )
}

fn rejects_of_task(task: &TaskHistory) -> Option<String> {
    task.rows.as_ref().filter(|rows| rows.rejected > 0)?;
    let command = match task.first_files.as_slice() {
        [uri] if task.files == 1 => rejects_command(uri),
        _ => rejects_command(&task.dataset),
    };
    Some(format!("{command} shows the rejected ones, and why."))
}

fn failed(task: &TaskHistory, now: DateTime<Utc>) -> Vec<String> {
    let cause = one_line(task.failure_msg.as_deref().unwrap_or("no cause is recorded"));
    let mut lines = vec![format!("FAILED {}: {cause}", moment(task.modified_time, now))];
    if task.attempts.is_empty() {
        let carved =
            "It was taken out of its batch, so that the other files could load; the attempt was the batch's.";
        lines.push(carved.to_owned());
    }
    match &task.superseded_by {
        Some(newer) => {
            let place = newer.task_id.map(|id| format!(" in task {id}")).unwrap_or_default();
            lines.push(format!(
                "A newer version of the file, modified {} (_file_id {}), has taken its place and is {}{place}.",
                crate::output::time(newer.file_modified_time),
                newer.file_id,
                one_line(&newer.status),
            ));
            lines.push("Nothing happens to this one any more, and a retry leaves it alone.".to_owned());
        }
        None => {
            lines.push("Nothing happens to it by itself.".to_owned());
            lines.push(
                "If the file is at fault, put a mended one in its place: the next scan finds it as a new version and loads \
                 that."
                    .to_owned(),
            );
            lines.push(format!(
                "If something else was, such as the spec, the table or the store, mend it, then `longshore retry {}`.",
                task.id
            ));
        }
    }
    lines
}

/// Fit to be pasted, whatever a file is called.
fn rejects_command(scope: &str) -> String {
    let scope = one_line(scope);
    let quoted = shlex::try_quote(&scope).map(|quoted| quoted.into_owned()).unwrap_or(scope.clone());
    format!("`longshore rejects {quoted}`")
}
