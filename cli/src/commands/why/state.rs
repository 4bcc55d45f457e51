//! The state that a file or a task is in, how it came there, and what happens next: sentences, a line each.

use chrono::{DateTime, Utc};
use longshore_common::ledger::{self, FileVersion, NewerVersion, RowCounts, TaskHistory, WaitingBatch};

use super::{after_load, changes, moments::moment, unsettled};
use crate::output::{counted, one_line, thousands, time};

/// Of a task.
pub(super) fn of_task(task: &TaskHistory, now: DateTime<Utc>) -> Vec<String> {
    let rejects_of = match task.first_files.as_slice() {
        [uri] if task.files == 1 => uri,
        _ => &task.dataset,
    };
    match task.status.as_str() {
        "NEW" => unsettled::new(task, now),
        "PROCESSING" => unsettled::processing(task, now),
        "LOADED" => {
            let mut lines = loaded(task, task.rows.as_ref(), Some(rejects_of), now);
            lines.extend(changes::of_files(task));
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
            let rejects_of = version.removed_time.is_none().then_some(version.file_name.as_str());
            let mut lines = loaded(task, version.rows.as_ref(), rejects_of, now);
            lines.push(changes::since(version, now));
            lines.extend(version.after_load.as_ref().map(|record| after_load::told(record, now)));
            lines
        }
        (None, None) if version.status == "IGNORED" => changes::ignored(version),
        (Some(task), _) => {
            let mut lines = of_task(task, now);
            if let (Some(id), None) = (version.superseded_by, &task.superseded_by) {
                lines.push(format!("A newer version of this file (_file_id {id}) has taken its place."));
            }
            lines
        }
        (None, Some(batch)) => scanned(batch, &version.dataset, now),
        (None, None) => vec![format!("{}.", one_line(&version.status))],
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

/// A task, or one file of it, with its rows and whose rejects to show, if they are there.
fn loaded(
    task: &TaskHistory,
    rows: Option<&RowCounts>,
    rejects_of: Option<&str>,
    now: DateTime<Utc>,
) -> Vec<String> {
    let last = task.attempts.last();
    let ended = last.and_then(|attempt| attempt.finished_time).unwrap_or(task.modified_time);
    let by =
        last.map(|attempt| format!(" by worker {}, attempt {}", one_line(&attempt.worker), attempt.attempt));
    let mut lines = vec![format!("LOADED at {}{}.", moment(ended, now), by.unwrap_or_default())];
    if let Some(RowCounts { read, loaded, rejected }) = rows {
        let [read, loaded, rejections] = [*read, *loaded, *rejected].map(thousands);
        lines.push(format!("Rows: {read} read = {loaded} loaded + {rejections} rejected."));
        if let Some(rejects_of) = rejects_of.filter(|_| *rejected > 0) {
            lines.push(format!(
                "`longshore rejects {}` shows the rejected ones, and why.",
                argument(rejects_of)
            ));
        }
    }
    lines
}

fn failed(task: &TaskHistory, now: DateTime<Utc>) -> Vec<String> {
    let cause = one_line(task.failure_msg.as_deref().unwrap_or("no cause is recorded"));
    let mut lines = vec![format!("FAILED at {}: {cause}", moment(task.modified_time, now))];
    if task.failure_msg.as_deref() == Some(ledger::REFUSED_CHANGE) && task.superseded_by.is_none() {
        lines.push(format!("`longshore retry {}` loads it.", task.id));
        return lines;
    }
    if task.attempts.is_empty() && task.failure_msg.as_deref() != Some(ledger::REFUSED_CHANGE) {
        let carved =
            "It was taken out of its batch, so that the other files could load; its attempt was the batch's.";
        lines.push(carved.to_owned());
    }
    match &task.superseded_by {
        Some(newer) => {
            lines.push(superseded(task, newer));
            lines.push(
                "It has taken this one's place: nothing happens here any more, and a retry leaves it alone."
                    .to_owned(),
            );
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

fn superseded(task: &TaskHistory, newer: &NewerVersion) -> String {
    let file = match task.files {
        1 => "A newer version of the file",
        _ => "All its files have newer versions; that of the first one",
    };
    let place = newer.task_id.map(|id| format!(" in task {id}")).unwrap_or_default();
    format!(
        "{file}, modified {} (_file_id {}), is {}{place}.",
        time(newer.file_modified_time),
        newer.file_id,
        one_line(&newer.status),
    )
}

/// Fit to be pasted into a shell, whatever a file is called.
pub(super) fn argument(text: &str) -> String {
    let text = one_line(text);
    shlex::try_quote(&text).map(|quoted| quoted.into_owned()).unwrap_or(text)
}
