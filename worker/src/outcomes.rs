//! What became of each file of a task: counts that are recorded, or why it failed.

use crate::failure::Failure;
use deadpool_postgres::Transaction;
use longshore_common::ledger::{self, Claim, FileLoad, TaskFile};
use tokio_postgres::error::SqlState;

const LOADS_PER_STATEMENT: usize = 1000;
/// After this many files that Postgres refuses alike, before any was loaded, the others are not tried one by one.
const ENOUGH_ALIKE: usize = 16;

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
        if self.failed.len() >= ENOUGH_ALIKE && self.totals.files == 0 {
            return give_back_what_all_meet(self.totals, &mut self.failed);
        }
        Ok(())
    }

    /// Whether every file of the task is loaded or failed.
    pub(crate) fn are_complete(&self) -> bool {
        self.totals.files + self.failed.len() == self.claim.files.len()
    }
}

/// Fails if nothing is loaded and Postgres has refused all files alike, by what need not be a row's fault: then it is the
/// table's, or an outage. A single file's refusal says so only where it is an internal error.
pub(crate) fn give_back_what_all_meet(
    totals: LoadTotals,
    failed: &mut FailedFiles<'_>,
) -> Result<(), Failure> {
    let first = failed.iter().position(|failed| failed.failure.is_refusal());
    let Some(first) = first.filter(|_| totals.files == 0) else { return Ok(()) };
    let Some(state) = failed[first].failure.doubtful_state() else { return Ok(()) };
    let mut others = failed[first + 1..].iter().filter(|failed| failed.failure.is_refusal()).peekable();
    let is_telling = others.peek().is_some() || *state == SqlState::INTERNAL_ERROR;
    if is_telling && others.all(|failed| failed.failure.doubtful_state() == Some(state)) {
        return Err(failed.swap_remove(first).failure.of_every_file());
    }
    Ok(())
}
