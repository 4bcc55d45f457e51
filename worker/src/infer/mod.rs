//! A spec out of samples: how files are written, what their columns are called and which types hold their values.
//!
//! Each step is pure and sees the samples' bytes or records go by: `encoding`, then `dialect` and `header` on the first
//! bytes, then a `profile` of each column on all of them, from which `decide` takes types
//! (with `numbers` and `times`, out of those that the `catalog` has). `spec_text` writes the spec
//! down, and it is held against the samples as a load would: a column that rejects a value becomes text.

mod advice;
mod catalog;
mod decide;
mod dialect;
mod encoding;
mod error;
mod header;
mod names;
mod numbers;
mod profile;
#[cfg(test)]
mod properties;
mod sample;
mod spec_text;
mod survey;
mod times;
mod verify;
mod votes;

use encoding_rs::WINDOWS_1252;
use longshore_common::dataset::{ColumnType, Dataset, FileEncoding, HumanBytes};

use self::{
    catalog::Catalog,
    decide::{Decision, decide, nulls},
    spec_text::SpecText,
    survey::Survey,
    verify::{Verified, failing, verify},
};

pub use error::InferError;
pub use sample::Sample;

/// What was inferred.
#[derive(Debug)]
pub struct Inference {
    /// The spec in TOML, with comments, ready for `dataset apply`.
    pub text: String,
    /// The same spec as it reads back.
    pub dataset: Dataset,
    /// Rows in the samples.
    pub rows: u64,
    /// How many of them no types could save: they have other many fields, or quotes that never close.
    pub rows_rejected: u64,
    /// A sentence for each sample that a load would refuse as a whole, because too many of its rows are rejected.
    pub failures: Vec<String>,
}

/// Infers one spec that loads all samples. Reads each of them several times.
///
/// # Errors
///
/// The samples cannot be read, have no records, or do not go together.
pub fn infer(samples: &[Sample]) -> Result<Inference, InferError> {
    let encoding = survey::encoding(samples)?;
    let (inference, has_undecodable) = infer_in(encoding, samples)?;
    let is_guess = matches!(encoding, FileEncoding::Named(guess) if guess != WINDOWS_1252);
    if !is_guess || !has_undecodable {
        return Ok(inference);
    }
    // The guess was wrong, or a file is damaged; this encoding has a character for every byte.
    infer_in(FileEncoding::Named(WINDOWS_1252), samples).map(|(inference, _)| inference)
}

/// The inference, and whether some bytes are no text in this encoding.
fn infer_in(encoding: FileEncoding, samples: &[Sample]) -> Result<(Inference, bool), InferError> {
    let mut catalog = Catalog::new().map_err(|error| InferError::Fault(error.to_string()))?;
    let mut survey = Survey::of(samples, encoding, &mut catalog)?;
    let mut decisions = decide(&survey.profiles, &survey.layout.names, &catalog);
    let (dataset, verified) = loop {
        let (common_nulls, own_nulls) = nulls(&survey.profiles, &decisions);
        survey.layout.spec_csv.null = common_nulls;
        decisions.iter_mut().zip(own_nulls).for_each(|(decision, own)| decision.column.null = own);
        let dataset = SpecText { samples, survey: &survey, decisions: &decisions }.dataset()?;
        let verified = verify(&dataset, samples)?;
        if !widen(&mut survey, &mut decisions, &dataset, &verified) {
            break (dataset, verified);
        }
    };
    let failing = failing(&dataset, samples, &verified)?;
    let text = SpecText { samples, survey: &survey, decisions: &decisions }.finished(&verified, &failing);
    let failures = failing.into_iter().map(|sample| sample.sentence).collect();
    let (rows, rows_rejected) = (verified.rows(), verified.rows_rejected());
    Ok((Inference { text, dataset, rows, rows_rejected, failures }, verified.has_undecodable))
}

/// Makes room for what the spec rejects of the samples. False if nothing can be done.
fn widen(survey: &mut Survey, decisions: &mut [Decision], dataset: &Dataset, verified: &Verified) -> bool {
    let mut is_widened = false;
    let (spec_limit, limit) =
        (&mut survey.layout.spec_csv.max_record_bytes, survey.layout.csv.max_record_bytes);
    if verified.has_long_records && *spec_limit != limit {
        *spec_limit = limit;
        is_widened = true;
    }
    for (decision, column) in decisions.iter_mut().zip(&dataset.columns) {
        if verified.columns.contains(&column.name) && column.column_type != ColumnType::Text {
            *decision = decision.fallen_back();
            is_widened = true;
        }
    }
    is_widened
}

/// The default of a spec.
const USUAL_RECORD_BYTES: HumanBytes = HumanBytes(1 << 20);

#[cfg(test)]
mod tests;
