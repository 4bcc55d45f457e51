//! A whole input through the pure middle.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use longshore_common::dataset::{Dataset, parse_spec};
use longshore_worker::rows::{Counts, FileError, FileRows, Output, RowPlan};
use toml::{Table, Value};

/// The file's id in every tuple.
pub(crate) const FILE_ID: i64 = 7_000_000_001;
const MAX_CACHED_PLANS: usize = 10_000;

/// Everything that a user of the pure middle sees.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) output: Output,
    pub(crate) counts: Counts,
    pub(crate) result: Result<(), FileError>,
}

impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        let Output { tuples, rows, rejects } = &self.output;
        let other_output = &other.output;
        (*rows, self.counts) == (other_output.rows, other.counts)
            && *tuples == other_output.tuples
            && *rejects == other_output.rejects
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

thread_local! {
    static PLANS: RefCell<HashMap<Vec<u8>, Option<Arc<RowPlan>>>> = RefCell::default();
}

/// The plan of the dataset that these settings choose; `None` if that is no dataset, or has a rule that cannot be
/// applied. Kept, because reading a spec takes longer than reading a small file by it.
pub(crate) fn plan(settings: &[u8], dataset: impl FnOnce() -> Option<Dataset>) -> Option<Arc<RowPlan>> {
    PLANS.with_borrow_mut(|plans| {
        if let Some(plan) = plans.get(settings) {
            return plan.clone();
        }
        if plans.len() >= MAX_CACHED_PLANS {
            plans.clear();
        }
        let plan = dataset().and_then(|dataset| RowPlan::compile(&dataset).ok()).map(Arc::new);
        plans.insert(settings.to_owned(), plan.clone());
        plan
    })
}

/// Reads the chunks as one file.
pub(crate) fn read<'a>(plan: &Arc<RowPlan>, chunks: impl IntoIterator<Item = &'a [u8]>) -> Reading {
    let mut rows = FileRows::new(plan.clone(), FILE_ID);
    let mut output = Output::default();
    let pushed = chunks.into_iter().try_for_each(|chunk| rows.push(chunk, &mut output));
    let result = pushed.and_then(|()| rows.finish(&mut output));
    Reading { output, counts: rows.counts(), result }
}
