//! Whether the spec loads the samples, by the code of a load.

use std::{collections::HashSet, sync::Arc};

use longshore_common::dataset::{Dataset, Rejects};

use super::{
    error::InferError,
    sample::{Extent, Sample, Seen},
};
use crate::rows::{FileError, FileRows, Output, RowPlan};

/// What became of the samples' rows.
#[derive(Debug, Default)]
pub(super) struct Verified {
    pub(super) rows: u64,
    pub(super) rows_rejected: u64,
    /// Columns that reject a value.
    pub(super) columns: HashSet<String>,
    pub(super) has_long_records: bool,
    /// Bytes that are no text in the files' encoding.
    pub(super) has_undecodable: bool,
    /// Rows of each sample.
    pub(super) sample_rows: Vec<u64>,
}

pub(super) fn verify(dataset: &Dataset, samples: &[Sample]) -> Result<Verified, InferError> {
    // How many rejects a file may have is another question.
    let unlimited = Dataset { rejects: Rejects { max_rows: u32::MAX, max_ratio: 1.0 }, ..dataset.clone() };
    let plan = RowPlan::compile(&unlimited).map_err(|error| InferError::Fault(error.to_string()))?;
    let plan = Arc::new(plan);
    let mut verified = Verified::default();
    for sample in samples {
        let mut rows = FileRows::new(plan.clone(), 0);
        let mut output = Output::default();
        let mut outcome = Ok(());
        let extent = sample.read(|chunk| {
            outcome = rows.push(chunk, &mut output);
            verified.take(&mut output);
            if outcome.is_ok() { Seen::More } else { Seen::Enough }
        })?;
        // What cuts the sample off may have cut its last record.
        if extent == Extent::Whole && outcome.is_ok() {
            outcome = rows.finish(&mut output);
            verified.take(&mut output);
        }
        outcome.map_err(|error| refused(sample, &error))?;
        let counts = rows.counts();
        verified.rows += counts.rows_read;
        verified.rows_rejected += counts.rows_rejected;
        verified.sample_rows.push(counts.rows_read);
    }
    Ok(verified)
}

fn refused(sample: &Sample, error: &FileError) -> InferError {
    InferError::Unreadable { file: sample.name.clone(), reason: error.to_string() }
}

impl Verified {
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
