//! What the values of one column have in common, kept in a few numbers however many they are.

use std::collections::BTreeMap;

use super::catalog::{Catalog, INTEGERS, NOTATIONS};
use crate::rows::ValueTest;

/// Texts that stand for no value in files of many programs, where a column otherwise holds values of a type.
const NULL_WORDS: [&str; 13] =
    ["NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null", "Null", "None", "NaN", "nan", "\\N", "(null)"];
/// The same, but so short or so odd that they are taken for no value only in the columns that hold them.
const NULL_SIGNS: [&str; 8] = ["-", "--", ".", "..", "?", "*", "0000-00-00", "0000-00-00 00:00:00"];
/// What is longer is no word for true or false.
const MAX_WORD_CHARS: usize = 5;
/// So many digits behind a plus are a telephone number.
const MIN_PHONE_DIGITS: usize = 7;

/// Whether a null text counts as one in all columns.
pub(super) fn is_null_word(token: &str) -> bool {
    NULL_WORDS.contains(&token)
}

/// The values of one column so far.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    pub(super) rows: u64,
    /// Fields without text.
    pub(super) empty: u64,
    /// Unquoted fields that hold one of the null texts.
    pub(super) tokens: BTreeMap<&'static str, u64>,
    /// Fields that hold one in quotes, which makes it a text.
    pub(super) quoted_tokens: u64,
    /// All other fields.
    pub(super) values: u64,
    /// Those that look like numbers, whether or not the others do.
    pub(super) number_like: u64,
    /// The different values in lower case, if they are two at most and all short.
    pub(super) words: Option<Vec<String>>,
    pub(super) numbers: Numbers,
    /// A bit for each form of dates and times that takes all values.
    pub(super) times: u128,
    pub(super) is_uuid: bool,
}

/// What is known of a column as long as all of its values are numbers.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    /// All values are numbers in one notation at least.
    pub(super) fit: bool,
    /// Infinities.
    pub(super) infinite: u64,
    /// Digits with zeros before them, as in codes; they fit no number.
    pub(super) leading_zeros: bool,
    /// Of the values that every notation writes alike.
    pub(super) plain: Digits,
    /// Of the others, for each notation that takes them all.
    pub(super) notations: [Option<Digits>; NOTATIONS.len()],
}

/// The size of the numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Digits {
    pub(super) integral: usize,
    pub(super) fraction: usize,
    pub(super) has_exponent: bool,
    /// Which of the whole numbers' types is wide enough; their count if none is.
    pub(super) integer: usize,
}

impl Digits {
    pub(super) fn join(self, other: Self) -> Self {
        Self {
            integral: self.integral.max(other.integral),
            fraction: self.fraction.max(other.fraction),
            has_exponent: self.has_exponent || other.has_exponent,
            integer: self.integer.max(other.integer),
        }
    }
}

impl Profile {
    pub(super) fn new(catalog: &Catalog) -> Self {
        Self {
            rows: 0,
            empty: 0,
            tokens: BTreeMap::new(),
            quoted_tokens: 0,
            values: 0,
            number_like: 0,
            words: Some(Vec::new()),
            numbers: Numbers {
                fit: true,
                infinite: 0,
                leading_zeros: false,
                plain: Digits::default(),
                notations: [Some(Digits::default()); NOTATIONS.len()],
            },
            times: (1 << catalog.times.len()) - 1,
            is_uuid: true,
        }
    }

    /// Takes a field into account.
    pub(super) fn note(&mut self, field: &[u8], is_quoted: bool, catalog: &mut Catalog) {
        self.rows += 1;
        let text = without_spaces(field);
        if text.is_empty() {
            self.empty += 1;
            return;
        }
        if let Some(token) = null_token(text) {
            match is_quoted {
                true => self.quoted_tokens += 1,
                false => *self.tokens.entry(token).or_default() += 1,
            }
            return;
        }
        self.values += 1;
        self.number_like += u64::from(is_number_like(text));
        self.note_word(text);
        self.numbers.note(text, catalog);
        self.note_time(text, catalog);
        self.is_uuid = self.is_uuid && catalog.uuid.takes(text);
    }

    fn note_word(&mut self, text: &[u8]) {
        let Some(words) = &mut self.words else { return };
        let word = std::str::from_utf8(text).unwrap_or_default().to_lowercase();
        if !words.contains(&word) {
            words.push(word);
        }
        if words.len() > 2 || text.len() > MAX_WORD_CHARS {
            self.words = None;
        }
    }

    fn note_time(&mut self, text: &[u8], catalog: &mut Catalog) {
        let mut left = self.times;
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            if !catalog.times[place].takes(text) {
                self.times &= !(1 << place);
            }
        }
    }
}

impl Numbers {
    fn note(&mut self, text: &[u8], catalog: &mut Catalog) {
        if !self.fit {
            return;
        }
        if is_infinite(text) {
            self.infinite += 1;
            return;
        }
        self.leading_zeros |= has_leading_zero(text);
        self.fit = !self.leading_zeros && !is_phone_number(text) && self.measure(text, catalog);
    }

    /// Whether the text is a number in a notation that took all others too.
    fn measure(&mut self, text: &[u8], catalog: &mut Catalog) -> bool {
        let is_alike =
            !text.iter().any(|byte| matches!(byte, b'.' | b',' | b'\'' | b' ') || !byte.is_ascii());
        if is_alike {
            let tests = &mut catalog.notations[0];
            return tests.number.takes(text) && {
                self.plain = self.plain.join(Digits::of(text, b'.', self.plain.integer, &mut tests.integers));
                true
            };
        }
        for ((known, tests), notation) in self.notations.iter_mut().zip(&mut catalog.notations).zip(NOTATIONS)
        {
            let takes = !begins_with_empty_group(text, notation.thousands) && tests.number.takes(text);
            *known = known.filter(|_| takes).map(|known| {
                known.join(Digits::of(text, notation.decimal_point(), known.integer, &mut tests.integers))
            });
        }
        self.notations.iter().any(Option::is_some)
    }
}

impl Digits {
    /// Of a number with this decimal point; whole numbers' types narrower than `integer` need not be tried any more.
    fn of(text: &[u8], point: u8, integer: usize, integers: &mut [ValueTest; INTEGERS.len()]) -> Self {
        let exponent = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let mantissa = &text[..exponent.unwrap_or(text.len())];
        let at = mantissa.iter().position(|byte| *byte == point).unwrap_or(mantissa.len());
        let digits = |part: &[u8]| part.iter().filter(|byte| byte.is_ascii_digit()).count();
        let (integral, fraction) = mantissa.split_at(at);
        let is_zero = integral.iter().all(|byte| !(b'1'..=b'9').contains(byte));
        let wide_enough = (integer..INTEGERS.len()).find(|&place| integers[place].takes(text));
        Self {
            integral: if is_zero { 0 } else { digits(integral) },
            fraction: digits(fraction),
            has_exponent: exponent.is_some(),
            integer: wide_enough.unwrap_or(INTEGERS.len()),
        }
    }
}

fn without_spaces(field: &[u8]) -> &[u8] {
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let end = field.iter().rposition(|byte| *byte != b' ').map_or(start, |at| at + 1);
    &field[start..end]
}

fn null_token(text: &[u8]) -> Option<&'static str> {
    let is_it = |token: &&&'static str| token.as_bytes() == text;
    NULL_WORDS.iter().chain(&NULL_SIGNS).find(is_it).copied()
}

fn unsigned(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text)
}

fn is_infinite(text: &[u8]) -> bool {
    let word = unsigned(text);
    word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity")
}

fn has_leading_zero(text: &[u8]) -> bool {
    is_number_like(text) && matches!(unsigned(text), [b'0', next, ..] if next.is_ascii_digit())
}

/// `0.125` is a fraction: nobody groups thousands where there are none.
fn begins_with_empty_group(text: &[u8], thousands: Option<char>) -> bool {
    matches!(unsigned(text), [b'0', next, ..] if thousands == Some(char::from(*next)))
}

/// Digits with a point or comma, or more of them around groups of three: `31.12.2023` is a day.
fn is_number_like(text: &[u8]) -> bool {
    let unsigned = unsigned(text);
    unsigned.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.')
        && unsigned.iter().all(|byte| byte.is_ascii_digit() || is_separator(byte))
        && groups_between(unsigned).all(|group| group.len() == 3)
}

fn is_separator(byte: &u8) -> bool {
    matches!(byte, b'.' | b',')
}

/// The digits that have a separator on both sides.
fn groups_between(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let separators = text.iter().filter(|byte| is_separator(byte)).count();
    text.split(is_separator).skip(1).take(separators.saturating_sub(1))
}

fn is_phone_number(text: &[u8]) -> bool {
    text.starts_with(b"+") && text.len() > MIN_PHONE_DIGITS && text[1..].iter().all(u8::is_ascii_digit)
}
