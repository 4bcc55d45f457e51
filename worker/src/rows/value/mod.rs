//! One value: a field's text → Postgres' binary form, appended as in COPY (length, then bytes). Exact: what a type
//! cannot hold as it is written does not fit, and nothing is rounded or cut to make it fit, except that
//! floating point numbers are rounded to the nearest, as everywhere.

mod boolean;
mod date_time;
mod float;
mod integer;
mod numeric;
mod text;
mod uuid;

use longshore_common::dataset::ColumnType;

/// How a text does not fit its column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is not written as the type is.
    Type,
    /// It is written so, but the type cannot hold it.
    Range,
    /// A text that is not UTF-8.
    Encoding,
    /// A text with a NUL, which Postgres cannot store.
    NulByte,
}

impl Misfit {
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Range => "range",
            Self::Encoding => "encoding",
            Self::NulByte => "nul_byte",
        }
    }

    /// What was expected, in words.
    pub(super) fn reason(self, column_type: ColumnType) -> String {
        let expected = expected(column_type);
        match self {
            Self::Type => format!("not a {column_type}: {expected}"),
            Self::Range => format!("outside of what a {column_type} can hold: {expected}"),
            Self::Encoding => "not valid UTF-8".to_owned(),
            Self::NulByte => "has a NUL byte, which Postgres cannot store".to_owned(),
        }
    }
}

/// Appends `field`'s binary form to `out`. If it does not fit, `out` may hold a part of it.
#[inline]
pub(super) fn append(column_type: ColumnType, field: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    match column_type {
        ColumnType::SmallInt => integer::append_smallint(trimmed(field), out),
        ColumnType::Integer => integer::append_integer(trimmed(field), out),
        ColumnType::BigInt => integer::append_bigint(trimmed(field), out),
        ColumnType::Real => float::append_real(trimmed(field), out),
        ColumnType::Double => float::append_double(trimmed(field), out),
        ColumnType::Numeric { precision, scale } => numeric::append(trimmed(field), precision, scale, out),
        ColumnType::Boolean => boolean::append(trimmed(field), out),
        ColumnType::Text => text::append(field, out),
        ColumnType::Date => date_time::append_date(trimmed(field), out),
        ColumnType::Timestamp => date_time::append_timestamp(trimmed(field), out),
        ColumnType::TimestampTz => date_time::append_timestamptz(trimmed(field), out),
        ColumnType::Uuid => uuid::append(trimmed(field), out),
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

/// Without the ASCII spaces around it, which some writers pad numbers with.
#[inline]
fn trimmed(mut field: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = field {
        field = rest;
    }
    while let [rest @ .., b' '] = field {
        field = rest;
    }
    field
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
    fn spaces_around_a_value_are_allowed_but_belong_to_a_text() {
        let types = ["smallint", "integer", "bigint", "real", "double", "numeric(5,0)", "boolean"];
        for column_type in types.map(|name| ColumnType::try_from(name.to_owned()).unwrap()) {
            let (mut padded, mut bare) = (Vec::new(), Vec::new());
            append(column_type, b"  1 ", &mut padded).unwrap();
            append(column_type, b"1", &mut bare).unwrap();
            assert_eq!(padded, bare, "{column_type}");
            assert_eq!(append(column_type, b"   ", &mut Vec::new()), Err(Misfit::Type));
            assert_eq!(append(column_type, b"\t1", &mut Vec::new()), Err(Misfit::Type));
        }
        assert_eq!(append(ColumnType::Date, b" 2024-01-01 ", &mut Vec::new()), Ok(()));
        let mut out = Vec::new();
        append(ColumnType::Text, b" 1 ", &mut out).unwrap();
        assert_eq!(out, b"\0\0\0\x03 1 ");
    }

    #[test]
    fn a_reason_says_what_is_expected() {
        let reason = Misfit::Type.reason(ColumnType::SmallInt);
        assert_eq!(reason, "not a smallint: a whole number from -32768 to 32767");
        let reason = Misfit::Range.reason(ColumnType::Numeric { precision: 14, scale: 2 });
        assert!(reason.ends_with("at most 12 digits before the decimal point and 2 after it"), "{reason}");
    }
}
