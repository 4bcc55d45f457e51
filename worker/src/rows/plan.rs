//! A dataset's spec made ready for its rows: compiled once, used by all files of a task.

use longshore_common::dataset::{Csv, Dataset, FILE_ID_COLUMN, LINE_COLUMN, Rejects};
use thiserror::Error;

use super::{column::ColumnPlan, dialect::Dialect};

/// How the files of a dataset are read, split and typed.
#[derive(Debug)]
pub struct RowPlan {
    pub(super) csv: Csv,
    pub(super) dialect: Dialect,
    pub(super) limits: Rejects,
    /// In the order in which tuples carry them; behind them come `_file_id` and `_line`.
    pub(super) columns: Vec<ColumnPlan>,
}

/// A rule of the spec that cannot be applied to values: a bound that is no value of its type, say.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("key `{key}`: {message}")]
pub struct PlanError {
    /// The key of the spec to change.
    pub key: String,
    /// What is wrong with it and what is allowed.
    pub message: String,
}

impl RowPlan {
    /// Compiles the spec.
    ///
    /// # Errors
    ///
    /// A rule that no value could be held against; `dataset apply` refuses such a spec.
    pub fn compile(dataset: &Dataset) -> Result<Self, PlanError> {
        let columns = dataset.columns.iter().map(|column| ColumnPlan::compile(column, &dataset.csv));
        Ok(Self {
            csv: dataset.csv.clone(),
            dialect: Dialect::new(&dataset.csv),
            limits: dataset.rejects.clone(),
            columns: columns.collect::<Result<_, _>>()?,
        })
    }

    /// How the files are written, and what bounds them.
    pub(crate) fn csv(&self) -> &Csv {
        &self.csv
    }

    /// Names of the target columns in the order in which tuples carry them: the spec's columns, then `_file_id` (int8)
    /// and `_line` (int4).
    pub fn target_columns(&self) -> Vec<&str> {
        let spec = self.columns.iter().map(|column| column.name.as_str());
        spec.chain([FILE_ID_COLUMN, LINE_COLUMN]).collect()
    }
}
