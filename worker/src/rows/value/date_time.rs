//! Calendar days and times in ISO 8601's order. Postgres counts days and microseconds from 2000-01-01.

use chrono::{Datelike, NaiveDate};

use super::{Misfit, append_4, append_8};

/// 2000-01-01 in chrono's count of days.
pub(super) const EPOCH_DAYS: i32 = 730_120;
const SECOND: i64 = 1_000_000;
/// Postgres' own bound for offsets is 15:59:59.
pub(super) const MAX_OFFSET_HOURS: u32 = 15;

pub(super) fn append_date(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let text: &[u8; 10] = text.try_into().map_err(|_| Misfit::Type)?;
    append_4(days(text)?.to_be_bytes(), out);
    Ok(())
}

pub(super) fn append_timestamp(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    match date_and_time(text)? {
        (microseconds, []) => append_8(microseconds.to_be_bytes(), out),
        _ => return Err(Misfit::Type),
    }
    Ok(())
}

pub(super) fn append_timestamptz(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let (microseconds, zone) = date_and_time(text)?;
    // A day's offset from years 1 to 9999 stays far inside of what Postgres holds.
    append_8((microseconds - offset_seconds(zone)? * SECOND).to_be_bytes(), out);
    Ok(())
}

/// Days since 2000-01-01 of `YYYY-MM-DD`, years 1 to 9999.
fn days(text: &[u8; 10]) -> Result<i32, Misfit> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return Err(Misfit::Type) };
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let (month, day) = (two_digits(m1, m2)?, two_digits(d1, d2)?);
    if year == 0 {
        return Err(Misfit::Range);
    }
    let date = NaiveDate::from_ymd_opt(year as i32, month, day).ok_or(Misfit::Range)?;
    Ok(date.num_days_from_ce() - EPOCH_DAYS)
}

/// Microseconds since 2000-01-01 of `YYYY-MM-DD[T ]HH:MM[:SS[.ffffff]]`, and what stands behind it.
fn date_and_time(text: &[u8]) -> Result<(i64, &[u8]), Misfit> {
    let (date, rest) = text.split_first_chunk::<10>().ok_or(Misfit::Type)?;
    let [b'T' | b' ', h1, h2, b':', m1, m2, rest @ ..] = rest else { return Err(Misfit::Type) };
    let (hours, minutes) = (two_digits(*h1, *h2)?, two_digits(*m1, *m2)?);
    let (seconds, fraction, rest) = match rest {
        [b':', s1, s2, b'.', rest @ ..] => {
            let (fraction, rest) = microseconds(rest)?;
            (two_digits(*s1, *s2)?, fraction, rest)
        }
        [b':', s1, s2, rest @ ..] => (two_digits(*s1, *s2)?, 0, rest),
        _ => (0, 0, rest),
    };
    let days = days(date)?;
    if hours > 23 || minutes > 59 || seconds > 59 {
        return Err(Misfit::Range);
    }
    let seconds = i64::from(days) * 86_400 + i64::from(hours * 3600 + minutes * 60 + seconds);
    Ok((seconds * SECOND + fraction, rest))
}

/// A second's fraction of at least one digit, and what stands behind it. Digits after the sixth must be zeros.
fn microseconds(text: &[u8]) -> Result<(i64, &[u8]), Misfit> {
    let length = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(length);
    if digits.is_empty() {
        return Err(Misfit::Type);
    }
    if digits.iter().skip(6).any(|&byte| byte != b'0') {
        return Err(Misfit::Range);
    }
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    Ok((padded.fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0')), rest))
}

/// Seconds east of UTC of `Z`, `+HH`, `+HHMM` or `+HH:MM`; none is UTC.
fn offset_seconds(zone: &[u8]) -> Result<i64, Misfit> {
    let (sign, hours, minutes) = match *zone {
        [] | [b'Z'] => return Ok(0),
        [sign, h1, h2] => (sign, two_digits(h1, h2)?, 0),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => {
            (sign, two_digits(h1, h2)?, two_digits(m1, m2)?)
        }
        _ => return Err(Misfit::Type),
    };
    let sign = match sign {
        b'+' => 1,
        b'-' => -1,
        _ => return Err(Misfit::Type),
    };
    if hours > MAX_OFFSET_HOURS || minutes > 59 {
        return Err(Misfit::Range);
    }
    Ok(sign * i64::from(hours * 3600 + minutes * 60))
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Result<u32, Misfit> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 {
        return Err(Misfit::Type);
    }
    Ok(u32::from(tens) * 10 + u32::from(ones))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Append = fn(&[u8], &mut Vec<u8>) -> Result<(), Misfit>;

    /// The bytes that Postgres 15 itself sends for these values (`COPY (SELECT …) TO STDOUT (FORMAT binary)`).
    fn same_as_postgres(append: Append, cases: &[(&str, &[u8])]) {
        for (text, bytes) in cases {
            let mut out = Vec::new();
            append(text.as_bytes(), &mut out).unwrap_or_else(|misfit| panic!("{text}: {misfit:?}"));
            assert_eq!(&out[4..], *bytes, "{text}");
            assert_eq!(out[..4], (bytes.len() as i32).to_be_bytes(), "{text}");
        }
    }

    fn refused(append: Append, misfit: Misfit, texts: &[&str]) {
        for text in texts {
            assert_eq!(append(text.as_bytes(), &mut Vec::new()), Err(misfit), "{text}");
        }
    }

    #[test]
    fn dates_have_the_bytes_that_postgres_gives_them() {
        let cases: [(&str, &[u8]); 5] = [
            ("2000-01-01", b"\0\0\0\0"),
            ("1999-12-31", b"\xff\xff\xff\xff"),
            ("2024-02-29", b"\0\0\x22\x79"),
            ("0001-01-01", b"\xff\xf4\xdb\xf9"),
            ("9999-12-31", b"\0\x2c\x95\xd3"),
        ];
        same_as_postgres(append_date, &cases);
    }

    #[test]
    fn timestamps_have_the_bytes_that_postgres_gives_them() {
        let cases: [(&str, &[u8]); 7] = [
            ("2000-01-01 00:00", b"\0\0\0\0\0\0\0\0"),
            ("2024-02-29 23:59:59.999999", b"\0\x02\xb5\x8c\xd3\x63\xbf\xff"),
            ("2024-02-29 23:59:59.999999000", b"\0\x02\xb5\x8c\xd3\x63\xbf\xff"),
            ("1969-07-20T20:17:40", b"\xff\xfc\x96\x18\x8b\xae\x61\0"),
            ("0001-01-01 00:00:00", b"\xff\x1f\xe2\xff\xc5\x9c\x60\0"),
            ("9999-12-31 23:59:59.5", b"\x03\x80\xe7\x0b\x91\x33\xde\xe0"),
            ("2000-01-01T00:00:00.000000", b"\0\0\0\0\0\0\0\0"),
        ];
        same_as_postgres(append_timestamp, &cases);
    }

    #[test]
    fn moments_have_the_bytes_that_postgres_gives_them() {
        let cases: [(&str, &[u8]); 6] = [
            ("2024-02-29 23:59:59.5+05:30", b"\0\x02\xb5\x88\x37\x30\x18\xe0"),
            ("2024-02-29T23:59Z", b"\0\x02\xb5\x8c\xcf\xd0\x39\0"),
            ("2024-02-29T23:59", b"\0\x02\xb5\x8c\xcf\xd0\x39\0"),
            ("2024-01-01 00:00:00-0800", b"\0\x02\xb0\xdc\x89\x86\x60\0"),
            ("0001-01-01 00:00+14", b"\xff\x1f\xe2\xf4\x09\x89\x68\0"),
            ("9999-12-31 23:59:59-15:59", b"\x03\x80\xe7\x18\xf6\xd2\xf6\xc0"),
        ];
        same_as_postgres(append_timestamptz, &cases);
    }

    #[test]
    fn what_is_no_date_is_told_from_a_day_that_does_not_exist() {
        let malformed =
            ["", "2024-1-1", "24-01-01", "2024/01/01", "20240101", "2024-01-01T", "01.02.2024", "2024-0a-01"];
        refused(append_date, Misfit::Type, &malformed);
        refused(
            append_date,
            Misfit::Range,
            &["2023-02-29", "2024-13-01", "2024-00-10", "2024-04-31", "0000-01-01"],
        );
    }

    #[test]
    fn what_is_no_time_is_told_from_a_time_that_does_not_exist() {
        let malformed = [
            "2024-01-01",
            "2024-01-01 10",
            "2024-01-01  10:00",
            "2024-01-01 10:00:00.",
            "2024-01-01 10:00.5",
        ];
        let beyond =
            ["2024-01-01 24:00", "2024-01-01 10:60", "2024-01-01 10:00:60", "2024-01-01 10:00:00.0000001"];
        for append in [append_timestamp as Append, append_timestamptz] {
            refused(append, Misfit::Type, &malformed);
            refused(append, Misfit::Range, &beyond);
        }
        refused(
            append_timestamp,
            Misfit::Type,
            &["2024-01-01 10:00Z", "2024-01-01 10:00+01", "2024-01-01 10:00:0"],
        );
    }

    #[test]
    fn zones_are_offsets_from_utc_and_no_names() {
        let malformed = ["UTC", "+1", "+1:00", "+01:", "+01:0", "01:00", " +01", "+01:00:00", "*01:00"];
        for zone in malformed {
            refused(append_timestamptz, Misfit::Type, &[&format!("2024-01-01 10:00:00{zone}")]);
        }
        for zone in ["+16", "-23:00", "+01:60"] {
            refused(append_timestamptz, Misfit::Range, &[&format!("2024-01-01 10:00:00{zone}")]);
        }
    }
}
