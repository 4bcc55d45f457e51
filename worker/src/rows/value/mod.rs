//! One value: a field's text → Postgres' binary form, appended as in COPY (length, then bytes). Exact: what a type
//! cannot hold as it is written does not fit, and nothing is rounded or cut to make it fit, except that
//! floating point numbers are rounded to the nearest, as everywhere.

mod boolean;
mod compare;
mod date_time;
mod float;
mod format;
mod integer;
mod notation;
mod number;
mod numeric;
mod plain;
#[cfg(test)]
mod properties;
mod small_numeric;
mod text;
mod uuid;

use longshore_common::dataset::ColumnType;

pub(super) use compare::{compare, other_zero};
pub(super) use notation::Notation;
pub(super) use plain::append_plain;

/// How a text does not fit its column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is not written as the type is.
    Type,
    /// It is written so, but the type cannot hold it.
    Range,
}

impl Misfit {
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Range => "range",
        }
    }

    /// One sentence for people, with what is expected instead.
    pub(super) fn reason(self, column_type: ColumnType, expected: &str) -> String {
        let article = if column_type == ColumnType::Integer { "an" } else { "a" };
        match self {
            Self::Type => format!("not {article} {column_type}: {expected}"),
            Self::Range => format!("outside of what {article} {column_type} can hold: {expected}"),
        }
    }
}

/// Appends the binary form of a text without padding to `out`. If it does not fit, `out` may hold a part of it.
#[inline]
pub(super) fn append(column_type: ColumnType, text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    match column_type {
        ColumnType::SmallInt => integer::append_smallint(text, out),
        ColumnType::Integer => integer::append_integer(text, out),
        ColumnType::BigInt => integer::append_bigint(text, out),
        ColumnType::Real => float::append_real(text, out),
        ColumnType::Double => float::append_double(text, out),
        ColumnType::Numeric { precision, scale } => numeric::append(text, precision, scale, out),
        ColumnType::Boolean => boolean::append(text, out),
        ColumnType::Text => {
            text::append(text, out);
            Ok(())
        }
        ColumnType::Date => date_time::append_date(text, out),
        ColumnType::Timestamp => date_time::append_timestamp(text, out),
        ColumnType::TimestampTz => date_time::append_timestamptz(text, out),
        ColumnType::Uuid => uuid::append(text, out),
    }
}

fn expected(column_type: ColumnType) -> String {
    let fixed = match column_type {
        ColumnType::SmallInt => "a whole number from -32768 to 32767",
        ColumnType::Integer => "a whole number from -2147483648 to 2147483647",
        ColumnType::BigInt => "a whole number from -9223372036854775808 to 9223372036854775807",
        ColumnType::Real => "a number such as 0.5 or 1.5e3, zero or from 1e-45 to 3.4e38 in size",
        ColumnType::Double => "a number such as 0.5 or 1.5e3, zero or from 5e-324 to 1.7e308 in size",
        ColumnType::Numeric { precision, scale } => {
            let integral = precision - scale;
            return format!(
                "a number with at most {integral} digits before the decimal point and {scale} after it"
            );
        }
        ColumnType::Boolean => "1/0, t/f, true/false, y/n or yes/no",
        ColumnType::Text => "text in UTF-8",
        ColumnType::Date => "a calendar day as YYYY-MM-DD, from 0001-01-01 to 9999-12-31",
        ColumnType::Timestamp => {
            "a time as YYYY-MM-DD HH:MM:SS, with at most six digits of a second's fraction"
        }
        ColumnType::TimestampTz => {
            "a time as YYYY-MM-DD HH:MM:SS+HH:MM, with at most six digits of a second's fraction; \
             the zone is Z, an offset, or none for UTC"
        }
        ColumnType::Uuid => "32 hexadecimal digits in groups of 8-4-4-4-12",
    };
    fixed.to_owned()
}

/// Splits off an optional sign: whether it is a minus, and the rest.
#[inline]
fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// Appends a value of four bytes with its length, in one write.
#[inline]
fn append_4(bytes: [u8; 4], out: &mut Vec<u8>) {
    let mut field = [0, 0, 0, 4, 0, 0, 0, 0];
    field[4..].copy_from_slice(&bytes);
    out.extend_from_slice(&field);
}

/// Appends a value of eight bytes with its length, in one write.
#[inline]
fn append_8(bytes: [u8; 8], out: &mut Vec<u8>) {
    let mut field = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    field[4..].copy_from_slice(&bytes);
    out.extend_from_slice(&field);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_what_is_expected() {
        let reason = |misfit: Misfit, column_type| misfit.reason(column_type, &expected(column_type));
        let text = reason(Misfit::Type, ColumnType::SmallInt);
        assert_eq!(text, "not a smallint: a whole number from -32768 to 32767");
        let text = reason(Misfit::Range, ColumnType::Numeric { precision: 14, scale: 2 });
        assert!(text.ends_with("at most 12 digits before the decimal point and 2 after it"), "{text}");
        assert!(reason(Misfit::Type, ColumnType::Integer).starts_with("not an integer: "));
    }
}
