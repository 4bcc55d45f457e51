//! Removing the rows of files from their target table, and counting them against the ledger.
//!
//! Rows that are not found are not taken for removed: a policy may hide them, a partition may be detached, another table may
//! have got the name. Then nothing is removed, unless an operator has said that they are gone.

use std::{collections::HashMap, fmt};

use postgres_protocol::escape::escape_literal;
use thiserror::Error;
use tokio_postgres::{Transaction, error::SqlState};

use super::{reload::UndoError, row_search::RowSearch, table_shape::TableShape};
use crate::database;

const NO_REPLICA_IDENTITY: &str = "; the table is in a publication, and nothing would tell subscribers which rows are removed: give it a primary key, or run \
     ALTER TABLE … REPLICA IDENTITY FULL, then try again";

/// Why rows of files are not removed.
#[derive(Debug, Error)]
pub enum RemovalError {
    /// Some are there although all of the table was read.
    #[error("a trigger or rule keeps rows that were to be removed, or somebody moved them meanwhile")]
    RowsStay,
    /// The table has not as many of them as were loaded.
    #[error(transparent)]
    RowsDiffer(RowsDiffer),
    /// The table is published, and nothing in it tells a subscriber which rows were removed.
    #[error("the table is in a publication and has no replica identity")]
    NoReplicaIdentity(#[source] tokio_postgres::Error),
    /// The database failed, or refused it.
    #[error(transparent)]
    Database(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for RemovalError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(state) if *state == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => {
                Self::NoReplicaIdentity(error)
            }
            _ => Self::Database(error),
        }
    }
}

impl RemovalError {
    /// Whether the next try may succeed as things are.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::RowsStay | Self::RowsDiffer(_) | Self::NoReplicaIdentity(_) => false,
            Self::Database(error) => database::is_transient(error),
        }
    }

    /// What an operator can do so that a new version takes the earlier one's place; begins with a semicolon.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::RowsDiffer(rows) if rows.are_missing() => {
                "; if they are gone for good, `longshore reload FILE --missing-rows-are-gone` loads this version, otherwise \
                 bring them back, then `longshore retry`"
            }
            Self::NoReplicaIdentity(_) => NO_REPLICA_IDENTITY,
            Self::RowsStay | Self::RowsDiffer(_) | Self::Database(_) => "",
        }
    }

    /// What Postgres said, if it said anything.
    pub fn database_error(&self) -> Option<&tokio_postgres::Error> {
        match self {
            Self::NoReplicaIdentity(error) | Self::Database(error) => Some(error),
            Self::RowsStay | Self::RowsDiffer(_) => None,
        }
    }
}

impl From<RemovalError> for UndoError {
    fn from(error: RemovalError) -> Self {
        match error {
            RemovalError::RowsDiffer(rows) if rows.are_missing() => Self::Refused(format!(
                "{rows}; nothing was removed. If they are gone for good: --missing-rows-are-gone"
            )),
            RemovalError::NoReplicaIdentity(_) => Self::Refused(format!("{error}{}", error.advice())),
            RemovalError::RowsStay | RemovalError::RowsDiffer(_) => Self::Refused(error.to_string()),
            RemovalError::Database(error) => Self::Database(error),
        }
    }
}

/// Rows of files in the table, and in the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowsOfFile {
    pub(super) file_id: i64,
    pub(super) found: i64,
    pub(super) expected: i64,
}

/// Files of which the table has not as many rows as the ledger.
#[derive(Debug)]
pub struct RowsDiffer(Vec<RowsOfFile>);

impl RowsDiffer {
    fn are_missing(&self) -> bool {
        self.0.iter().all(|rows| rows.found < rows.expected)
    }

    /// Those among them that are of these files, if there are any.
    pub(super) fn of(&self, file_ids: &[i64]) -> Option<Self> {
        let of: Vec<RowsOfFile> =
            self.0.iter().filter(|rows| file_ids.contains(&rows.file_id)).copied().collect();
        (!of.is_empty()).then_some(Self(of))
    }
}

impl fmt::Display for RowsDiffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |number: fn(&RowsOfFile) -> i64| self.0.iter().map(number).sum::<i64>();
        let (found, expected) = (sum(|rows| rows.found), sum(|rows| rows.expected));
        match self.are_missing() {
            true => write!(
                formatter,
                "{found} of {expected} rows of it were found in the table; the others were deleted, or lie in a partition that is \
                 detached or a table that has another name now"
            ),
            false => write!(
                formatter,
                "{found} rows of it were found in the table, of {expected} that were loaded: somebody has copied rows; delete the \
                 copies first (`longshore verify` says of which files)"
            ),
        }
    }
}

impl std::error::Error for RowsDiffer {}

/// What was removed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Removed {
    /// From the table.
    pub(super) rows: u64,
    /// What the ledger had of them.
    pub(super) rows_loaded: u64,
}

/// A target table from which rows are to be removed.
pub struct RemovalFrom<'a> {
    /// Quoted for SQL.
    pub table: &'a str,
    /// Told after each statement, of which a long removal has many, and while one takes long.
    pub on_step: &'a (dyn Fn() + Send + Sync),
}

/// How many rows of a file are looked for, and were found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) loaded: i64,
    /// Those of which an operator has said that they are gone. They may be there all the same.
    gone: i64,
    pub(super) found: i64,
}

/// Rows that are to be found, by file.
pub(super) struct Missing(pub(super) HashMap<i64, Wanted>);

impl Missing {
    pub(super) fn files(&self) -> Vec<i64> {
        let missing = self.0.iter().filter(|(_, rows)| rows.found < rows.loaded);
        missing.map(|(file_id, _)| *file_id).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(|rows| rows.found >= rows.loaded)
    }

    /// Files whose rows are fewer, or more, than the ledger allows.
    fn differences(&self, may_be_missing: &[i64]) -> Option<RowsDiffer> {
        let differs = |(file_id, rows): (&i64, &Wanted)| {
            let expected = rows.loaded - rows.gone;
            let is_short = rows.found < expected && !may_be_missing.contains(file_id);
            let differs = is_short || rows.found > rows.loaded;
            differs.then_some(RowsOfFile { file_id: *file_id, found: rows.found, expected })
        };
        let mut differences: Vec<RowsOfFile> = self.0.iter().filter_map(differs).collect();
        // Rows too many are another matter than rows too few, and are told of first.
        if differences.iter().any(|rows| rows.found > rows.expected) {
            differences.retain(|rows| rows.found > rows.expected);
        }
        (!differences.is_empty()).then_some(RowsDiffer(differences))
    }
}

impl RemovalFrom<'_> {
    /// Whether removing rows removes or changes rows of other tables, by their foreign keys.
    pub async fn cascades(&self, transaction: &Transaction<'_>) -> Result<bool, tokio_postgres::Error> {
        let sql = format!(
            "SELECT EXISTS (
                 SELECT FROM pg_constraint
                 WHERE contype = 'f' AND confdeltype IN ('c', 'n', 'd')
                   AND (confrelid = {table}::regclass
                        OR confrelid IN (SELECT relid FROM pg_partition_tree({table}::regclass))))",
            table = escape_literal(self.table)
        );
        transaction.query_one(&sql, &[]).await?.try_get(0)
    }

    /// Removes the rows and rejects of loaded files. The books are the caller's affair, and after an error the caller goes
    /// back to where the transaction was before.
    ///
    /// Fewer rows than were loaded are an error, unless their file is one of those that `may_be_missing`; so are rows that
    /// stay, and more rows than were loaded.
    pub(super) async fn remove(
        &self,
        transaction: &Transaction<'_>,
        file_ids: &[i64],
        may_be_missing: &[i64],
    ) -> Result<Removed, RemovalError> {
        let loads = async {
            let sql =
                "SELECT file_id, rows_loaded, rows_gone, first_block, end_block FROM longshore.file_load
                       WHERE file_id = ANY($1) AND removed_time IS NULL AND rows_loaded > 0";
            transaction.query(sql, &[&file_ids]).await
        };
        // Both at once: they cost one wait for the server.
        let (loads, shape) = tokio::try_join!(loads, TableShape::of(transaction, self.table))?;
        let (mut wanted, mut ranges) = (HashMap::new(), Vec::new());
        for load in &loads {
            let (loaded, gone) = (load.try_get(1)?, load.try_get(2)?);
            wanted.insert(load.try_get(0)?, Wanted { loaded, gone, found: 0 });
            ranges.push(load.try_get(3)?..load.try_get(4)?);
        }
        let mut missing = Missing(wanted);
        if !missing.is_empty() {
            let mut search = RowSearch { transaction, removal: self, missing: &mut missing };
            search.remove(&shape, ranges).await?;
            if !search.missing.is_empty() && search.has_rows().await? {
                return Err(RemovalError::RowsStay);
            }
        }
        if let Some(differences) = missing.differences(may_be_missing) {
            return Err(RemovalError::RowsDiffer(differences));
        }
        transaction.execute("DELETE FROM longshore.reject WHERE file_id = ANY($1)", &[&file_ids]).await?;
        (self.on_step)();
        let sum = |number: fn(&Wanted) -> i64| missing.0.values().map(number).sum::<i64>().unsigned_abs();
        Ok(Removed { rows: sum(|rows| rows.found), rows_loaded: sum(|rows| rows.loaded) })
    }
}
