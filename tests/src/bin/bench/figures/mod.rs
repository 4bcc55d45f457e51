//! The figures and their goals, one module a kind.

mod bad_files;
mod binary_copy;
mod bulk;
mod known_files;
mod memory;
mod new_files;
mod rejects;
mod replace;
mod small_files;
mod small_tasks;
mod status;
mod visible;
mod wide_text;

use std::pin::Pin;

use longshore_tests::Goal;

use crate::{bench::Bench, pairs::Measured};

/// All figures, in the order in which they are measured.
pub(crate) const ALL: [Figure; 16] = [
    bulk::ONE,
    bulk::TWO,
    binary_copy::FIGURE,
    wide_text::FIGURE,
    small_files::FIGURE,
    small_tasks::FIGURE,
    rejects::FIGURE,
    bad_files::FIGURE,
    visible::FIGURE,
    memory::FIGURE,
    replace::FIGURE,
    known_files::VS_FIND,
    known_files::MILLION,
    known_files::MILLION_RSS,
    new_files::FIGURE,
    status::FIGURE,
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
