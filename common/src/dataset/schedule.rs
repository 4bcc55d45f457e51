//! When a dataset's source is listed.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// When the scanner service looks for new files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Schedule {
    /// At these times.
    Cron(Cron),
    /// As soon as they arrive: a local folder is watched, other stores are listed every few seconds.
    Continuous,
}

/// A cron expression of five fields, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron(String);

const CONTINUOUS: &str = "continuous";
const EXAMPLE: &str =
    "write minute, hour, day of month, month, day of week, such as `0 * * * *` for every hour";

impl Cron {
    /// The next time after `now`; `None` if there is none.
    pub fn next_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        croner::Cron::from_str(&self.0).ok()?.find_next_occurrence(&now, false).ok()
    }
}

impl TryFrom<String> for Cron {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.split_whitespace().count() != 5 {
            return Err(format!("`{text}` is not a cron expression of five fields: {EXAMPLE}"));
        }
        match croner::Cron::from_str(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(format!("`{text}` is not a cron expression ({error}): {EXAMPLE}")),
        }
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.0
    }
}

impl TryFrom<String> for Schedule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == CONTINUOUS {
            return Ok(Self::Continuous);
        }
        let cron = Cron::try_from(text);
        cron.map(Self::Cron).map_err(|message| format!("{message}, or `{CONTINUOUS}`"))
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(cron) => cron.0.fmt(formatter),
            Self::Continuous => CONTINUOUS.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hourly_schedule_is_due_at_the_next_full_hour() {
        let cron = Cron::try_from("0 * * * *".to_owned()).unwrap();
        let now = "2026-03-01T10:15:30Z".parse().unwrap();
        assert_eq!(cron.next_after(now), Some("2026-03-01T11:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_what_is_allowed() {
        for text in ["", "hourly", "Continuous", "* * * *", "0 0 * * * *", "61 * * * *"] {
            let message = Schedule::try_from(text.to_owned()).unwrap_err();
            assert!(message.contains("`0 * * * *`") && message.contains("or `continuous`"), "{message}");
        }
    }

    #[test]
    fn a_schedule_is_stored_as_it_was_written() {
        for text in ["*/5 8-18 * * 1-5", "continuous"] {
            let schedule = Schedule::try_from(text.to_owned()).unwrap();
            let stored = serde_json::to_value(&schedule).unwrap();
            assert_eq!(stored, text);
            assert_eq!(serde_json::from_value::<Schedule>(stored).unwrap(), schedule);
        }
    }
}
