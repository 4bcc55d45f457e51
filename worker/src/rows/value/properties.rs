//! What holds for every number, however it is written.

use longshore_common::dataset::{Column, ColumnType};
use proptest::prelude::*;

use super::{Misfit, Notation, append};

const NUMERIC: ColumnType = ColumnType::Numeric { precision: 60, scale: 20 };

/// The value's bytes without their length.
fn typed(column_type: ColumnType, text: &str) -> Result<Vec<u8>, Misfit> {
    let mut out = Vec::new();
    append(column_type, text.as_bytes(), &mut out)?;
    assert_eq!(out[..4], (out.len() as i32 - 4).to_be_bytes());
    Ok(out[4..].to_vec())
}

fn noted(notation: &Notation, column_type: ColumnType, text: &str) -> Result<Vec<u8>, Misfit> {
    let mut out = Vec::new();
    notation.append(column_type, text.as_bytes(), &mut Vec::new(), &mut out)?;
    Ok(out[4..].to_vec())
}

/// A point between groups of three digits, a comma before the fraction.
fn european(sql: &str) -> String {
    let (sign, unsigned) = sql.strip_prefix('-').map_or(("", sql), |unsigned| ("-", unsigned));
    let (integral, fraction) = unsigned.split_once('.').map_or((unsigned, None), |(a, b)| (a, Some(b)));
    let mut grouped = String::new();
    for (index, digit) in integral.chars().enumerate() {
        if index > 0 && (integral.len() - index).is_multiple_of(3) {
            grouped.push('.');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{}", fraction.map_or(String::new(), |fraction| format!(",{fraction}")))
}

fn any_decimal() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,39})(\\.[0-9]{1,20})?"
}

/// Integers of any size, those near the limits of the types as often as others.
fn any_integer() -> impl Strategy<Value = i128> {
    let limits = prop::sample::select(vec![0, 1 << 15, 1 << 31, 1 << 63, i128::MAX >> 1]);
    let near = (limits, -3..=3_i128, any::<bool>())
        .prop_map(|(limit, distance, minus)| if minus { distance - limit } else { limit + distance });
    prop_oneof![near, any::<i128>(), any::<i64>().prop_map(i128::from), any::<i16>().prop_map(i128::from)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_integer_is_stored_exactly_or_is_out_of_range(number in any_integer(), zeros in 0..3_usize) {
        let text = match zeros {
            0 => number.to_string(),
            zeros => format!("{number}.{}", "0".repeat(zeros - 1)),
        };
        let small = i16::try_from(number).map(|number| number.to_be_bytes().to_vec());
        prop_assert_eq!(typed(ColumnType::SmallInt, &text), small.map_err(|_| Misfit::Range));
        let integer = i32::try_from(number).map(|number| number.to_be_bytes().to_vec());
        prop_assert_eq!(typed(ColumnType::Integer, &text), integer.map_err(|_| Misfit::Range));
        let big = i64::try_from(number).map(|number| number.to_be_bytes().to_vec());
        prop_assert_eq!(typed(ColumnType::BigInt, &text), big.map_err(|_| Misfit::Range));
    }

    #[test]
    fn a_finite_float_is_stored_as_the_standard_library_reads_it(bits: u64, text in any_decimal()) {
        let (double, real) = (f64::from_bits(bits), f32::from_bits(bits as u32));
        if double.is_finite() {
            for text in [double.to_string(), format!("{double:e}")] {
                prop_assert_eq!(typed(ColumnType::Double, &text), Ok(double.to_be_bytes().to_vec()), "{}", text);
            }
        }
        if real.is_finite() {
            for text in [real.to_string(), format!("{real:e}")] {
                prop_assert_eq!(typed(ColumnType::Real, &text), Ok(real.to_be_bytes().to_vec()), "{}", text);
            }
        }
        let double: f64 = text.parse().unwrap();
        prop_assert_eq!(typed(ColumnType::Double, &text), Ok(double.to_be_bytes().to_vec()));
    }

    #[test]
    fn a_number_is_the_same_in_every_notation(text in any_decimal()) {
        let sql = Column { non_finite: true, ..Column::new("a", ColumnType::Double) };
        let comma = Column { decimal_comma: true, ..Column::new("a", ColumnType::Double) };
        let grouped = Column { thousands: Some('.'), ..comma.clone() };
        let texts = [(sql, text.clone()), (comma, text.replace('.', ",")), (grouped, european(&text))];
        for (column, written) in texts {
            let notation = Notation::compile(&column).unwrap();
            for column_type in [ColumnType::SmallInt, ColumnType::BigInt, ColumnType::Real, ColumnType::Double, NUMERIC] {
                prop_assert_eq!(noted(&notation, column_type, &written), typed(column_type, &text), "{}", written);
            }
        }
    }
}
