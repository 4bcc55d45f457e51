//! What can go wrong while a task is loaded, and what follows: one match, in one place.

use longshore_common::{database, edge::Injected, error::chain, ledger::RemovalError, store::StoreError};
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
    /// The spec names a source that is none; `dataset apply` refuses such a spec.
    #[error("the source of the dataset cannot be used")]
    Source(#[source] anyhow::Error),
    /// The archive is corrupt, ends early, or is not what its name says.
    #[error("{0}")]
    Archive(String),
    /// The store did not give the version that was scanned.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Several files were to be read, and not one of them could be: the fault of this machine, or of the store.
    #[error("none of the task's {files} files can be read on this machine: is a mount missing, or a right?")]
    NoFileIsThere {
        /// How many there are.
        files: usize,
        /// Why the first could not be read.
        source: Box<Failure>,
    },
    /// Postgres refused a row of this file, or what the row set off: a constraint, a trigger or an index, for example.
    #[error("Postgres refused {} of the file", numbered(*row))]
    Row {
        /// The file's row, from 1, counted without header and rejects; `None` if Postgres does not say which: a foreign
        /// key, for example, is checked after the last row.
        row: Option<u64>,
        /// What Postgres said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Two versions of the file were loaded at once, and the newer one has its rows in the table.
    #[error("the newer version was loaded first")]
    Superseded {
        /// The newer one's `longshore.file.id`.
        by: i64,
    },
    /// The rows that this version would replace are held, by a constraint or a trigger for example, or they are not all there.
    #[error("the earlier version stays, because its rows cannot be removed")]
    EarlierIsHeld(#[source] RemovalError),
    /// The target table is not what the spec says, in a sentence that says what to do. No file's fault.
    #[error("{0}")]
    Misfit(String),
    /// Postgres refuses whatever is loaded into the table: it is missing, or a right, for example. No file's fault.
    #[error("the target table takes no rows at present")]
    WholeTable(#[source] tokio_postgres::Error),
    /// Postgres met the same internal error with every file of the task.
    #[error("Postgres met an internal error with every file of the task")]
    Internal(#[source] tokio_postgres::Error),
    /// A file of a part without savepoint is to be undone: the load begins again, with more savepoints.
    #[error("a part of the load that has no savepoint was to be undone")]
    NoSavepoint,
    /// It would take the place of far more rows.
    #[error(
        "it has {rows} rows and the earlier version {earlier_rows}, of which discovery.min_rows_ratio asks for a share of \
         {min_ratio}; the earlier version stays. If this one is right, `longshore reload FILE` loads it"
    )]
    TooFewRows {
        /// Its rows.
        rows: i64,
        /// The earlier version's.
        earlier_rows: i64,
        /// What the spec says.
        min_ratio: f64,
    },
    /// Any other failure of the database.
    #[error("the database failed")]
    Database(#[source] tokio_postgres::Error),
    /// A disk of Postgres has no room left.
    #[error(
        "a disk of Postgres is full, its data's or that of the table's tablespace: make room there; a task that is FAILED by then \
         needs `longshore retry`"
    )]
    DiskFull(#[source] tokio_postgres::Error),
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
    /// COPY took fewer rows than were sent, so that the counts would not be true.
    #[error(
        "the target table took {taken} rows of {sent}: a trigger or rule leaves rows out or takes them elsewhere; remove \
         it, then `longshore retry`"
    )]
    LeftOut {
        /// Rows that COPY reported.
        taken: u64,
        /// Rows that were sent.
        sent: u64,
    },
    /// A thread ended abnormally or broke its protocol: a fault of this program.
    #[error("{0}; this is a fault of Longshore, please report it")]
    Fault(String),
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The file becomes a FAILED task of its own, the rest of the batch loads.
    CarveOut,
    /// The file may be readable the next time, or to another worker: it becomes a NEW task of its own, the rest of the batch
    /// loads. Where none of the files can be read, the whole task is NEW again, due after a backoff.
    SetAside,
    /// The task is NEW again, due after a backoff.
    Retry,
    /// The task is NEW again, due five minutes later; FAILED at the third try.
    RetryRarely,
    /// One of the files breaks what reads it: the task is NEW again with half of them, and so is a task with the others. A file
    /// that is alone is FAILED.
    Halve,
    /// No file's fault, and every file of the dataset would fail alike: the task is NEW again, and its dataset waits until its
    /// target table takes rows. Never makes a task FAILED.
    Wait,
    /// The task is NEW again at once; counts for nothing.
    GiveBack,
    /// The task is FAILED.
    Fail,
    /// There is nothing to settle.
    LeaveAlone,
}

/// Of a removal that is not to make room for one file alone.
impl From<RemovalError> for Failure {
    fn from(error: RemovalError) -> Self {
        match error {
            RemovalError::Database(error) => error.into(),
            RemovalError::RowsStay | RemovalError::RowsDiffer(_) | RemovalError::NoReplicaIdentity(_) => {
                Self::EarlierIsHeld(error)
            }
        }
    }
}

/// An error outside of a row's COPY.
impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::DISK_FULL) => Self::DiskFull(error),
            _ => Self::Database(error),
        }
    }
}

/// A test's failure is one that may be gone the next time.
impl From<Injected> for Failure {
    fn from(injected: Injected) -> Self {
        Self::Store(StoreError::Unavailable(Box::new(injected)))
    }
}

impl Verdict {
    /// Whether the failure is one of a single file, whose neighbours load.
    pub(crate) fn is_of_file(self) -> bool {
        matches!(self, Self::CarveOut | Self::SetAside)
    }
}

impl Failure {
    /// An error in the midst of a COPY. Whatever is no outage may be a row's fault: what a trigger, an index or an extension
    /// refuses has any SQLSTATE. `relation` is the table's name as Postgres prints it, unquoted.
    pub(crate) fn from_copy(source: tokio_postgres::Error, relation: &str, rows_before: u64) -> Self {
        if database::is_transient(&source) {
            return source.into();
        }
        let context = source.as_db_error().and_then(DbError::where_).unwrap_or_default();
        Self::Row { row: copy_line(context, relation).map(|line| rows_before + line), source }
    }

    /// An error before the first row was sent: no row's fault, and so no file's.
    pub(crate) fn before_rows(source: tokio_postgres::Error) -> Self {
        match database::is_transient(&source) {
            true => source.into(),
            false => Self::WholeTable(source),
        }
    }

    /// Decides. Every kind of failure is named here.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Content(_) | Self::Archive(_) => Verdict::CarveOut,
            Self::Store(error) => match error {
                StoreError::Gone | StoreError::AnotherSource(_) | StoreError::NotPermitted(_) => {
                    Verdict::SetAside
                }
                StoreError::Changed { .. }
                | StoreError::NoFile
                | StoreError::NotRegular
                | StoreError::BehindLink => Verdict::CarveOut,
                StoreError::Unavailable(_) => Verdict::Retry,
            },
            Self::Row { .. } | Self::Superseded { .. } | Self::EarlierIsHeld(_) | Self::TooFewRows { .. } => {
                Verdict::CarveOut
            }
            Self::Misfit(_) | Self::WholeTable(_) => Verdict::Wait,
            Self::Database(error)
                if !database::is_transient(error) && !database::is_of_another_schema(error) =>
            {
                Verdict::Fail
            }
            Self::Database(_)
            | Self::Internal(_)
            | Self::CommitUnknown(_)
            | Self::Stalled(_)
            | Self::NoSavepoint => Verdict::Retry,
            Self::DiskFull(_) => Verdict::RetryRarely,
            Self::NoFileIsThere { .. } => Verdict::Retry,
            Self::Fenced => Verdict::LeaveAlone,
            Self::Stopped => Verdict::GiveBack,
            Self::Fault(_) => Verdict::Halve,
            Self::Spec(_) | Self::Source(_) | Self::LeftOut { .. } => Verdict::Fail,
        }
    }

    /// Whether a row has a key that must be unique and is in the table already.
    pub(crate) fn is_key_taken(&self) -> bool {
        let taken = [SqlState::UNIQUE_VIOLATION, SqlState::EXCLUSION_VIOLATION];
        matches!(self, Self::Row { source, .. } if source.code().is_some_and(|state| taken.contains(state)))
    }

    /// Whether another worker may well see the files that this one does not.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        matches!(self, Self::NoFileIsThere { .. } | Self::Store(StoreError::AnotherSource(_)))
    }

    /// Whether the file was missing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Store(StoreError::Gone))
    }

    /// Whether Postgres refused a row.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Row { .. })
    }

    /// The SQLSTATE of a refused row that may also be the fault of the table, or of Postgres: of those that Postgres itself gives
    /// where something is missing, not allowed or broken. Constraints, limits, a trigger's RAISE and codes that somebody made up
    /// are about a row.
    pub(crate) fn doubtful_state(&self) -> Option<&SqlState> {
        let Self::Row { source, .. } = self else { return None };
        let is_doubtful = |class: &str| {
            matches!(class, "0A" | "2D" | "2F" | "38" | "39" | "3F" | "42" | "55" | "HV" | "XX")
        };
        source.code().filter(|state| is_doubtful(&state.code()[..2]))
    }

    /// The same failure, met by every file of the task.
    pub(crate) fn of_every_file(self) -> Self {
        match self {
            Self::Row { source, .. } if source.code() == Some(&SqlState::INTERNAL_ERROR) => {
                Self::Internal(source)
            }
            Self::Row { source, .. } => Self::WholeTable(source),
            other => other,
        }
    }

    /// For `failure_msg`: the whole chain, with what Postgres said in full.
    pub(crate) fn for_operators(&self) -> String {
        let mut text = match self.database_error() {
            Some(error) => format!("{self}: {}", describe(error)),
            None => chain(self),
        };
        if let Self::EarlierIsHeld(error) = self {
            text.push_str(error.advice());
        }
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
            Self::Row { source: error, .. }
            | Self::WholeTable(error)
            | Self::Internal(error)
            | Self::Database(error)
            | Self::DiskFull(error)
            | Self::CommitUnknown(error) => error.as_db_error(),
            Self::EarlierIsHeld(error) => error.database_error()?.as_db_error(),
            _ => None,
        }
    }
}

/// The line out of a CONTEXT that ends with "COPY relation, line 3, column x": the row of the COPY. What stands before it
/// is what the row set off, a trigger's statements for example, and may repeat any text.
fn copy_line(context: &str, relation: &str) -> Option<u64> {
    let (_, behind) = context.rsplit_once(&format!("COPY {relation}, line "))?;
    behind.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn numbered(row: Option<u64>) -> String {
    row.map_or_else(|| "a row".to_owned(), |row| format!("row {row}"))
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
    fn the_refused_row_is_the_line_that_copy_itself_names() {
        let line = |context: &str, relation: &str| copy_line(context, relation);
        assert_eq!(line("COPY orders, line 3, column total", "orders"), Some(3));
        assert_eq!(line("COPY orders, line 12", "orders"), Some(12));
        // A trigger's statement comes first, and can hold what a file wrote.
        let trigger =
            "SQL statement \"insert into audit values ('COPY orders, line 7')\"\nCOPY orders, line 5";
        assert_eq!(line(trigger, "orders"), Some(5));
        assert_eq!(line("COPY nm, line 750, line 8", "nm, line 750"), Some(8));
        assert_eq!(line("SQL statement \"SELECT 1 FROM a, line 3\"", "orders"), None);
        assert_eq!(line("", "orders"), None);
    }

    #[test]
    fn a_file_that_cannot_be_right_is_carved_out_and_an_outage_is_tried_again() {
        let carved = [
            Failure::Store(StoreError::NotRegular),
            Failure::Content(FileError::TooManyLines),
            Failure::Archive("corrupt".to_owned()),
        ];
        for failure in carved {
            assert_eq!(failure.verdict(), Verdict::CarveOut, "{failure}");
        }
        for elsewhere in
            [StoreError::Gone, StoreError::NotPermitted(std::io::ErrorKind::PermissionDenied.into())]
        {
            assert_eq!(Failure::Store(elsewhere).verdict(), Verdict::SetAside);
        }
        let outage = StoreError::Unavailable("connection reset".into());
        assert_eq!(Failure::Store(outage).verdict(), Verdict::Retry);
        assert_eq!(Failure::Stopped.verdict(), Verdict::GiveBack);
        assert_eq!(Failure::Fenced.verdict(), Verdict::LeaveAlone);
    }
}
