//! Dates and times in a format of the spec's own.

use std::fmt::Write;

use chrono::{
    DateTime, Datelike, NaiveDateTime, Timelike,
    format::{
        Fixed, Item, Numeric, ParseError, ParseErrorKind, Parsed, StrftimeItems, parse, parse_and_remainder,
    },
};
use longshore_common::dataset::ColumnType;

use super::{
    Misfit, append_4, append_8,
    date_time::{EPOCH_DAYS, MAX_OFFSET_HOURS},
};

/// 2000-01-01 in Unix time.
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
/// A second has no more digits in chrono's count; those behind are skipped by its parser.
const NANOSECOND_DIGITS: usize = 9;

/// A strftime format, taken apart.
#[derive(Debug)]
pub(in crate::rows) struct Format {
    items: Vec<Item<'static>>,
    text: String,
}

impl Format {
    /// An error says what the format lacks or has too much of.
    pub(super) fn compile(column_type: ColumnType, text: &str) -> Result<Self, String> {
        let items = StrftimeItems::new(text).parse_to_owned();
        let items = items.map_err(|_| format!("`{text}` has a directive that is unknown"))?;
        for item in &items {
            match item {
                Item::Fixed(Fixed::TimezoneName) => {
                    return Err(
                        "`%Z` is not read: a zone's name does not give its offset; `%z` does".to_owned()
                    );
                }
                Item::Numeric(Numeric::Nanosecond, _) => {
                    return Err("`%f` would count nanoseconds; write `%.f`, the point included, for a \
                                second's fraction"
                        .to_owned());
                }
                _ => {}
            }
        }
        let format = Self { items, text: text.to_owned() };
        format.try_out(column_type)?;
        Ok(format)
    }

    /// Whether a value that is written in this format can be read back from it.
    fn try_out(&self, column_type: ColumnType) -> Result<(), String> {
        let incomplete = || format!("`{}` does not give a whole {column_type}", self.text);
        // `%#z` can be read, but not written.
        let writable = self.text.replace("%#z", "%z");
        let mut sample = String::new();
        write!(sample, "{}", DateTime::UNIX_EPOCH.format(&writable)).map_err(|_| incomplete())?;
        let parsed = self.parse(&sample).map_err(|_| incomplete())?;
        if parsed.offset().is_some() && column_type != ColumnType::TimestampTz {
            return Err(format!("`{}` has a zone, which only a timestamptz can keep", self.text));
        }
        append_parsed(column_type, &parsed, &mut Vec::new()).map_err(|_| incomplete())
    }

    pub(super) fn append(
        &self,
        column_type: ColumnType,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Misfit> {
        let text = std::str::from_utf8(text).map_err(|_| Misfit::Type)?;
        append_parsed(column_type, &self.parse(text)?, out)
    }

    fn parse(&self, text: &str) -> Result<Parsed, Misfit> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.items.iter()).map_err(misfit)?;
        // `%Y` also reads `24`, as the year 24; nobody can tell that from the year that was meant.
        if [parsed.year(), parsed.isoyear()].into_iter().flatten().any(|year| (0..1000).contains(&year)) {
            return Err(Misfit::Type);
        }
        if self.loses_digits(text) {
            return Err(Misfit::Range);
        }
        Ok(parsed)
    }

    /// Whether the second's fraction has digits that chrono skips and that are not zeros.
    fn loses_digits(&self, text: &str) -> bool {
        let is_fraction = |item: &Item<'_>| matches!(item, Item::Fixed(fixed) if has_fraction(fixed));
        let Some(place) = self.items.iter().position(is_fraction) else { return false };
        let before = self.items[..place].iter();
        let Ok(rest) = parse_and_remainder(&mut Parsed::new(), text, before) else { return false };
        // Where the fraction is left out, something else follows; a time by RFC 3339 begins with its date.
        let behind_point = match self.items[place] {
            Item::Fixed(Fixed::RFC3339) => rest.split_once('.').map(|(_, digits)| digits),
            _ => rest.strip_prefix('.'),
        };
        let digits = behind_point.unwrap_or_default().bytes().take_while(u8::is_ascii_digit);
        digits.skip(NANOSECOND_DIGITS).any(|byte| byte != b'0')
    }

    /// What was expected.
    pub(super) fn expected(&self, column_type: ColumnType) -> String {
        format!("a {column_type} as `{}`, an existing day of the years 1000 to 9999", self.text)
    }
}

fn append_parsed(column_type: ColumnType, parsed: &Parsed, out: &mut Vec<u8>) -> Result<(), Misfit> {
    match column_type {
        ColumnType::Date => {
            let date = parsed.to_naive_date().map_err(misfit)?;
            let times = [
                parsed.hour_div_12(),
                parsed.hour_mod_12(),
                parsed.minute(),
                parsed.second(),
                parsed.nanosecond(),
            ];
            if times.into_iter().flatten().any(|part| part != 0) || !(1..=9999).contains(&date.year()) {
                return Err(Misfit::Range);
            }
            append_4((date.num_days_from_ce() - EPOCH_DAYS).to_be_bytes(), out);
        }
        _ => {
            let offset = parsed.offset().unwrap_or(0);
            let local = parsed.to_naive_datetime_with_offset(offset).map_err(misfit)?;
            if offset.unsigned_abs() >= (MAX_OFFSET_HOURS + 1) * 3600 {
                return Err(Misfit::Range);
            }
            append_8((microseconds(local)? - i64::from(offset) * 1_000_000).to_be_bytes(), out);
        }
    }
    Ok(())
}

/// Microseconds since 2000-01-01, if there is no more to the time than these.
fn microseconds(time: NaiveDateTime) -> Result<i64, Misfit> {
    // From 1,000,000,000 on, chrono's nanoseconds are those of a leap second.
    if !(1..=9999).contains(&time.year())
        || time.nanosecond() >= 1_000_000_000
        || !time.nanosecond().is_multiple_of(1000)
    {
        return Err(Misfit::Range);
    }
    Ok(time.and_utc().timestamp_micros() - EPOCH_MICROSECONDS)
}

/// Those that chrono reads as a point and digits.
fn has_fraction(item: &Fixed) -> bool {
    matches!(
        item,
        Fixed::Nanosecond | Fixed::Nanosecond3 | Fixed::Nanosecond6 | Fixed::Nanosecond9 | Fixed::RFC3339
    )
}

fn misfit(error: ParseError) -> Misfit {
    match error.kind() {
        ParseErrorKind::OutOfRange | ParseErrorKind::Impossible => Misfit::Range,
        _ => Misfit::Type,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::date_time, *};

    fn typed(column_type: ColumnType, format: &str, text: &str) -> Result<Vec<u8>, Misfit> {
        let format = Format::compile(column_type, format).unwrap_or_else(|message| panic!("{message}"));
        let mut out = Vec::new();
        format.append(column_type, text.as_bytes(), &mut out)?;
        Ok(out)
    }

    fn iso(column_type: ColumnType, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        super::super::append(column_type, text.as_bytes(), &mut out).unwrap();
        out
    }

    #[test]
    fn a_date_is_the_same_day_in_every_format() {
        let cases = [
            ("%d.%m.%Y", "29.02.2024"),
            ("%d.%m.%Y", "29.2.2024"),
            ("%m/%d/%y", "02/29/24"),
            ("%Y%m%d", "20240229"),
            ("%d-%b-%Y", "29-FEB-2024"),
            ("%d. %B %Y", "29. February 2024"),
            ("%A, %e %B %Y", "Thursday, 29 February 2024"),
            ("%Y-%j", "2024-060"),
            ("%G-W%V-%u", "2024-W09-4"),
            ("%d.%m.%Y %H:%M", "29.02.2024 00:00"),
            ("%m/%d/%Y %I:%M:%S %p", "02/29/2024 12:00:00 AM"),
            ("%%%F", "%2024-02-29"),
        ];
        for (format, text) in cases {
            let date = typed(ColumnType::Date, format, text);
            assert_eq!(date, Ok(iso(ColumnType::Date, "2024-02-29")), "{format}: {text}");
        }
        assert_eq!(typed(ColumnType::Date, "%d%m%y", "010169"), Ok(iso(ColumnType::Date, "2069-01-01")));
        assert_eq!(typed(ColumnType::Date, "%d%m%y", "010170"), Ok(iso(ColumnType::Date, "1970-01-01")));
    }

    #[test]
    fn a_time_is_the_same_moment_in_every_format() {
        let cases = [
            ("%d.%m.%Y %H:%M:%S%.f", "29.02.2024 23:05:06.5"),
            ("%d.%m.%Y %H:%M:%S%.f", "29.02.2024 23:05:06.500000000000"),
            ("%m/%d/%y %I:%M:%S%.f %p", "02/29/24 11:05:06.5 pm"),
            ("%Y%m%d%H%M%S%3f", "20240229230506500"),
            ("%s%.f", "1709247906.5"),
        ];
        let (plain, zoned) = (ColumnType::Timestamp, ColumnType::TimestampTz);
        for (format, text) in cases {
            assert_eq!(
                typed(plain, format, text),
                Ok(iso(plain, "2024-02-29 23:05:06.5")),
                "{format}: {text}"
            );
            // Without a zone it is UTC.
            assert_eq!(
                typed(zoned, format, text),
                Ok(iso(zoned, "2024-02-29 23:05:06.5Z")),
                "{format}: {text}"
            );
        }
        let cases = [
            ("%+", "2024-02-29T23:05:06.5+05:30"),
            ("%Y-%m-%d %H:%M:%S%.f %z", "2024-02-29 23:05:06.5 +0530"),
            ("%Y-%m-%d %H:%M:%S%.f%#z", "2024-02-29 23:05:06.5+0530"),
            ("%Y-%m-%d %H:%M:%S%.f%:z", "2024-02-29 23:05:06.5+05:30"),
        ];
        for (format, text) in cases {
            assert_eq!(
                typed(zoned, format, text),
                Ok(iso(zoned, "2024-02-29 23:05:06.5+05:30")),
                "{format}: {text}"
            );
        }
    }

    #[test]
    fn what_is_not_written_so_is_told_from_what_does_not_exist() {
        let malformed = [
            "",
            "29.02",
            "29.02.24",
            "29.02.0024",
            "29.02.2024x",
            "29.02.2024 ",
            "29/02/2024",
            "x",
            "\u{ff12}9.02.2024",
        ];
        for text in malformed {
            assert_eq!(typed(ColumnType::Date, "%d.%m.%Y", text), Err(Misfit::Type), "{text}");
        }
        for text in ["30.02.2024", "00.01.2024", "01.13.2024", "01.01.-0044", "01.01.+12024"] {
            assert_eq!(typed(ColumnType::Date, "%d.%m.%Y", text), Err(Misfit::Range), "{text}");
        }
        assert_eq!(typed(ColumnType::Date, "%a %F", "Mon 2024-02-29"), Err(Misfit::Range));
        for text in ["2024-02-29 00:01", "2024-02-29 12:00"] {
            assert_eq!(typed(ColumnType::Date, "%F %H:%M", text), Err(Misfit::Range), "{text}");
        }
        let beyond = [
            "2024-02-29 24:00:00",
            "2024-02-29 23:60:00",
            "2024-02-29 23:59:60",
            "2024-02-29 23:59:59.0000001",
            "2024-02-29 23:59:59.0000000000001",
        ];
        // The year 24 is no 2024, whatever stands elsewhere in the text; and digits that are no fraction are none lost.
        let short_year = typed(ColumnType::Timestamp, "%d.%m.%Y %H:%M:%S%.f", "01.02.24 10:00:00.0024");
        assert_eq!(short_year, Err(Misfit::Type));
        let run_together = typed(ColumnType::Timestamp, "%d.%m.%Y%H%M%S", "01.02.2024235906");
        assert_eq!(run_together, Ok(iso(ColumnType::Timestamp, "2024-02-01 23:59:06")));
        for column_type in [ColumnType::Timestamp, ColumnType::TimestampTz] {
            for text in beyond {
                assert_eq!(typed(column_type, "%F %H:%M:%S%.f", text), Err(Misfit::Range), "{text}");
            }
        }
        assert_eq!(typed(ColumnType::TimestampTz, "%F %H:%M%z", "2024-02-29 10:00+1600"), Err(Misfit::Range));
    }

    proptest! {
        #[test]
        fn a_day_that_is_written_in_a_format_is_read_back(
            day in -730_119..2_921_940_i32,
            format in prop::sample::select(vec![
                "%d.%m.%Y", "%Y%m%d", "%m/%d/%Y", "%e %b %Y", "%A, %d %B %Y", "%Y-%j", "%G-W%V-%u", "%c", "%-d.%-m.%Y",
            ]),
        ) {
            let date = DateTime::UNIX_EPOCH.date_naive().checked_add_signed(chrono::TimeDelta::days(i64::from(day)));
            let date = date.unwrap().min(chrono::NaiveDate::from_ymd_opt(9999, 12, 31).unwrap());
            prop_assume!(date.year() >= 1000 && date.iso_week().year() >= 1000);
            let written = date.and_time(chrono::NaiveTime::MIN).format(format).to_string();
            let mut expected = Vec::new();
            date_time::append_date(date.format("%Y-%m-%d").to_string().as_bytes(), &mut expected).unwrap();
            prop_assert_eq!(typed(ColumnType::Date, format, &written), Ok(expected), "{}", written);
        }

        #[test]
        fn a_moment_that_is_written_in_a_format_is_read_back(
            microseconds in -60_000_000_000_000_000..250_000_000_000_000_000_i64,
            format in prop::sample::select(vec!["%d.%m.%Y %H:%M:%S%.6f", "%+", "%Y%m%d%H%M%S%6f", "%b %e %Y %I:%M:%S%.f %p %z"]),
        ) {
            let time = DateTime::from_timestamp_micros(microseconds).unwrap();
            prop_assume!(time.year() >= 1000);
            let written = time.format(format).to_string();
            let expected = iso(ColumnType::TimestampTz, &time.format("%Y-%m-%d %H:%M:%S%.6f").to_string());
            prop_assert_eq!(typed(ColumnType::TimestampTz, format, &written), Ok(expected), "{}", written);
        }
    }
}
