//! A value's binary form → the text that SQL writes for it. Panics at bytes that are no value of the type.

use chrono::{DateTime, Datelike, NaiveDate};
use longshore_common::dataset::ColumnType;

/// 2000-01-01 in days since 0001-01-01 and in Unix time.
const EPOCH_DAYS: i32 = 730_120;
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

/// `None` for a moment that an offset has moved out of the years 1 to 9999.
pub(super) fn sql_text(column_type: ColumnType, bytes: &[u8]) -> Option<String> {
    let text = match column_type {
        ColumnType::SmallInt => i16::from_be_bytes(whole(bytes)).to_string(),
        ColumnType::Integer => i32::from_be_bytes(whole(bytes)).to_string(),
        ColumnType::BigInt => i64::from_be_bytes(whole(bytes)).to_string(),
        ColumnType::Real => format!("{:e}", f32::from_be_bytes(whole(bytes))),
        ColumnType::Double => format!("{:e}", f64::from_be_bytes(whole(bytes))),
        ColumnType::Numeric { precision, scale } => numeric(bytes, precision, scale),
        ColumnType::Boolean => match bytes {
            [0] => "false".to_owned(),
            [1] => "true".to_owned(),
            _ => panic!("no boolean: {bytes:?}"),
        },
        ColumnType::Text => panic!("a text is its own text"),
        ColumnType::Date => {
            let date = NaiveDate::from_num_days_from_ce_opt(i32::from_be_bytes(whole(bytes)) + EPOCH_DAYS);
            let date = date.expect("a day");
            assert!((1..=9999).contains(&date.year()), "{date}");
            date.format("%Y-%m-%d").to_string()
        }
        ColumnType::Timestamp => timestamp(bytes).expect("years 1 to 9999"),
        ColumnType::TimestampTz => timestamp(bytes)?,
        ColumnType::Uuid => uuid::Uuid::from_bytes(whole(bytes)).to_string(),
    };
    Some(text)
}

fn whole<const LENGTH: usize>(bytes: &[u8]) -> [u8; LENGTH] {
    bytes.try_into().unwrap_or_else(|_| panic!("{} bytes instead of {LENGTH}", bytes.len()))
}

fn timestamp(bytes: &[u8]) -> Option<String> {
    let microseconds = i64::from_be_bytes(whole(bytes)) + EPOCH_MICROSECONDS;
    let time = DateTime::from_timestamp_micros(microseconds).expect("a time").naive_utc();
    assert!((0..=10_000).contains(&time.year()), "{time}");
    (1..=9999).contains(&time.year()).then(|| time.format("%Y-%m-%d %H:%M:%S%.6f").to_string())
}

fn numeric(bytes: &[u8], precision: u16, scale: u16) -> String {
    let words: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_be_bytes(whole(pair))).collect();
    let [count, weight, sign, shown_scale, digits @ ..] = words.as_slice() else { panic!("no head") };
    assert_eq!((usize::from(*count), *shown_scale), (digits.len(), scale));
    assert!([0, 0x4000].contains(sign) && digits.iter().all(|&digit| digit < 10_000), "{words:?}");
    // Postgres strips zeros at both ends before it stores a number, and a zero has no sign.
    assert!(digits.first() != Some(&0) && digits.last() != Some(&0), "{words:?}");
    assert!(!digits.is_empty() || (*sign, *weight) == (0, 0), "{words:?}");
    let weight = i32::from(*weight as i16);
    let group = |power: i32| {
        let index = usize::try_from(weight - power).ok();
        index.and_then(|index| digits.get(index)).copied().unwrap_or(0)
    };
    let integral: String = (0..=weight.max(0)).rev().map(|power| format!("{:04}", group(power))).collect();
    let fraction: String = (1..=250).map(|power| format!("{:04}", group(-power))).collect();
    let (kept, cut) = fraction.split_at(usize::from(scale));
    assert!(cut.bytes().all(|byte| byte == b'0'), "digits behind the scale: {words:?}");
    let integral = integral.trim_start_matches('0');
    assert!(integral.len() <= usize::from(precision - scale), "digits before the point: {words:?}");
    format!("{}{integral}.{kept}", if *sign == 0 { "" } else { "-" })
        + if integral.is_empty() && kept.is_empty() { "0" } else { "" }
}
