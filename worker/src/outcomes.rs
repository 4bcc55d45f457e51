//! What became of each file of a task: counts that are recorded, or why it failed.

use crate::failure::Failure;
use deadpool_postgres::Transaction;
use longshore_common::ledger::{self, Claim, FileLoad, TaskFile};
use tokio_postgres::error::SqlState;

const LOADS_PER_STATEMENT: usize = 1000;

/// The files of one load that are settled so far.
pub(crate) struct Outcomes<'t, 'a> {
    transaction: &'t Transaction<'t>,
    claim: &'a Claim,
    unrecorded: Vec<FileLoad>,
    /// What the loaded ones come to.
    pub(crate) totals: LoadTotals,
    pub(crate) failed: FailedFiles<'a>,
}

pub(crate) type FailedFiles<'a> = Vec<FailedFile<'a>>;

/// A file that is not loaded with the others: failed for good, or to be tried again by itself.
#[derive(Debug)]
pub(crate) struct FailedFile<'a> {
    pub(crate) file: &'a TaskFile,
    pub(crate) failure: Failure,
}

/// What loaded files come to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LoadTotals {
    pub(crate) files: usize,
    pub(crate) rows_loaded: u64,
    pub(crate) rows_rejected: u64,
    /// After decompression.
    pub(crate) bytes_read: u64,
}

impl LoadTotals {
    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.rows_loaded += other.rows_loaded;
        self.rows_rejected += other.rows_rejected;
        self.bytes_read += other.bytes_read;
    }
}

impl<'t, 'a> Outcomes<'t, 'a> {
    pub(crate) fn new(transaction: &'t Transaction<'t>, claim: &'a Claim) -> Self {
        Self { transaction, claim, unrecorded: Vec::new(), totals: LoadTotals::default(), failed: Vec::new() }
    }

    /// Takes files whose rows and rejects are in the tables. Their counts are recorded many at a time, because a statement
    /// costs more than a small file.
    pub(crate) async fn loaded(&mut self, loads: Vec<FileLoad>) -> Result<(), Failure> {
        for load in &loads {
            self.totals.files += 1;
            self.totals.rows_loaded += load.rows_loaded;
            self.totals.rows_rejected += load.rows_rejected;
            self.totals.bytes_read += load.bytes_read;
        }
        self.unrecorded.extend(loads);
        if self.unrecorded.len() >= LOADS_PER_STATEMENT { self.record().await } else { Ok(()) }
    }

    /// Records the counts that are not yet; to be called when the last file is settled.
    pub(crate) async fn record(&mut self) -> Result<(), Failure> {
        let Claim { task_id, attempt, .. } = *self.claim;
        ledger::record_file_loads(self.transaction, task_id, attempt, &self.unrecorded).await?;
        self.unrecorded.clear();
        Ok(())
    }

    /// Records a file that failed. A failure that is not the file's own is given back.
    pub(crate) fn fail(&mut self, place: usize, failure: Failure) -> Result<(), Failure> {
        let Some(file) = self.claim.files.get(place).filter(|_| failure.verdict().is_of_file()) else {
            return Err(failure);
        };
        self.failed.push(FailedFile { file, failure });
        Ok(())
    }

    /// Whether every file of the task is loaded or failed.
    pub(crate) fn are_complete(&self) -> bool {
        self.totals.files + self.failed.len() == self.claim.files.len()
    }
}

/// The first of the files that Postgres has refused alike, by what need not be a row's fault, if it has refused all and taken
/// none: then it may be the table's fault, or an outage. A single file's refusal says so only where it is an internal error.
pub(crate) fn refused_alike(totals: LoadTotals, failed: &FailedFiles<'_>) -> Option<usize> {
    let first = failed.iter().position(|failed| failed.failure.is_refusal()).filter(|_| totals.files == 0)?;
    let state = failed[first].failure.doubtful_state()?;
    let mut others = failed[first + 1..].iter().filter(|failed| failed.failure.is_refusal()).peekable();
    let is_telling = others.peek().is_some() || *state == SqlState::INTERNAL_ERROR;
    let are_alike = others.all(|failed| failed.failure.doubtful_state() == Some(state));
    (is_telling && are_alike).then_some(first)
}
