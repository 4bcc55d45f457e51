//! What must hold in every state and over every step, whatever the model expects: the model could be wrong, too.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{books::ROWS_OF_A_FILE, seen::Seen};

/// The first invariant that does not hold, if there is one.
pub(super) fn broken(before: &BTreeMap<Uuid, Seen>, after: &BTreeMap<Uuid, Seen>) -> Option<String> {
    after.values().find_map(|task| {
        let broken = broken_in_state(task);
        broken.or_else(|| before.get(&task.id).and_then(|before| broken_by_step(before, task)))
    })
}

fn broken_in_state(task: &Seen) -> Option<String> {
    let is_loaded = task.status == "LOADED";
    let rows_are_right = task.files.iter().all(|file| match is_loaded {
        true => (file.rows, file.lines) == (ROWS_OF_A_FILE, ROWS_OF_A_FILE) && file.load.is_some(),
        false => file.rows == 0 && file.load.is_none(),
    });
    let loads = task.outcomes.iter().filter(|outcome| *outcome == "LOADED").count();
    let running = task.outcomes.iter().filter(|outcome| outcome.is_empty()).count();
    let is_running = usize::from(task.status == "PROCESSING");
    let claims = [
        (rows_are_right, "its rows are there exactly once if and only if it is LOADED"),
        (task.status != "FAILED" || task.has_failure_msg, "FAILED says why"),
        (task.holders.len() <= 1, "one session at most holds its lease"),
        (task.outcomes.len() == task.attempt as usize, "every attempt is recorded"),
        (loads == usize::from(is_loaded), "it is loaded once, if it is LOADED"),
        (running == is_running, "an attempt has no outcome only while it runs"),
        (!task.outcomes.iter().any(|outcome| outcome == "HALF"), "outcome and end are recorded together"),
        (
            is_running == 0 || task.outcomes.last().is_some_and(String::is_empty),
            "the attempt that runs is the last one",
        ),
    ];
    violated(&claims, None, task)
}

fn broken_by_step(before: &Seen, after: &Seen) -> Option<String> {
    let became_new = before.status != "NEW" && after.status == "NEW";
    let settled = before.outcomes.iter().zip(&after.outcomes).all(|(before, after)| match before.as_str() {
        "" => true,
        // Unless its worker turns out to be alive.
        "DIED" => after == "DIED" || after == "RETRY",
        _ => before == after,
    });
    let claims = [
        (before.attempt <= after.attempt, "attempt only grows"),
        (before.status != "LOADED" || after.status == "LOADED", "LOADED is final"),
        (!became_new || !after.is_published, "every change to NEW clears published_time"),
        (settled, "a settled attempt keeps its outcome"),
    ];
    violated(&claims, Some(before), after)
}

fn violated(claims: &[(bool, &str)], before: Option<&Seen>, after: &Seen) -> Option<String> {
    let (_, claim) = claims.iter().find(|(holds, _)| !holds)?;
    let before = before.map(|before| format!("\nbefore {before:?}")).unwrap_or_default();
    Some(format!("violated: {claim}{before}\nafter {after:?}"))
}
