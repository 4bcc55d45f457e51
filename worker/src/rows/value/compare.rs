//! The order of values in their binary form.

use std::cmp::Ordering;

use longshore_common::dataset::ColumnType;

/// Compares two values of a type that has an order which the spec can name: numbers, dates and times. `None` for
/// others, and where a NaN is one of them.
pub(in crate::rows) fn compare(column_type: ColumnType, a: &[u8], b: &[u8]) -> Option<Ordering> {
    match column_type {
        ColumnType::SmallInt
        | ColumnType::Integer
        | ColumnType::BigInt
        | ColumnType::Date
        | ColumnType::Timestamp
        | ColumnType::TimestampTz => whole(a)?.partial_cmp(&whole(b)?),
        ColumnType::Real => real(a)?.partial_cmp(&real(b)?),
        ColumnType::Double => double(a)?.partial_cmp(&double(b)?),
        ColumnType::Numeric { .. } => Some(compare_numeric(a, b)),
        ColumnType::Boolean | ColumnType::Text | ColumnType::Uuid => None,
    }
}

/// The value that equals this one and has other bytes: a floating point zero with the other sign.
pub(in crate::rows) fn other_zero(column_type: ColumnType, value: &[u8]) -> Option<Vec<u8>> {
    match column_type {
        ColumnType::Real => {
            real(value).filter(|&zero| zero == 0.0).map(|zero| (-zero).to_be_bytes().to_vec())
        }
        ColumnType::Double => {
            double(value).filter(|&zero| zero == 0.0).map(|zero| (-zero).to_be_bytes().to_vec())
        }
        _ => None,
    }
}

/// Two's complement, big-endian, of two, four or eight bytes.
fn whole(bytes: &[u8]) -> Option<i64> {
    match *bytes {
        [a, b] => Some(i16::from_be_bytes([a, b]).into()),
        [a, b, c, d] => Some(i32::from_be_bytes([a, b, c, d]).into()),
        _ => bytes.try_into().ok().map(i64::from_be_bytes),
    }
}

fn real(bytes: &[u8]) -> Option<f32> {
    bytes.try_into().ok().map(f32::from_be_bytes)
}

fn double(bytes: &[u8]) -> Option<f64> {
    bytes.try_into().ok().map(f64::from_be_bytes)
}

fn compare_numeric(a: &[u8], b: &[u8]) -> Ordering {
    let ((sign_a, size_a), (sign_b, size_b)) = (numeric_key(a), numeric_key(b));
    sign_a.cmp(&sign_b).then_with(|| if sign_a < 0 { size_b.cmp(&size_a) } else { size_a.cmp(&size_b) })
}

/// Sign as -1, 0 or 1, then weight and digits: big-endian and without zeros at the end, so that bytes are in order.
fn numeric_key(bytes: &[u8]) -> (i8, (i16, &[u8])) {
    let [c1, c2, w1, w2, s1, s2, _, _, digits @ ..] = bytes else { return (0, (0, &[])) };
    let sign = match (u16::from_be_bytes([*c1, *c2]), u16::from_be_bytes([*s1, *s2])) {
        (0, _) => 0,
        (_, 0) => 1,
        _ => -1,
    };
    (sign, (i16::from_be_bytes([*w1, *w2]), digits))
}
