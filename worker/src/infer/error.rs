//! Why nothing can be inferred.

use longshore_common::dataset::MAX_COLUMNS;
use thiserror::Error;

/// Why no spec can be inferred from the samples. None shows a value of a file, except that a header's names are shown.
#[derive(Debug, Error)]
pub enum InferError {
    /// A file cannot be read, or is a broken archive.
    #[error("{file}: {reason}")]
    Unreadable {
        /// As the caller named it.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nothing to infer from.
    #[error("no file has a row or a header: {files}; {advice}")]
    Empty {
        /// As the caller named them.
        files: String,
        /// What to do next.
        advice: &'static str,
    },
    /// Two files cannot be read in one encoding.
    #[error("{first} is UTF-8 and {second} is not; one spec has one encoding, so infer from each by itself")]
    MixedEncodings {
        /// As the caller named it.
        first: String,
        /// As the caller named it.
        second: String,
    },
    /// Two files do not have the same columns.
    #[error(
        "{file} has other columns than {first}: {difference}; one spec has one header, so infer from each by itself"
    )]
    OtherColumns {
        /// As the caller named it.
        file: String,
        /// As the caller named it.
        first: String,
        /// Which.
        difference: String,
    },
    /// More columns than a table of Postgres can have.
    #[error("{count} columns are more than the {MAX_COLUMNS} that a table can have")]
    TooManyColumns {
        /// In the files.
        count: usize,
    },
    /// What was inferred is no spec.
    #[error("{0}; this is a fault of Longshore, please report it")]
    Fault(String),
}
