//! Numerics that are plainly written and small enough for a `u64`: nearly all that there are.

use super::{numeric::MINUS, plain};

/// A `u64` has room for so many digits.
const MAX_DIGITS: usize = 19;

const POWERS_OF_TEN: [u64; MAX_DIGITS + 1] = {
    let mut powers = [1; MAX_DIGITS + 1];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

pub(super) fn append_plain(
    head: &[u8],
    length: usize,
    precision: u16,
    scale: u16,
    out: &mut Vec<u8>,
) -> bool {
    // Zeros that make the fraction a whole count of base-10000 digits.
    let padding = usize::from(scale.next_multiple_of(4) - scale);
    if usize::from(precision) + padding > MAX_DIGITS {
        return false;
    }
    let Some(decimal) = plain::decimal(head, length) else { return false };
    // What has more digits behind the point than the type may have zeros there, which is for the slow way to see.
    let Some(missing) = usize::from(scale).checked_sub(decimal.scale) else { return false };
    if decimal.digits >= POWERS_OF_TEN[usize::from(precision)] / POWERS_OF_TEN[missing] {
        return false;
    }
    append_units(decimal.digits * POWERS_OF_TEN[missing + padding], decimal.negative, scale, out);
    true
}

/// Appends a number in units of the last base-10000 digit that its scale asks for.
#[inline(always)]
fn append_units(mut units: u64, negative: bool, scale: u16, out: &mut Vec<u8>) {
    // Base-10000 digits from the last to the first, each as 16 bits: five at most.
    let (mut digits, mut count) = (0_u128, 0_u32);
    while units > 0 {
        digits |= u128::from(units % 10_000) << (16 * count);
        units /= 10_000;
        count += 1;
    }
    // Zeros at the end are not stored, and a zero has neither digits, weight nor sign.
    let (stored, weight, sign) = match count {
        0 => (0, 0, 0),
        _ => {
            let weight = count as i16 - 1 - scale.div_ceil(4) as i16;
            (count as u16 - digits.trailing_zeros() as u16 / 16, weight, if negative { MINUS } else { 0 })
        }
    };
    let mut field = [0; 28];
    field[..4].copy_from_slice(&(8 + 2 * u32::from(stored)).to_be_bytes());
    field[4..6].copy_from_slice(&stored.to_be_bytes());
    field[6..8].copy_from_slice(&weight.to_be_bytes());
    field[8..10].copy_from_slice(&sign.to_be_bytes());
    field[10..12].copy_from_slice(&scale.to_be_bytes());
    field[12..].copy_from_slice(&digits.checked_shl(128 - 16 * count).unwrap_or(0).to_be_bytes());
    // A write of a fixed length is cheaper than one of the right length.
    let length = out.len() + 12 + 2 * usize::from(stored);
    out.extend_from_slice(&field);
    out.truncate(length);
}
