//! Values with a unit, checked when they are read.

use std::{fmt, str::FromStr, time::Duration};

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

/// A number of bytes written for people: `64 MiB`, `500 kB`, `1024 B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HumanBytes(pub u64);

impl TryFrom<String> for HumanBytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.parse::<bytesize::ByteSize>() {
            Ok(size) => Ok(Self(size.0)),
            Err(_) => Err(format!(
                "`{text}` is not a size: write a number and a unit, such as `64 MiB` or `500 kB`"
            )),
        }
    }
}

/// In the largest binary unit that divides the number: a rounded text would read back as another number.
impl From<HumanBytes> for String {
    fn from(HumanBytes(bytes): HumanBytes) -> Self {
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
            Some((name, unit)) => format!("{} {name}", bytes / unit),
            None => format!("{bytes} B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_back_exactly_as_they_were_written() {
        for (text, bytes, written) in
            [("64 MiB", 64 << 20, "64 MiB"), ("8MiB", 8 << 20, "8 MiB"), ("500 kB", 500_000, "500000 B")]
        {
            let size = HumanBytes::try_from(text.to_owned()).unwrap();
            assert_eq!(size.0, bytes);
            assert_eq!(String::from(size), written);
            assert_eq!(HumanBytes::try_from(written.to_owned()).unwrap(), size);
        }
        assert!(HumanBytes::try_from("lots".to_owned()).is_err());
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
