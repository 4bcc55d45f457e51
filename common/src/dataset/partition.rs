//! Folders that are named after the time of their files.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Folders that a scan may list one by one; beyond that it lists the whole source.
pub(super) const MAX_FOLDERS: i64 = 10_000;

/// A folder below the source, as strftime text in UTC such as `%Y/%m/%d/%H`; empty for sources that are not partitioned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Partition(String);

/// The finest part of time that the text names: there is one folder for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Day,
    Hour,
    Minute,
}

impl Unit {
    /// Seconds that it has at least.
    fn seconds(self) -> i64 {
        match self {
            Self::Year => 365 * 86_400,
            Self::Month => 28 * 86_400,
            Self::Day => 86_400,
            Self::Hour => 3_600,
            Self::Minute => 60,
        }
    }

    /// The start of the unit that `time` is in.
    fn start(self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc();
        match self {
            Self::Year => NaiveDate::from_ymd_opt(time.year(), 1, 1).map(midnight),
            Self::Month => NaiveDate::from_ymd_opt(time.year(), time.month(), 1).map(midnight),
            Self::Day | Self::Hour | Self::Minute => {
                let length = self.seconds();
                DateTime::from_timestamp(time.timestamp().div_euclid(length) * length, 0)
            }
        }
    }

    fn next(self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Year => time.checked_add_months(Months::new(12)),
            Self::Month => time.checked_add_months(Months::new(1)),
            Self::Day | Self::Hour | Self::Minute => {
                time.checked_add_signed(TimeDelta::seconds(self.seconds()))
            }
        }
    }
}

impl Partition {
    /// The folders of the times from `from` to `until` and one step beyond, because clocks differ. `None` if everything is to
    /// be listed: the source is not partitioned, or there are too many folders.
    pub fn folders(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<Vec<String>> {
        let unit = self.unit()?;
        if (until - from).num_seconds() / unit.seconds() > MAX_FOLDERS {
            return None;
        }
        let (mut time, end) = (unit.start(from)?, unit.next(unit.start(until.max(from))?)?);
        let mut folders = Vec::new();
        while time <= end {
            folders.push(time.format(&self.0).to_string());
            time = unit.next(time)?;
        }
        Some(folders)
    }

    /// Folders that a lookback of so many seconds comes to at least.
    pub(super) fn folders_in(&self, seconds: u64) -> i64 {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.unit().map_or(0, |unit| seconds / unit.seconds())
    }

    fn unit(&self) -> Option<Unit> {
        finest(&self.0)
    }
}

fn finest(text: &str) -> Option<Unit> {
    let units = [
        ("%M", Unit::Minute),
        ("%H", Unit::Hour),
        ("%d", Unit::Day),
        ("%j", Unit::Day),
        ("%m", Unit::Month),
        ("%Y", Unit::Year),
        ("%y", Unit::Year),
    ];
    units.into_iter().find(|(name, _)| text.contains(name)).map(|(_, unit)| unit)
}

impl TryFrom<String> for Partition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let folder = text.strip_suffix('/').unwrap_or(&text);
        if text.is_empty() {
            return Ok(Self::default());
        }
        match check(folder) {
            Ok(()) => Ok(Self(folder.to_owned())),
            Err(reason) => Err(format!(
                "`{text}` is not allowed, {reason}: write folders below the source with %Y %y %m %d %j %H %M, letters, \
                 digits and `-_.=`, such as `%Y/%m/%d/%H/`"
            )),
        }
    }
}

fn check(folder: &str) -> Result<(), String> {
    for name in folder.split('/') {
        if name.is_empty() {
            return Err("because a folder has no name".to_owned());
        }
        // Hidden folders are never listed, and two dots lead out of the source.
        if name.starts_with('.') {
            return Err("because a folder's name begins with a dot".to_owned());
        }
        check_characters(name)?;
    }
    let has = |name: &str| folder.contains(name);
    let has_year = has("%Y") || has("%y");
    let has_day = has_year && (has("%m") && has("%d") || has("%j"));
    // The folders from one time to another could not be told.
    let needs = [
        ("%m", "%Y", has_year),
        ("%j", "%Y", has_year),
        ("%d", "%Y and %m", has_year && has("%m")),
        ("%H", "a day (%Y, %m and %d, or %Y and %j)", has_day),
        ("%M", "%H and a day", has_day && has("%H")),
    ];
    for (name, needed, is_there) in needs {
        if has(name) && !is_there {
            return Err(format!("because {name} needs {needed}"));
        }
    }
    if finest(folder).is_none() {
        return Err("because it names no time".to_owned());
    }
    Ok(())
}

fn check_characters(name: &str) -> Result<(), String> {
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => match characters.next() {
                Some('Y' | 'y' | 'm' | 'd' | 'j' | 'H' | 'M') => {}
                Some(other) => return Err(format!("because of `%{other}`")),
                None => return Err("because it ends in `%`".to_owned()),
            },
            plain if plain.is_ascii_alphanumeric() || "-_.=".contains(plain) => {}
            other => return Err(format!("because of `{}`", other.escape_debug())),
        }
    }
    Ok(())
}

impl From<Partition> for String {
    fn from(partition: Partition) -> Self {
        partition.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(text: &str) -> Result<Partition, String> {
        Partition::try_from(text.to_owned())
    }

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn folders_go_from_the_first_time_to_one_step_beyond_the_last() {
        let cases: [(&str, &str, &str, &[&str]); 9] = [
            (
                "%Y/%m/%d/%H/",
                "2026-02-28T22:59:59Z",
                "2026-03-01T00:00:00Z",
                &["2026/02/28/22", "2026/02/28/23", "2026/03/01/00", "2026/03/01/01"],
            ),
            (
                "year=%Y/day=%j",
                "2026-12-31T00:00:00Z",
                "2026-12-31T23:00:00Z",
                &["year=2026/day=365", "year=2027/day=001"],
            ),
            ("%y%m", "2026-11-30T23:00:00Z", "2026-12-01T00:00:00Z", &["2611", "2612", "2701"]),
            ("%Y", "2024-02-29T00:00:00Z", "2025-01-01T00:00:00Z", &["2024", "2025", "2026"]),
            ("%d.%m.%Y", "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z", &["01.03.2026", "02.03.2026"]),
            (
                "%Y-%m-%d/%H%M",
                "2026-03-01T23:58:10Z",
                "2026-03-01T23:59:00Z",
                &["2026-03-01/2358", "2026-03-01/2359", "2026-03-02/0000"],
            ),
            // Before 1970, and with a clock that went back.
            ("%Y-%m-%d", "1969-12-31T23:00:00Z", "1969-12-31T23:30:00Z", &["1969-12-31", "1970-01-01"]),
            ("%Y/%m", "2026-03-31T00:00:00Z", "2026-02-01T00:00:00Z", &["2026/03", "2026/04"]),
            ("%Y/%m", "2026-01-31T00:00:00Z", "2026-01-31T00:00:00Z", &["2026/01", "2026/02"]),
        ];
        for (text, from, until, expected) in cases {
            let folders = partition(text).unwrap().folders(time(from), time(until)).unwrap();
            assert_eq!(folders, expected, "{text}");
        }
    }

    #[test]
    fn without_a_partition_or_with_too_many_folders_everything_is_listed() {
        let (from, until) = (time("2025-01-01T00:00:00Z"), time("2026-03-01T00:00:00Z"));
        assert_eq!(Partition::default().folders(from, until), None);
        assert_eq!(partition("%Y/%m/%d/%H").unwrap().folders(from, until), None);
        assert_eq!(partition("%Y/%m/%d").unwrap().folders(from, until).unwrap().len(), 426);
    }

    #[test]
    fn the_slash_at_the_end_may_be_left_out() {
        assert_eq!(partition("%Y/%m/").unwrap(), partition("%Y/%m").unwrap());
        assert_eq!(partition("").unwrap(), Partition::default());
        assert_eq!(String::from(partition("%Y/%m/").unwrap()), "%Y/%m");
    }

    #[test]
    fn what_cannot_be_listed_folder_by_folder_is_refused_with_the_reason() {
        let cases = [
            ("/%Y", "no name"),
            ("%Y//%m", "no name"),
            ("/", "no name"),
            ("%Y/../%m", "begins with a dot"),
            ("../%Y", "begins with a dot"),
            (".%Y", "begins with a dot"),
            ("%Y/%S", "`%S`"),
            ("%Y/%%", "`%%`"),
            ("%Y/%", "ends in `%`"),
            ("%Y/*", "`*`"),
            ("%Y/\n", "`\\n`"),
            ("%Y/ü", "`ü`"),
            ("inbox", "names no time"),
            ("%H", "%H needs a day"),
            ("%Y/%H", "%H needs a day"),
            ("%m/%d/%H", "%m needs %Y"),
            ("%m", "%m needs %Y"),
            ("%j", "%j needs %Y"),
            ("%Y/%d", "%d needs %Y and %m"),
            ("%Y/%m/%d/%M", "%M needs %H"),
        ];
        for (text, reason) in cases {
            let message = partition(text).unwrap_err();
            assert!(message.contains(reason) && message.contains("such as `%Y/%m/%d/%H/`"), "{message}");
        }
    }
}
