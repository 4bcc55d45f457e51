//! What has become of a loaded file itself.

use chrono::{DateTime, Utc};
use longshore_common::ledger::AfterLoadRecord;

use super::moments::moment;
use crate::output::{counted, one_line};

/// A sentence.
pub(super) fn told(record: &AfterLoadRecord, now: DateTime<Utc>) -> String {
    let reason = one_line(record.reason.as_deref().unwrap_or("no reason is recorded"));
    let when = record.done_time.map(|time| format!(" at {}", moment(time, now))).unwrap_or_default();
    match (record.outcome.as_deref(), &record.moved_to) {
        (Some("MOVED"), Some(target)) => {
            format!("The file was moved{when}; it lies at {} now.", one_line(target))
        }
        (Some("DELETED"), _) => format!("The file was deleted{when}, as discovery.after_load says."),
        (Some("GONE"), _) => format!(
            "The file was to be moved or deleted, but was gone already{when}; if a scan lists it again, it is moved or deleted then."
        ),
        (Some("LEFT"), _) => format!("The file was left where it is{when}: {reason}."),
        (Some(other), _) => format!("The file: {}{when}.", one_line(other)),
        (None, _) if record.tries == 0 && record.due_time > now => format!(
            "The file stays where it is until {} (discovery.after_load_delay); then the scanner service, or `longshore scan`, moves or \
             deletes it.",
            moment(record.due_time, now)
        ),
        (None, _) if record.tries == 0 => {
            "The file is to be moved or deleted now; the scanner service does that, and `longshore scan`."
                .to_owned()
        }
        (None, _) => format!(
            "The file could not be moved or deleted yet ({}): {reason}. It is tried again from {} on.",
            counted(record.tries.unsigned_abs().into(), "failure"),
            moment(record.due_time, now)
        ),
    }
}
