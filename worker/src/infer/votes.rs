//! Whether a file's first record names the columns of the others.

use super::header::Cell;

/// The share of a column's values that look like numbers or dates if it holds such.
const MIN_TYPED_SHARE: f64 = 0.9;
/// Names that are years, one after the other, are names.
const MIN_YEARS: usize = 3;
const YEARS: std::ops::RangeInclusive<i64> = 1800..=2200;

/// How many columns say that the first record names them, and how many that it is a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Votes {
    for_names: usize,
    for_values: usize,
}

impl Votes {
    pub(super) fn count(first: &[Cell], rest: &[Vec<Cell>]) -> Self {
        if names_all_but_the_first(first, rest) || has_years(first) {
            return Self { for_names: first.len(), for_values: 0 };
        }
        let mut votes = Self::default();
        for (place, (cell, is_quoted)) in first.iter().enumerate().filter(|(_, (cell, _))| !cell.is_empty()) {
            let values =
                || rest.iter().filter_map(|row| row.get(place)).filter(|(value, _)| !value.is_empty());
            let (typed, all) = (values().filter(|(value, _)| looks_typed(value)).count(), values().count());
            let is_typed = all > 0 && typed as f64 >= MIN_TYPED_SHARE * all as f64;
            // A name would hardly come again among the values.
            let comes_again = || {
                rest.iter().any(|row| row.get(place).is_some_and(|(value, _)| value == cell) && row != first)
            };
            if *is_quoted && all > 0 && values().all(|(_, is_quoted)| !is_quoted)
                || is_typed && !looks_typed(cell)
            {
                votes.for_names += 1;
            } else if is_typed || comes_again() {
                votes.for_values += 1;
            }
        }
        votes
    }

    /// Whether the first record names the columns. In doubt it does.
    pub(super) fn are_for_names(self) -> bool {
        self.for_names >= self.for_values
    }

    /// Whether nothing tells.
    pub(super) fn is_a_guess(self) -> bool {
        self.for_names == self.for_values
    }
}

/// R and pandas write the rows' own names first, in a column without one.
fn names_all_but_the_first(first: &[Cell], rest: &[Vec<Cell>]) -> bool {
    let is_first_empty = |row: &[Cell]| row.first().is_some_and(|(cell, _)| cell.is_empty());
    let named = first.iter().skip(1).filter(|(cell, _)| !cell.is_empty()).count();
    named > 0
        && named + 1 == first.len()
        && is_first_empty(first)
        && !rest.is_empty()
        && !rest.iter().any(|row| is_first_empty(row))
}

/// Whether the record's numbers are years that follow each other.
fn has_years(first: &[Cell]) -> bool {
    let numbers: Vec<i64> = first.iter().filter_map(|(cell, _)| cell.trim().parse().ok()).collect();
    numbers.len() >= MIN_YEARS
        && numbers.iter().all(|year| YEARS.contains(year))
        && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

/// Whether a text looks like a number, a date or a time.
fn looks_typed(text: &str) -> bool {
    let text = text.trim();
    let allowed = |byte: &u8| byte.is_ascii_digit() || b"+-.,/: 'eETZ%".contains(byte);
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| allowed(&byte))
        && text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | ','))
}
