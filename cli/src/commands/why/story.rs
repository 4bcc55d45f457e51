//! The facts as a text for people. Pure: facts in, text out.

use chrono::{DateTime, Utc};
use longshore_common::ledger::{AttemptRecord, FileVersion, History, Subject, TaskHistory};

use super::{
    moments::{lasting, moment},
    state,
};
use crate::output::{Table, counted, one_line, thousands, time};

/// Tells a history. File names, workers' names and causes stay in their lines, whatever is in them.
pub(super) fn tell(history: &History) -> String {
    let paragraphs = match &history.subject {
        Subject::Task(task) => of_task(task, history.now),
        Subject::Versions(versions) => of_file(versions, history.now),
    };
    paragraphs.join("\n\n")
}

fn of_task(task: &TaskHistory, now: DateTime<Utc>) -> Vec<String> {
    let mut heading = vec![
        format!("Task {}", task.id),
        format!(
            "Dataset {}; {}, {}; made at {}.",
            task.dataset,
            counted(task.files.unsigned_abs(), "file"),
            counted(task.size_in_bytes.unsigned_abs(), "byte"),
            moment(task.created_time, now)
        ),
    ];
    heading.extend(task.first_files.iter().map(|uri| format!("  {}", one_line(uri))));
    let unnamed = task.files - task.first_files.len() as i64;
    if unnamed > 0 {
        heading.push(format!("  and {} more", thousands(unnamed)));
    }
    let mut paragraphs = vec![heading.join("\n"), state::of_task(task, now).join("\n")];
    paragraphs.extend(attempts(task, now));
    paragraphs
}

fn of_file(versions: &[FileVersion], now: DateTime<Utc>) -> Vec<String> {
    let Some(newest) = versions.first() else { return Vec::new() };
    let uri = one_line(&newest.file_name);
    let mut paragraphs = match versions.len() {
        1 => Vec::new(),
        count => vec![format!("{uri} has {count} versions; the newest comes first.")],
    };
    for (index, version) in versions.iter().enumerate() {
        let name = match versions.len() {
            1 => uri.clone(),
            count => format!("Version {}", count - index),
        };
        paragraphs.push(version_heading(&name, version, now));
        paragraphs.push(state::of_version(version, now).join("\n"));
        paragraphs.extend(version.task.as_ref().and_then(|task| attempts(task, now)));
    }
    paragraphs
}

fn version_heading(name: &str, version: &FileVersion, now: DateTime<Utc>) -> String {
    let mut lines = vec![
        name.to_owned(),
        format!(
            "Dataset {}; {}, modified {}; recorded at {}; _file_id {}.",
            version.dataset,
            counted(version.size_in_bytes.unsigned_abs(), "byte"),
            time(version.file_modified_time),
            moment(version.created_time, now),
            version.id
        ),
    ];
    if let Some(task) = &version.task {
        let others = task.files.saturating_sub(1).unsigned_abs();
        let company = match others {
            0 => "alone".to_owned(),
            _ => format!("with {}", counted(others, "other file")),
        };
        lines.push(format!("In task {}, {company}.", task.id));
    }
    lines.join("\n")
}

/// The task's attempts, a line each. The last column is not folded: a cause is told whole, and can be searched for.
fn attempts(task: &TaskHistory, now: DateTime<Utc>) -> Option<String> {
    if task.attempts.is_empty() {
        return None;
    }
    let header = ["ATTEMPT", "WORKER", "STARTED", "TOOK", "BYTES", "ROWS", "OUTCOME", "CAUSE"];
    let mut table = Table::new(&header, &[0, 3, 4, 5]);
    for attempt in &task.attempts {
        let number = |number: Option<i64>| number.map(thousands).unwrap_or_default();
        table.add_row([
            attempt.attempt.to_string(),
            attempt.worker.clone(),
            time(attempt.started_time),
            lasting(attempt.finished_time.unwrap_or(now) - attempt.started_time),
            number(attempt.bytes_read),
            number(attempt.rows_read),
            outcome(attempt, task).to_owned(),
            attempt.error.clone().unwrap_or_default(),
        ]);
    }
    Some(table.to_string())
}

fn outcome<'a>(attempt: &'a AttemptRecord, task: &TaskHistory) -> &'a str {
    match (&attempt.outcome, task.is_leased) {
        (Some(outcome), _) => outcome,
        (None, true) => "running",
        (None, false) => "gone",
    }
}
