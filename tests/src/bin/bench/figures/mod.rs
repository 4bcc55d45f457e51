//! The figures and their goals, one module a kind.

mod bad_files;
mod binary_copy;
mod bulk;
mod memory;
mod rejects;
mod small_files;
mod small_tasks;
mod wide_text;

use std::{fmt, pin::Pin};

use crate::{bench::Bench, pairs::Measured};

/// All figures, in the order in which they are measured.
pub(crate) const ALL: [Figure; 9] = [
    bulk::ONE,
    bulk::TWO,
    binary_copy::FIGURE,
    wide_text::FIGURE,
    small_files::FIGURE,
    small_tasks::FIGURE,
    rejects::FIGURE,
    bad_files::FIGURE,
    memory::FIGURE,
];

/// A number that is held against a goal.
pub(crate) struct Figure {
    /// As in `bench.jsonl`; also the name of its dataset and table.
    pub(crate) name: &'static str,
    pub(crate) goal: Goal,
    /// What the figure and its goal count.
    pub(crate) unit: &'static str,
    /// What is measured on each side.
    pub(crate) measured_in: &'static str,
    /// Measures it; prints the conditions that are its own.
    pub(crate) measure: for<'a> fn(&'a Bench, &'a Figure) -> Measuring<'a>,
}

/// A measurement under way.
pub(crate) type Measuring<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Measured>> + 'a>>;

/// What a figure should be.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    /// The number alone.
    pub(crate) fn limit(self) -> f64 {
        match self {
            Self::AtLeast(limit) | Self::AtMost(limit) => limit,
        }
    }

    /// Never by a value that is no number.
    pub(crate) fn is_met_by(self, value: f64) -> bool {
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
}
