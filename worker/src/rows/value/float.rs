//! Floating point numbers, in decimal or exponent notation. No NaN and no infinity, neither written nor by overflow,
//! and no silent zero by underflow.

use std::str::from_utf8;

use super::{
    Misfit, append_4, append_8,
    plain::{self, Decimal},
    signed,
};

pub(super) fn append_real(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let number: f32 = number_text(text)?.parse().map_err(|_| Misfit::Type)?;
    if number.is_infinite() || (number == 0.0 && !is_zero(text)) {
        return Err(Misfit::Range);
    }
    append_4(number.to_be_bytes(), out);
    Ok(())
}

pub(super) fn append_double(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let number: f64 = number_text(text)?.parse().map_err(|_| Misfit::Type)?;
    if number.is_infinite() || (number == 0.0 && !is_zero(text)) {
        return Err(Misfit::Range);
    }
    append_8(number.to_be_bytes(), out);
    Ok(())
}

/// Powers of ten that a double holds exactly; a real does up to the tenth.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Where digits and power of ten are exact, their quotient is the one number that is nearest: IEEE 754 rounds it once.
pub(super) fn append_plain_double(head: &[u8], length: usize, out: &mut Vec<u8>) -> bool {
    let Some(Decimal { negative, digits, scale }) = plain::decimal(head, length) else { return false };
    if digits > 1 << f64::MANTISSA_DIGITS {
        return false;
    }
    let Some(power) = POWERS_OF_TEN.get(scale) else { return false };
    let number = digits as f64 / power;
    append_8(if negative { -number } else { number }.to_be_bytes(), out);
    true
}

pub(super) fn append_plain_real(head: &[u8], length: usize, out: &mut Vec<u8>) -> bool {
    let Some(Decimal { negative, digits, scale }) = plain::decimal(head, length) else { return false };
    if digits > 1 << f32::MANTISSA_DIGITS || scale > 10 {
        return false;
    }
    let number = digits as f32 / POWERS_OF_TEN[scale] as f32;
    append_4(if negative { -number } else { number }.to_be_bytes(), out);
    true
}

/// The standard parser takes the words `inf`, `infinity` and `nan` as well; they do not begin as numbers do.
#[inline]
fn number_text(text: &[u8]) -> Result<&str, Misfit> {
    match signed(text).1 {
        [b'0'..=b'9' | b'.', ..] => from_utf8(text).map_err(|_| Misfit::Type),
        _ => Err(Misfit::Type),
    }
}

/// Whether a number, already known to be well written, has only zeros before its exponent.
fn is_zero(number: &[u8]) -> bool {
    let mantissa = number.iter().take_while(|&byte| !matches!(byte, b'e' | b'E'));
    !mantissa.into_iter().any(|byte| matches!(byte, b'1'..=b'9'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(text: &str) -> Result<f64, Misfit> {
        let mut out = Vec::new();
        append_double(text.as_bytes(), &mut out)?;
        assert_eq!(out[..4], [0, 0, 0, 8]);
        Ok(f64::from_be_bytes(out[4..].try_into().unwrap()))
    }

    fn real(text: &str) -> Result<f32, Misfit> {
        let mut out = Vec::new();
        append_real(text.as_bytes(), &mut out)?;
        assert_eq!(out[..4], [0, 0, 0, 4]);
        Ok(f32::from_be_bytes(out[4..].try_into().unwrap()))
    }

    #[test]
    fn decimal_and_exponent_notation_are_read_to_the_nearest() {
        let cases = [
            ("0.766126609", 0.766126609),
            ("-2", -2.0),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("1E3", 1000.0),
            ("1.5e-3", 0.0015),
            ("0e999", 0.0),
            ("1.7976931348623157e308", f64::MAX),
            ("5e-324", 5e-324),
        ];
        for (text, number) in cases {
            assert_eq!(double(text), Ok(number), "{text}");
        }
        assert_eq!(real("0.1"), Ok(0.1));
        assert_eq!(real("1e-45"), Ok(1e-45));
    }

    #[test]
    fn words_and_malformed_numbers_are_no_numbers() {
        for text in [
            "",
            ".",
            "-",
            "e5",
            "1e",
            "1,5",
            "NaN",
            "inf",
            "-Infinity",
            "0x10",
            "1 2",
            "1.2.3",
            "++1",
            "1f",
            "1\u{a0}",
        ] {
            assert_eq!(double(text), Err(Misfit::Type), "{text}");
            assert_eq!(real(text), Err(Misfit::Type), "{text}");
        }
    }

    #[test]
    fn overflow_and_underflow_are_out_of_range() {
        for text in ["1e309", "-1e309", "1e-400", "-0.1e-400"] {
            assert_eq!(double(text), Err(Misfit::Range), "{text}");
        }
        for text in ["1e39", "3.5e38", "1e-50"] {
            assert_eq!(real(text), Err(Misfit::Range), "{text}");
        }
    }
}
