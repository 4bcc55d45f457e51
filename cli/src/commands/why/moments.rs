//! Moments and durations as a story tells them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::output;

/// A moment, and how far it is from now.
pub(super) fn moment(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match time > now {
        true => format!("{} (in {})", output::time(time), lasting(time - now)),
        false => format!("{} ({} ago)", output::time(time), lasting(now - time)),
    }
}

/// `40ms`, `12.3s`, `2m 3s`, `1day 2h 3m 4s`.
pub(super) fn lasting(delta: TimeDelta) -> String {
    let duration = delta.to_std().unwrap_or_default();
    match duration.as_secs() {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{:.1}s", duration.as_secs_f64()),
        seconds => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    }
}
