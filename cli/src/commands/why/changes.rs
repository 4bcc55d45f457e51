//! What became of a loaded version since, and what becomes of new content under its name: sentences.

use chrono::{DateTime, Utc};
use longshore_common::{
    dataset::OnChange,
    ledger::{FileVersion, TaskHistory},
};

use super::{moments::moment, state::argument};
use crate::output::counted;

/// Of a version that was loaded.
pub(super) fn since(version: &FileVersion, now: DateTime<Utc>) -> String {
    match (version.removed_time, version.replaced_by) {
        (Some(removed), Some(newer)) => format!(
            "REPLACED at {} by the newer version (_file_id {newer}): its own rows were removed.",
            moment(removed, now)
        ),
        (Some(removed), None) => format!(
            "UNLOADED at {} by an operator: its rows are not in the table. No scan loads it again; `longshore reload {}` loads the newest version.",
            moment(removed, now),
            argument(&version.file_name)
        ),
        (None, _) => match version.superseded_by {
            Some(newer) => {
                format!(
                    "There is a newer version of this file (_file_id {newer}); these rows are in the table still."
                )
            }
            None => format!("New content under this name {}.", fate(version.on_change)),
        },
    }
}

fn fate(on_change: OnChange) -> &'static str {
    match on_change {
        OnChange::Replace => "takes the place of these rows (discovery.on_change = \"replace\")",
        OnChange::Append => "is loaded beside these rows (discovery.on_change = \"append\")",
        OnChange::Ignore => "is recorded and not loaded (discovery.on_change = \"ignore\")",
        OnChange::Fail => {
            "becomes a FAILED task, which an operator may retry (discovery.on_change = \"fail\")"
        }
    }
}

/// Of a version that was recorded and not loaded.
pub(super) fn ignored(version: &FileVersion) -> Vec<String> {
    vec![
        "IGNORED: an earlier version of this file was loaded when this one was found, and the dataset takes no new content \
         under a known name (discovery.on_change = \"ignore\")."
            .to_owned(),
        format!(
            "No scan loads it; `longshore reload {}` loads the newest version in the place of the earlier one.",
            argument(&version.file_name)
        ),
    ]
}

/// Of a LOADED task's files, if there is something to say.
pub(super) fn of_files(task: &TaskHistory) -> Option<String> {
    let removed = match task.removed_files {
        0 => return None,
        removed => counted(removed.unsigned_abs(), "file"),
    };
    Some(format!(
        "Of that, the rows of {removed} were removed since, replaced or unloaded; `longshore files` shows which."
    ))
}
