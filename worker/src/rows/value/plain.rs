//! Numbers as nearly all files write them: perhaps a minus, a few digits, perhaps a point and more digits. Eight bytes
//! are read at once, before anything rarer is asked for; what is not plain is left to the readers of each type.

use longshore_common::dataset::ColumnType;

use super::{boolean, float, integer, small_numeric};

/// Appends the value if it is plainly written and its type surely holds it; else appends nothing, and says so.
///
/// The text is the last `length` bytes of `head`. What stands before it is not looked at, but may be loaded with it.
#[inline(always)]
pub(in crate::rows) fn append_plain(
    plain_type: Option<ColumnType>,
    head: &[u8],
    length: usize,
    out: &mut Vec<u8>,
) -> bool {
    use ColumnType as T;
    match plain_type {
        Some(T::SmallInt) => integer::append_plain_smallint(head, length, out),
        Some(T::Integer) => integer::append_plain_integer(head, length, out),
        Some(T::BigInt) => integer::append_plain_bigint(head, length, out),
        Some(T::Real) => float::append_plain_real(head, length, out),
        Some(T::Double) => float::append_plain_double(head, length, out),
        Some(T::Numeric { precision, scale }) => {
            small_numeric::append_plain(head, length, precision, scale, out)
        }
        Some(T::Boolean) => boolean::append_plain(head, length, out),
        Some(T::Text | T::Date | T::Timestamp | T::TimestampTz | T::Uuid) | None => false,
    }
}

/// A whole number of at most seven digits and a sign, or eight digits.
#[inline(always)]
pub(super) fn whole(head: &[u8], length: usize) -> Option<i32> {
    if !(1..=8).contains(&length) {
        return None;
    }
    let word = last_bytes(head);
    let negative = word >> (8 * length - 8) & 0xff == u64::from(b'-');
    let length = length - usize::from(negative);
    if length == 0 {
        return None;
    }
    let number = digits(zeros_in_front(word, length))? as i32;
    Some(if negative { -number } else { number })
}

/// A decimal number: its digits as a whole number, and how many of them stand behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) negative: bool,
    pub(super) digits: u64,
    pub(super) scale: usize,
}

/// A decimal number of at most sixteen bytes and a sign.
#[inline(always)]
pub(super) fn decimal(head: &[u8], length: usize) -> Option<Decimal> {
    let negative = length > 0 && head.get(head.len().wrapping_sub(length)) == Some(&b'-');
    let length = length - usize::from(negative);
    let (digits, scale) = match length {
        1..=8 => {
            let (word, scale) = without_point(zeros_in_front(last_bytes(head), length));
            (digits(word)?, scale)
        }
        9..=16 => {
            let (before, _) = head.split_last_chunk::<8>()?;
            let (high, high_scale) = without_point(zeros_in_front(last_bytes(before), length - 8));
            let (low, low_scale) = without_point(last_bytes(head));
            let (high, low) = (digits(high)?, digits(low)?);
            match (high_scale, low_scale) {
                (None, None) => (high * 100_000_000 + low, None),
                (None, Some(scale)) => (high * 10_000_000 + low, Some(scale)),
                (Some(scale), None) => (high * 100_000_000 + low, Some(scale + 8)),
                (Some(_), Some(_)) => return None,
            }
        }
        _ => return None,
    };
    // A point before all digits is too rare for a way of its own.
    if scale.is_some_and(|scale| scale + 1 == length) {
        return None;
    }
    Some(Decimal { negative, digits, scale: scale.unwrap_or(0) })
}

const fn repeated(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The last eight bytes, the very last one in the lowest place.
#[inline(always)]
fn last_bytes(head: &[u8]) -> u64 {
    match head.last_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => head.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

/// With zeros instead of what stands before the last `length` bytes, one to eight.
#[inline(always)]
fn zeros_in_front(word: u64, length: usize) -> u64 {
    let text = u64::MAX >> (64 - 8 * length);
    word & text | repeated(b'0') & !text
}

/// With a zero in front instead of the last point, and how many bytes stand behind that.
#[inline(always)]
fn without_point(word: u64) -> (u64, Option<usize>) {
    // Bytes that are points become zero, and the lowest zero's highest bit is the lowest that is set.
    let others = word ^ repeated(b'.');
    let points = others.wrapping_sub(repeated(1)) & !others & repeated(0x80);
    if points == 0 {
        return (word, None);
    }
    let behind = points.trailing_zeros() & !7;
    let fraction = word & ((1 << behind) - 1);
    let word = word >> behind >> 8 << behind | fraction | u64::from(b'0') << 56;
    (word, Some(behind as usize / 8))
}

/// The number that eight digits are.
#[inline(always)]
fn digits(word: u64) -> Option<u64> {
    let digits = word ^ repeated(b'0');
    if (digits.wrapping_add(repeated(6)) | digits) & repeated(0xf0) != 0 {
        return None;
    }
    let pairs = (digits >> 8 & 0x00ff_00ff_00ff_00ff) * 10 + (digits & 0x00ff_00ff_00ff_00ff);
    let fours = (pairs >> 16 & 0x0000_ffff_0000_ffff) * 100 + (pairs & 0x0000_ffff_0000_ffff);
    Some((fours >> 32) * 10_000 + (fours & 0xffff_ffff))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the plain way appends; nothing if it leaves the text to others.
    fn plainly(column_type: ColumnType, head: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut out = vec![b'x'];
        let appended = append_plain(Some(column_type), head, length, &mut out);
        assert!(appended || out == [b'x'], "what is not appended leaves nothing");
        appended.then(|| out[1..].to_vec())
    }

    fn types() -> impl Strategy<Value = ColumnType> {
        let numeric = (1..25_u16, 0..25_u16)
            .prop_map(|(precision, scale)| ColumnType::Numeric { precision: precision.max(scale), scale });
        let others = [
            ColumnType::SmallInt,
            ColumnType::Integer,
            ColumnType::BigInt,
            ColumnType::Real,
            ColumnType::Double,
            ColumnType::Boolean,
        ];
        prop_oneof![1 => numeric, 2 => prop::sample::select(others.to_vec())]
    }

    #[test]
    fn what_most_files_have_is_plain() {
        let cases: [(&str, &[&str]); 6] = [
            ("smallint", &["0", "7", "45", "-3", "-45", "999", "-9999", "32767", "-32768"]),
            ("integer", &["0", "-7", "1234567", "12345678", "-1234567"]),
            ("bigint", &["0", "150000", "12345678"]),
            ("double", &["0", "1", "0.5", "0.766126609", "-12.25", "123456.789012345", "5710", "0.0000001"]),
            (
                "numeric(14,2)",
                &["0", "9120", "9120.5", "13881.23", "-0.01", "123456789012.34", "999999999999.99"],
            ),
            ("boolean", &["0", "1"]),
        ];
        for (column_type, texts) in cases {
            let column_type = ColumnType::try_from(column_type.to_owned()).unwrap();
            for text in texts {
                let head = format!("17,0.25,{text}");
                assert!(plainly(column_type, head.as_bytes(), text.len()).is_some(), "{column_type}: {text}");
                assert!(plainly(column_type, text.as_bytes(), text.len()).is_some(), "{column_type}: {text}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn what_is_plain_is_what_the_readers_of_its_type_say(
            column_type in types(),
            before in "[-0-9.,]{0,20}",
            text in "-?[0-9]{1,20}|-?[0-9]{0,12}\\.[0-9]{0,12}|[-+.0-9e /:]{0,18}|\\PC{0,6}",
        ) {
            let head = [before.as_bytes(), text.as_bytes()].concat();
            if let Some(plain) = plainly(column_type, &head, text.len()) {
                let mut slow = Vec::new();
                prop_assert_eq!(super::super::append(column_type, text.as_bytes(), &mut slow), Ok(()));
                prop_assert_eq!(plain, slow);
            }
        }
    }
}
