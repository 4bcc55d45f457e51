//! A whole input through the pure middle.

use std::sync::Arc;

use longshore_common::dataset::{Dataset, parse_spec};
use longshore_worker::rows::{Counts, FileError, FileRows, Output, RowPlan};
use toml::{Table, Value};

/// The file's id in every tuple.
pub(crate) const FILE_ID: i64 = 7_000_000_001;

/// Everything that a user of the pure middle sees.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) output: Output,
    pub(crate) counts: Counts,
    pub(crate) result: Result<(), FileError>,
}

impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        let parts = |reading: &Self| (reading.output.rows, reading.counts);
        parts(self) == parts(other)
            && self.output.tuples == other.output.tuples
            && self.output.rejects == other.output.rejects
            && self.result == other.result
    }
}

/// A dataset whose spec has these tables; `None` if it is no spec that `dataset apply` takes.
pub(crate) fn dataset(csv: Table, columns: Vec<Table>) -> Option<Dataset> {
    let mut spec = toml::toml! {
        name = "fuzzed"
        source = "file:///srv/fuzzed"
        target = { table = "reporting.fuzzed" }
        rejects = { max_rows = 1_000_000, max_ratio = 1.0 }
    };
    spec.insert("csv".to_owned(), Value::Table(csv));
    spec.insert("columns".to_owned(), Value::Array(columns.into_iter().map(Value::Table).collect()));
    parse_spec("fuzzed.toml", &toml::to_string(&spec).unwrap(), |_| None).ok()
}

/// A spec that is taken may still have a rule that no value can be held against.
pub(crate) fn plan(dataset: &Dataset) -> Option<Arc<RowPlan>> {
    RowPlan::compile(dataset).ok().map(Arc::new)
}

/// Reads the chunks as one file.
pub(crate) fn read<'a>(plan: &Arc<RowPlan>, chunks: impl IntoIterator<Item = &'a [u8]>) -> Reading {
    let mut rows = FileRows::new(plan.clone(), FILE_ID);
    let mut output = Output::default();
    let pushed = chunks.into_iter().try_for_each(|chunk| rows.push(chunk, &mut output));
    let result = pushed.and_then(|()| rows.finish(&mut output));
    Reading { output, counts: rows.counts(), result }
}
