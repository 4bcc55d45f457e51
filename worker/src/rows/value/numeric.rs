//! Exact decimal numbers in Postgres' binary form: how many base-10000 digits there are, the first one's weight (its
//! power of 10000), the sign, the scale to show, then the digits.

use super::{Misfit, signed};

pub(super) const MINUS: u16 = 0x4000;
/// Larger exponents change nothing: no record is long enough for zeros that would make up for them.
const MAX_EXPONENT: i64 = 1 << 40;

pub(super) fn append(text: &[u8], precision: u16, scale: u16, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let decimal = Decimal::read(text)?;
    let Some((high, low)) = decimal.significant_powers() else {
        append_head(0, 0, 0, scale, out);
        return Ok(());
    };
    // Digits before the point have the powers from 0 to below precision - scale, those after it from -1 to -scale.
    if high >= i64::from(precision) - i64::from(scale) || low < -i64::from(scale) {
        return Err(Misfit::Range);
    }
    let (first, last) = (high.div_euclid(4), low.div_euclid(4));
    let sign = if decimal.negative { MINUS } else { 0 };
    // At most 1000 decimal digits, so that both fit by far.
    append_head((first - last + 1) as u16, first as i16, sign, scale, out);
    for weight in (last..=first).rev() {
        let places = (4 * weight..4 * weight + 4).rev();
        let digit = places.fold(0, |digit, power| digit * 10 + u16::from(decimal.digit_at(power)));
        out.extend_from_slice(&digit.to_be_bytes());
    }
    Ok(())
}

fn append_head(count: u16, weight: i16, sign: u16, scale: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&(8 + 2 * i32::from(count)).to_be_bytes());
    for word in [count, weight as u16, sign, scale] {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

/// A number as it is written, taken apart.
struct Decimal<'a> {
    negative: bool,
    integral: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn read(text: &'a [u8]) -> Result<Self, Misfit> {
        let (negative, rest) = signed(text);
        let (integral, rest) = digits(rest);
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => digits(rest),
            _ => (&rest[..0], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => read_exponent(rest)?,
            _ => return Err(Misfit::Type),
        };
        if integral.is_empty() && fraction.is_empty() {
            return Err(Misfit::Type);
        }
        Ok(Self { negative, integral, fraction, exponent })
    }

    /// Powers of ten of the first and the last digit that is not zero; `None` for a zero.
    fn significant_powers(&self) -> Option<(i64, i64)> {
        let nonzero = |&byte: &u8| byte != b'0';
        let count = self.integral.len();
        let first = match self.integral.iter().position(nonzero) {
            Some(index) => index,
            None => count + self.fraction.iter().position(nonzero)?,
        };
        let last = match self.fraction.iter().rposition(nonzero) {
            Some(index) => count + index,
            None => self.integral.iter().rposition(nonzero)?,
        };
        let power = |index: usize| self.point() - 1 - index as i64;
        Some((power(first), power(last)))
    }

    /// How many of the written digits stand before the point once the exponent has moved it.
    fn point(&self) -> i64 {
        self.integral.len() as i64 + self.exponent
    }

    /// The digit at a power of ten; zero where none is written.
    #[inline]
    fn digit_at(&self, power: i64) -> u8 {
        let Ok(index) = usize::try_from(self.point() - 1 - power) else { return 0 };
        let written = match index.checked_sub(self.integral.len()) {
            None => self.integral.get(index),
            Some(index) => self.fraction.get(index),
        };
        written.map_or(0, |byte| byte - b'0')
    }
}

/// Splits off the leading digits.
#[inline]
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let length = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(length)
}

fn read_exponent(text: &[u8]) -> Result<i64, Misfit> {
    let (negative, rest) = signed(text);
    let (written, rest) = digits(rest);
    if written.is_empty() || !rest.is_empty() {
        return Err(Misfit::Type);
    }
    let add = |exponent: i64, byte: &u8| MAX_EXPONENT.min(exponent * 10 + i64::from(byte - b'0'));
    let exponent = written.iter().fold(0, add);
    Ok(if negative { -exponent } else { exponent })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str, precision: u16, scale: u16) -> Result<Vec<u16>, Misfit> {
        let mut out = Vec::new();
        append(text.as_bytes(), precision, scale, &mut out)?;
        assert_eq!(out[..4], (out.len() as i32 - 4).to_be_bytes());
        Ok(out[4..].chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
    }

    #[test]
    fn numerics_have_the_bytes_that_postgres_gives_them() {
        // As Postgres 15 sends them with `COPY (SELECT …) TO STDOUT (FORMAT binary)`, in 16-bit words.
        let cases: [(&str, u16, u16, &[u16]); 15] = [
            ("0", 14, 2, &[0, 0, 0, 2]),
            ("-0.00", 14, 2, &[0, 0, 0, 2]),
            ("9120", 14, 2, &[1, 0, 0, 2, 9120]),
            ("9120.5", 14, 2, &[2, 0, 0, 2, 9120, 5000]),
            ("0.01", 14, 2, &[1, 0xffff, 0, 2, 100]),
            ("-0.05", 14, 2, &[1, 0xffff, 0x4000, 2, 500]),
            ("10000", 14, 2, &[1, 1, 0, 2, 1]),
            ("100000000", 14, 2, &[1, 2, 0, 2, 1]),
            ("123456789012.34", 14, 2, &[4, 2, 0, 2, 1234, 5678, 9012, 3400]),
            ("0.0001", 10, 4, &[1, 0xffff, 0, 4, 1]),
            ("0.00010001", 12, 8, &[2, 0xffff, 0, 8, 1, 1]),
            ("0.00001", 10, 5, &[1, 0xfffe, 0, 5, 1000]),
            ("-98765.4321", 20, 6, &[3, 1, 0x4000, 6, 9, 8765, 4321]),
            ("1e5", 14, 2, &[1, 1, 0, 2, 10]),
            ("99999999999999999999", 20, 0, &[5, 4, 0, 0, 9999, 9999, 9999, 9999, 9999]),
        ];
        for (text, precision, scale, expected) in cases {
            assert_eq!(words(text, precision, scale).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_same_number_has_the_same_bytes_however_it_is_written() {
        for text in [
            "1250",
            "+1250",
            "001250.00",
            "1250.",
            "1250.0000000",
            "1.25e3",
            "125E+1",
            "0.0125e5",
            "1250000e-3",
        ] {
            assert_eq!(words(text, 6, 2), words("1250", 6, 2), "{text}");
        }
        for text in ["0", "-0", ".0", "0e999999999999999999", "000.000", "-0e-5"] {
            assert_eq!(words(text, 6, 2), Ok(vec![0, 0, 0, 2]), "{text}");
        }
    }

    #[test]
    fn what_would_be_cut_or_rounded_is_out_of_range() {
        for text in
            ["1.001", "10000", "-99999.99", "1e4", "1e999999999999999999", "1e-999999999999999999", "0.001"]
        {
            assert_eq!(words(text, 6, 2), Err(Misfit::Range), "{text}");
        }
        assert_eq!(words("9999.99", 6, 2).map(|words| words.len()), Ok(6));
        assert_eq!(words("0.5", 2, 2).map(|words| words.len()), Ok(5));
        assert_eq!(words("1", 2, 2), Err(Misfit::Range));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", ".", "-", "+-1", "1,5", "1.2.3", "e5", "1e", "1e+", "1e1.5", "NaN", "Infinity", "1 000",
            "0x1", "$5",
        ] {
            assert_eq!(words(text, 6, 2), Err(Misfit::Type), "{text}");
        }
    }

    /// The number that the words stand for, with the scale's digits after the point.
    fn written_out(words: &[u16]) -> String {
        let [count, weight, sign, scale] = words[..4] else { panic!("no head") };
        assert_eq!(usize::from(count), words.len() - 4);
        let weight = i32::from(weight as i16);
        let group =
            |at: i32| usize::try_from(weight - at).ok().and_then(|index| words[4..].get(index)).unwrap_or(&0);
        let integral: String = (0..=weight.max(0)).rev().map(|at| format!("{:04}", group(at))).collect();
        let fraction: String =
            (1..=i32::from(scale.div_ceil(4))).map(|at| format!("{:04}", group(-at))).collect();
        let sign = if sign == MINUS { "-" } else { "" };
        let integral = match integral.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        };
        format!("{sign}{integral}.{}", &fraction[..usize::from(scale)])
    }

    proptest! {
        #[test]
        fn every_digit_is_kept(integral in "(0|[1-9][0-9]{0,60})", fraction in "[0-9]{0,60}", minus: bool) {
            let scale = fraction.len() as u16;
            let text = format!("{}{integral}.{fraction}", if minus { "-" } else { "" });
            let is_zero = !text.contains(|digit: char| ('1'..='9').contains(&digit));
            let expected = if is_zero { text.trim_start_matches('-') } else { &text };
            let words = words(&text, 61 + scale, scale).unwrap();
            prop_assert!(is_zero || (words[4] != 0 && words.last() != Some(&0)), "no zeros at the ends: {words:?}");
            prop_assert_eq!(written_out(&words), expected);
        }
    }
}
