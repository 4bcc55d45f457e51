//! The figures and their goals, one module a kind.

mod bulk;

use std::pin::Pin;

use crate::{Bench, pairs::Measured};

/// All figures, in the order in which they are measured.
pub(crate) const ALL: [Figure; 2] = [bulk::ONE, bulk::TWO];

/// A number that is held against a goal.
pub(crate) struct Figure {
    /// As in `bench.jsonl`.
    pub(crate) name: &'static str,
    /// The figure should be at least this.
    pub(crate) goal: f64,
    /// What the figure and its goal count.
    pub(crate) unit: &'static str,
    /// Measures it; prints the conditions that are its own.
    pub(crate) measure: for<'a> fn(&'a Bench, &'a Figure) -> Measuring<'a>,
}

/// A measurement under way.
pub(crate) type Measuring<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Measured>> + 'a>>;
