//! The type and notation of a column that holds numbers.

use longshore_common::dataset::ColumnType;

use super::{
    catalog::{INTEGERS, NOTATIONS, Notation},
    decide::{Decision, agreed},
    profile::{Digits, Profile},
};

/// Longer fractions are what computers print of binary numbers.
const MAX_FRACTION: usize = 6;
/// Digits before the decimal point that are allowed for, more than any sample shows.
const ROOM: usize = 12;
/// What a whole number has at most, before it is a code.
const MAX_INTEGRAL: usize = 38;

/// `decimal_comma` is what other columns say of commas. None if the column holds other texts too.
pub(super) fn number(profile: &Profile, decimal_comma: Option<bool>) -> Option<Decision> {
    let numbers = &profile.numbers;
    if !numbers.fit || numbers.infinite == profile.values {
        return None;
    }
    let place = match notation(profile, decimal_comma) {
        Ok(place) => place,
        Err(note) => return Some(Decision::text().noted(note)),
    };
    let digits = numbers.plain.join(numbers.notations[place].unwrap_or_default());
    let has_gaps = profile.empty > 0 || !profile.tokens.is_empty();
    let column_type = number_type(digits, numbers.infinite > 0, has_gaps)?;
    let mut decision = Decision::plain(column_type);
    let notation = NOTATIONS[place];
    decision.column.decimal_comma = notation.decimal_comma;
    decision.column.thousands = notation.thousands;
    decision.column.non_finite = numbers.infinite > 0;
    if digits.integer < INTEGERS.len() && digits.fraction > 0 && INTEGERS.contains(&column_type) {
        decision = decision.noted("Whole numbers, written with a decimal point.");
    }
    if profile.words.as_ref().is_some_and(|words| words.iter().all(|word| word == "0" || word == "1")) {
        decision = decision.noted("Only 0 and 1: boolean takes them too.");
    }
    Some(decision)
}

/// The narrowest type that holds all of them. A numeric has room before its point: there it costs nothing.
fn number_type(digits: Digits, is_infinite: bool, has_gaps: bool) -> Option<ColumnType> {
    // pandas writes whole numbers as `2.0` if values are missing among them.
    let is_whole = digits.fraction == 0 || (digits.fraction == 1 && has_gaps);
    let numeric = |integral: usize, scale: usize| {
        let precision = u16::try_from(integral + scale).ok().filter(|&digits| digits <= 1000)?;
        Some(ColumnType::Numeric { precision, scale: u16::try_from(scale).ok()? })
    };
    match digits {
        _ if is_infinite || digits.has_exponent || digits.fraction > MAX_FRACTION => Some(ColumnType::Double),
        Digits { integer, .. } if integer < INTEGERS.len() && is_whole => Some(INTEGERS[integer]),
        Digits { integral, fraction: 0, .. } if integral <= MAX_INTEGRAL => numeric(integral, 0),
        Digits { fraction: 0, .. } => None,
        Digits { integral, fraction, .. } => numeric(integral.max(ROOM), fraction),
    }
}

/// The place of the notation in which all values are read; an error is a note on what they could be.
fn notation(profile: &Profile, evidence: Option<bool>) -> Result<usize, &'static str> {
    let fits = |place: usize| profile.numbers.notations[place].is_some();
    let untouched = |place: usize| profile.numbers.notations[place] == Some(Digits::default());
    let first = (0..NOTATIONS.len()).find(|&place| fits(place)).unwrap_or(0);
    if untouched(first) {
        return Ok(0);
    }
    let comma = |place: &usize| fits(*place) && NOTATIONS[*place].decimal_comma;
    let point = |place: &usize| fits(*place) && !NOTATIONS[*place].decimal_comma;
    let find = |fits: &dyn Fn(&usize) -> bool| (0..NOTATIONS.len()).find(|place| fits(place));
    match (find(&point), find(&comma), evidence) {
        (Some(_), Some(comma), Some(true)) => Ok(comma),
        (Some(point), Some(_), Some(false)) => Ok(point),
        // `1.234` and `1,234`: nobody can know. What groups thousands in one country is the decimal point in another.
        (Some(0), Some(_), None) => Err(
            "Numbers with a point and three digits behind it: if it is the decimal point, set a number's type; \
                 if it groups thousands, also thousands = \".\" and decimal_comma = true.",
        ),
        (Some(_), Some(_), None) if is_ambiguous(profile) => Err(
            "Numbers with a comma: if it is the decimal point, set a number's type and decimal_comma = true; \
                 if it groups thousands, thousands = \",\".",
        ),
        (Some(point), _, _) => Ok(point),
        (None, Some(comma), _) => Ok(comma),
        (None, None, _) => Ok(0),
    }
}

/// Whether the commas could be decimal points as well as separators of thousands.
fn is_ambiguous(profile: &Profile) -> bool {
    let with = |wanted: Notation| {
        NOTATIONS
            .iter()
            .position(|notation| *notation == wanted)
            .is_some_and(|place| profile.numbers.notations[place].is_some())
    };
    with(Notation { decimal_comma: false, thousands: Some(',') })
        && with(Notation { decimal_comma: true, thousands: None })
}

/// Whether a column's decimal point is a comma, if it has one and nothing else fits.
pub(super) fn decimal_comma(profile: &Profile) -> Option<bool> {
    let numbers = &profile.numbers;
    if !numbers.fit {
        return None;
    }
    let fitting = NOTATIONS.iter().zip(&numbers.notations).filter(|(_, digits)| digits.is_some());
    let touched = fitting.clone().any(|(_, digits)| *digits != Some(Digits::default()));
    if !touched {
        return None;
    }
    agreed(fitting.map(|(notation, _)| notation.decimal_comma))
}
