//! Whole numbers. A fraction of zeros is taken (`2.0`: what pandas writes for integers with gaps), no other.

use super::{Misfit, append_4, append_8, plain, signed};

pub(super) fn append_smallint(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let number = i16::try_from(whole_number(text)?).map_err(|_| Misfit::Range)?;
    let [high, low] = number.to_be_bytes();
    out.extend_from_slice(&[0, 0, 0, 2, high, low]);
    Ok(())
}

pub(super) fn append_integer(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let number = i32::try_from(whole_number(text)?).map_err(|_| Misfit::Range)?;
    append_4(number.to_be_bytes(), out);
    Ok(())
}

pub(super) fn append_bigint(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    append_8(whole_number(text)?.to_be_bytes(), out);
    Ok(())
}

/// Most small numbers have one or two digits: these are not worth a call.
#[inline(always)]
pub(super) fn append_plain_smallint(head: &[u8], length: usize, out: &mut Vec<u8>) -> bool {
    let digit = |byte: u8| byte - b'0';
    let number = match (length, head) {
        (1, [.., ones @ b'0'..=b'9']) => digit(*ones),
        (2, [.., tens @ b'0'..=b'9', ones @ b'0'..=b'9']) => 10 * digit(*tens) + digit(*ones),
        _ => return append_longer_smallint(head, length, out),
    };
    out.extend_from_slice(&[0, 0, 0, 2, 0, number]);
    true
}

#[inline(never)]
fn append_longer_smallint(head: &[u8], length: usize, out: &mut Vec<u8>) -> bool {
    let Some(Ok(number)) = plain::whole(head, length).map(i16::try_from) else { return false };
    let [high, low] = number.to_be_bytes();
    out.extend_from_slice(&[0, 0, 0, 2, high, low]);
    true
}

pub(super) fn append_plain_integer(head: &[u8], length: usize, out: &mut Vec<u8>) -> bool {
    let Some(number) = plain::whole(head, length) else { return false };
    append_4(number.to_be_bytes(), out);
    true
}

pub(super) fn append_plain_bigint(head: &[u8], length: usize, out: &mut Vec<u8>) -> bool {
    let Some(number) = plain::whole(head, length) else { return false };
    append_8(i64::from(number).to_be_bytes(), out);
    true
}

#[inline]
fn whole_number(text: &[u8]) -> Result<i64, Misfit> {
    let (negative, digits) = signed(text);
    let mut magnitude: u64 = 0;
    let mut length = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        // Once too large, it stays so: the rest is still checked, so that `99…9x` is no number rather than a large one.
        magnitude = magnitude.saturating_mul(10).saturating_add(u64::from(digit));
        length += 1;
    }
    let zero_fraction = match &digits[length..] {
        [] => true,
        [b'.', fraction @ ..] => fraction.iter().all(|&byte| byte == b'0'),
        _ => false,
    };
    if length == 0 || !zero_fraction {
        return Err(Misfit::Type);
    }
    let number = if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
    number.ok_or(Misfit::Range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_exactly() {
        let cases: [(&str, i64); 10] = [
            ("0", 0),
            ("-0", 0),
            ("+7", 7),
            ("007", 7),
            ("2.0", 2),
            ("2.", 2),
            ("-15.000", -15),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("0000000000000000000000000000001", 1),
        ];
        for (text, number) in cases {
            assert_eq!(whole_number(text.as_bytes()), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_number_is_told_from_what_is_too_large() {
        for text in [
            "",
            "-",
            "+",
            ".",
            ".0",
            "2.5",
            "2.01",
            "1e3",
            "1 2",
            "--1",
            "0x1",
            "1_0",
            "99999999999999999999x",
            "٣",
        ] {
            assert_eq!(whole_number(text.as_bytes()), Err(Misfit::Type), "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "99999999999999999999999999"] {
            assert_eq!(whole_number(text.as_bytes()), Err(Misfit::Range), "{text}");
        }
    }

    #[test]
    fn each_width_has_its_range_and_its_bytes() {
        let mut out = Vec::new();
        append_smallint(b"-32768", &mut out).unwrap();
        append_integer(b"2147483647", &mut out).unwrap();
        append_bigint(b"-2", &mut out).unwrap();
        let bytes = b"\0\0\0\x02\x80\0\0\0\0\x04\x7f\xff\xff\xff\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xfe";
        assert_eq!(out, bytes);
        assert_eq!(append_smallint(b"32768", &mut out), Err(Misfit::Range));
        assert_eq!(append_integer(b"-2147483649", &mut out), Err(Misfit::Range));
    }
}
