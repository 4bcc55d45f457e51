//! Figures: numbers that are held against goals, printed for people and written as JSON lines for programs.

use std::{fmt, fs::OpenOptions, io::Write, path::Path};

use anyhow::Context;
use serde::Serialize;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// The more, the better.
    AtLeast(f64),
    /// The less, the better.
    AtMost(f64),
}

impl Goal {
    /// The number alone.
    pub fn limit(self) -> f64 {
        match self {
            Self::AtLeast(limit) | Self::AtMost(limit) => limit,
        }
    }

    /// Never by a value that is no number.
    pub fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(limit) => write!(formatter, "≥ {limit}"),
            Self::AtMost(limit) => write!(formatter, "≤ {limit}"),
        }
    }
}

/// Appends one JSON line to the file.
pub fn append_line(path: &Path, line: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// The value as a JSON line has it, to three decimals.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The middle value, or the mean of the two in the middle; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// 1234567 as 1,234,567.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_on_its_side_of_the_limit_and_at_it() {
        let cases = [
            (Goal::AtLeast(1.5), 1.4, false),
            (Goal::AtLeast(1.5), 1.5, true),
            (Goal::AtLeast(1.5), 1.6, true),
            (Goal::AtMost(1.5), 1.4, true),
            (Goal::AtMost(1.5), 1.5, true),
            (Goal::AtMost(1.5), 1.6, false),
            (Goal::AtLeast(1.5), f64::NAN, false),
            (Goal::AtMost(1.5), f64::NAN, false),
        ];
        for (goal, value, met) in cases {
            assert_eq!(goal.is_met_by(value), met, "{goal}: {value}");
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let cases: [(&[f64], f64); 4] =
            [(&[1.0], 1.0), (&[3.0, 1.0], 2.0), (&[9.0, 1.0, 2.0], 2.0), (&[4.0, 1.0, 3.0, 2.0], 2.5)];
        for (values, expected) in cases {
            assert!((median(values) - expected).abs() < 1e-9, "{values:?}");
        }
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
