//! From where to read a queue that is an index by time: what lies before was dealt with, and its entries may be many.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// Rows whose transaction takes longer than this until it commits, and rows from before a clock was set back, wait for a full look.
const MARGIN: TimeDelta = TimeDelta::seconds(10);

/// How often to read from the beginning.
const FULL_LOOK_EVERY: Duration = Duration::from_secs(10);

/// A mark below which a queue was empty. It saves time only: each full look finds what it hides.
#[derive(Debug, Default)]
pub(crate) struct LowMark {
    time: Option<DateTime<Utc>>,
    last_full_look: Option<Instant>,
}

impl LowMark {
    /// Where to begin; `None`, now and then, is the beginning.
    pub(crate) fn from(&mut self) -> Option<DateTime<Utc>> {
        if self.time.is_none() || self.last_full_look.is_none_or(|last| last.elapsed() >= FULL_LOOK_EVERY) {
            self.last_full_look = Some(Instant::now());
            return None;
        }
        self.time
    }

    /// Nothing in the queue has an earlier time than this, by the database's clock.
    pub(crate) fn is_empty_before(&mut self, time: DateTime<Utc>) {
        self.time = Some(time - MARGIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_begins_a_little_before_the_mark_unless_a_full_one_is_due() {
        let mut mark = LowMark::default();
        assert_eq!(mark.from(), None);
        let time = DateTime::UNIX_EPOCH + TimeDelta::seconds(100);
        mark.is_empty_before(time);
        assert_eq!(mark.from(), Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(90)));
        mark.last_full_look = None;
        assert_eq!(mark.from(), None);
        assert_eq!(mark.from(), Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(90)));
    }
}
