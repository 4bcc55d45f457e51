//! Whether the spec loads the samples, by the code of a load.

use std::{collections::HashSet, sync::Arc};

use longshore_common::dataset::{Dataset, Rejects};

use super::{
    error::InferError,
    sample::{Extent, Sample, Seen},
};
use crate::rows::{Counts, FileError, FileRows, Output, RowPlan};

/// What became of the samples' rows.
#[derive(Debug, Default)]
pub(super) struct Verified {
    /// Columns that reject a value.
    pub(super) columns: HashSet<String>,
    pub(super) has_long_records: bool,
    /// Bytes that are no text in the files' encoding.
    pub(super) has_undecodable: bool,
    /// Of each sample.
    pub(super) counts: Vec<Counts>,
}

/// Reads all samples to their ends, however many rows are rejected.
pub(super) fn verify(dataset: &Dataset, samples: &[Sample]) -> Result<Verified, InferError> {
    let unlimited = Dataset { rejects: Rejects { max_rows: u32::MAX, max_ratio: 1.0 }, ..dataset.clone() };
    let plan = plan(&unlimited)?;
    let mut verified = Verified::default();
    for sample in samples {
        let (counts, outcome) = read(sample, &plan, |output| verified.take(output))?;
        outcome.map_err(|error| refused(sample, &error))?;
        verified.counts.push(counts);
    }
    Ok(verified)
}

/// A sample that a load would refuse as a whole, because too many of its rows are rejected.
#[derive(Debug)]
pub(super) struct Failing {
    /// What is wrong, in a sentence.
    pub(super) sentence: String,
    counts: Counts,
}

/// The samples that have more rejects than the spec allows.
pub(super) fn failing(
    dataset: &Dataset,
    samples: &[Sample],
    verified: &Verified,
) -> Result<Vec<Failing>, InferError> {
    let plan = plan(dataset)?;
    let mut failing = Vec::new();
    for (sample, &counts) in samples.iter().zip(&verified.counts) {
        if counts.rows_rejected == 0 {
            continue;
        }
        if let (_, Err(error)) = read(sample, &plan, |output| *output = Output::default())? {
            failing.push(Failing { sentence: format!("{} would FAIL: {error}", sample.name), counts });
        }
    }
    Ok(failing)
}

/// The usual limits, raised as far as these samples need it.
pub(super) fn limits_for(failing: &[Failing]) -> Rejects {
    failing.iter().fold(Rejects::default(), |limits, Failing { counts, .. }| {
        // One percent more than the share, which may have a fraction.
        let percent = (counts.rows_rejected * 100 / counts.rows_read.max(1) + 1).min(100);
        Rejects {
            max_rows: limits.max_rows.max(u32::try_from(counts.rows_rejected).unwrap_or(u32::MAX)),
            max_ratio: limits.max_ratio.max(percent as f64 / 100.0),
        }
    })
}

fn plan(dataset: &Dataset) -> Result<Arc<RowPlan>, InferError> {
    RowPlan::compile(dataset).map(Arc::new).map_err(|error| InferError::Fault(error.to_string()))
}

/// The sample's rows, and whether the file would load; `take` empties what each chunk gave.
fn read(
    sample: &Sample,
    plan: &Arc<RowPlan>,
    mut take: impl FnMut(&mut Output),
) -> Result<(Counts, Result<(), FileError>), InferError> {
    let mut rows = FileRows::new(plan.clone(), 0);
    let mut output = Output::default();
    let mut outcome = Ok(());
    let extent = sample.read(|chunk| {
        outcome = rows.push(chunk, &mut output);
        take(&mut output);
        if outcome.is_ok() { Seen::More } else { Seen::Enough }
    })?;
    // What cuts the sample off may have cut its last record.
    if extent == Extent::Whole && outcome.is_ok() {
        outcome = rows.finish(&mut output);
        take(&mut output);
    }
    Ok((rows.counts(), outcome))
}

fn refused(sample: &Sample, error: &FileError) -> InferError {
    InferError::Unreadable { file: sample.name.clone(), reason: error.to_string() }
}

impl Verified {
    pub(super) fn rows(&self) -> u64 {
        self.counts.iter().map(|counts| counts.rows_read).sum()
    }

    pub(super) fn rows_rejected(&self) -> u64 {
        self.counts.iter().map(|counts| counts.rows_rejected).sum()
    }

    fn take(&mut self, output: &mut Output) {
        output.tuples.clear();
        for reject in output.rejects.drain(..) {
            match (reject.rule, reject.column) {
                ("record_too_long", _) => self.has_long_records = true,
                ("encoding", _) => self.has_undecodable = true,
                (_, Some(column)) => {
                    self.columns.insert(column);
                }
                (_, None) => {}
            }
        }
    }
}
