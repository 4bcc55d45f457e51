//! What can go wrong while a task is loaded, and what follows: one match, in one place.

use longshore_common::{error::chain, store::StoreError};
use thiserror::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::rows::{FileError, PlanError};

/// Why a load ended without LOADED.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The file's content cannot be loaded.
    #[error(transparent)]
    Content(#[from] FileError),
    /// The spec has a rule that cannot be applied; `dataset apply` refuses such a spec.
    #[error("the spec of the dataset cannot be used")]
    Spec(#[from] PlanError),
    /// The archive is corrupt, ends early, or is not what its name says.
    #[error("{0}")]
    Archive(String),
    /// The store did not give the version that was scanned.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Postgres refused a row of this file for what it holds: a data exception or a violated constraint.
    #[error("Postgres refused row {row} of the file")]
    Row {
        /// The file's row, from 1, counted without header and rejects.
        row: u64,
        /// What Postgres said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Any other failure of the database.
    #[error("the database failed")]
    Database(#[from] tokio_postgres::Error),
    /// The COMMIT was sent and its answer never came.
    #[error("the answer to COMMIT never came")]
    CommitUnknown(#[source] tokio_postgres::Error),
    /// Nothing moved for the stall limit.
    #[error("nothing moved for {0:?} (LONGSHORE_STALL_LIMIT)")]
    Stalled(std::time::Duration),
    /// The attempt is not ours any more.
    #[error("another attempt has taken over")]
    Fenced,
    /// The worker was told to stop.
    #[error("the worker was told to stop")]
    Stopped,
    /// COPY reported another number of rows than was sent, or a thread ended abnormally: a fault of this program.
    #[error("{0}; this is a fault of Longshore, please report it")]
    Fault(String),
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The file becomes a FAILED task of its own, the rest of the batch loads.
    CarveOut,
    /// The task is NEW again, due after a backoff.
    Retry,
    /// The task is NEW again at once; counts for nothing.
    GiveBack,
    /// The task is FAILED.
    Fail,
    /// There is nothing to settle.
    LeaveAlone,
}

impl Failure {
    /// An error of a COPY. Only a row's own data (SQLSTATE classes 22 and 23) is the file's fault: a lost connection is not.
    pub(crate) fn from_copy(source: tokio_postgres::Error, rows_before: u64) -> Self {
        let is_data_error = source.code().is_some_and(|state| matches!(&state.code()[..2], "22" | "23"));
        if !is_data_error {
            return Self::Database(source);
        }
        // "COPY table, line 3, column x": the line is a row of this COPY.
        let context = source.as_db_error().and_then(DbError::where_).unwrap_or_default();
        let digits = context.split_once(", line ").map_or("", |(_, rest)| rest);
        let digits = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        Self::Row { row: rows_before + digits.parse::<u64>().unwrap_or(0), source }
    }

    /// Decides. Every kind of failure is named here.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Content(_) | Self::Archive(_) => Verdict::CarveOut,
            Self::Store(error) => match error {
                StoreError::Gone
                | StoreError::Changed { .. }
                | StoreError::NotLocal
                | StoreError::NotRegular
                | StoreError::NotPermitted(_) => Verdict::CarveOut,
                StoreError::Unavailable(_) => Verdict::Retry,
            },
            Self::Row { .. } => Verdict::CarveOut,
            Self::Database(error) => database_verdict(error),
            Self::CommitUnknown(_) | Self::Stalled(_) => Verdict::Retry,
            Self::Fenced => Verdict::LeaveAlone,
            Self::Stopped => Verdict::GiveBack,
            Self::Spec(_) | Self::Fault(_) => Verdict::Fail,
        }
    }

    /// For `failure_msg`: the whole chain, with what Postgres said in full.
    pub(crate) fn for_operators(&self) -> String {
        let text = match self.database_error() {
            Some(error) => format!("{self}: {}", describe(error)),
            None => chain(self),
        };
        // Names out of a file's header may hold a NUL, which no text of Postgres can.
        text.replace('\0', "\u{2400}")
    }

    /// For the log, where no cell value may stand: Postgres' messages can repeat one, its SQLSTATE cannot.
    pub(crate) fn for_log(&self) -> String {
        match self.database_error() {
            Some(error) => {
                let constraint =
                    error.constraint().map(|name| format!(", constraint {name}")).unwrap_or_default();
                format!(
                    "{self} (SQLSTATE {}{constraint}; the task's failure_msg has it in full)",
                    error.code().code()
                )
            }
            None => chain(self),
        }
    }

    fn database_error(&self) -> Option<&DbError> {
        match self {
            Self::Row { source: error, .. } | Self::Database(error) | Self::CommitUnknown(error) => {
                error.as_db_error()
            }
            _ => None,
        }
    }
}

/// By SQLSTATE class; an error without SQLSTATE is a lost connection.
fn database_verdict(error: &tokio_postgres::Error) -> Verdict {
    let Some(state) = error.code() else { return Verdict::Retry };
    let is_transient =
        matches!(&state.code()[..2], "08" | "40" | "53" | "57") || *state == SqlState::LOCK_NOT_AVAILABLE;
    if is_transient { Verdict::Retry } else { Verdict::Fail }
}

fn describe(error: &DbError) -> String {
    let mut text = format!("{} (SQLSTATE {})", error.message(), error.code().code());
    if let Some(detail) = error.detail() {
        text.push_str(&format!("; {detail}"));
    }
    if let Some(constraint) = error.constraint() {
        text.push_str(&format!("; constraint {constraint}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_right_is_carved_out_and_an_outage_is_tried_again() {
        let carved = [
            Failure::Store(StoreError::Gone),
            Failure::Content(FileError::TooManyLines),
            Failure::Archive("corrupt".to_owned()),
        ];
        for failure in carved {
            assert_eq!(failure.verdict(), Verdict::CarveOut, "{failure}");
        }
        let outage = StoreError::Unavailable("connection reset".into());
        assert_eq!(Failure::Store(outage).verdict(), Verdict::Retry);
        assert_eq!(Failure::Stopped.verdict(), Verdict::GiveBack);
        assert_eq!(Failure::Fenced.verdict(), Verdict::LeaveAlone);
    }
}
