//! Values with a unit, checked when they are read.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A duration written for people: `5s`, `90m`, `24h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HumanDuration(pub Duration);

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A limit of ten years keeps every sum of a time and a duration inside what a timestamp holds.
        let limit = Duration::from_secs(10 * 366 * 24 * 3600);
        match humantime::parse_duration(text) {
            Ok(duration) if duration <= limit => Ok(Self(duration)),
            Ok(_) => Err(format!("`{text}` is longer than ten years")),
            Err(_) => Err(format!(
                "`{text}` is not a duration: write a number and a unit, such as `5s`, `10m` or `24h`"
            )),
        }
    }
}

impl TryFrom<String> for HumanDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HumanDuration> for String {
    fn from(duration: HumanDuration) -> Self {
        duration.to_string()
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(formatter)
    }
}

/// A cron expression of five fields, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule(String);

impl Schedule {
    /// The next time after `now` at which the schedule is due; `None` if there is none.
    pub fn next_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        croner::Cron::from_str(&self.0).ok()?.find_next_occurrence(&now, false).ok()
    }
}

impl TryFrom<String> for Schedule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let example =
            "write minute, hour, day of month, month, day of week, such as `0 * * * *` for every hour";
        if text.split_whitespace().count() != 5 {
            return Err(format!("`{text}` is not a cron expression of five fields: {example}"));
        }
        match croner::Cron::from_str(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(format!("`{text}` is not a cron expression ({error}): {example}")),
        }
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.0
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hourly_schedule_is_due_at_the_next_full_hour() {
        let schedule = Schedule::try_from("0 * * * *".to_owned()).unwrap();
        let now = "2026-03-01T10:15:30Z".parse().unwrap();
        assert_eq!(schedule.next_after(now), Some("2026-03-01T11:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_an_example() {
        for text in ["", "hourly", "* * * *", "0 0 * * * *", "61 * * * *"] {
            let message = Schedule::try_from(text.to_owned()).unwrap_err();
            assert!(message.contains("`0 * * * *`"), "{message}");
        }
    }

    #[test]
    fn durations_are_read_and_written_alike() {
        for text in ["5s", "2m 30s", "1day"] {
            let duration: HumanDuration = text.parse().unwrap();
            assert_eq!(duration.to_string(), text);
        }
        assert!("5".parse::<HumanDuration>().is_err());
        assert!("90000 years".parse::<HumanDuration>().is_err());
    }
}
