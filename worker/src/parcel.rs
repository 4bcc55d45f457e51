//! What the thread that reads hands to the connection that sends.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use longshore_common::ledger::{FileLoad, RejectedRow};

use crate::failure::Failure;

/// What the thread hands over, in the order of the files.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// Small files.
    Whole(WholeFiles),
    /// A large file begins, given by its place in the task; its parts follow, then its end.
    Begin(usize),
    /// Rows of the large file that began last.
    Part(Part),
    /// The end of that file. Its rows count only if it is good.
    End(Result<ReadTotals, Failure>),
}

/// Small files that are handed over together.
#[derive(Debug)]
pub(crate) struct WholeFiles {
    /// Those of all good files, in one piece.
    pub(crate) tuples: Bytes,
    pub(crate) good: Vec<WholeFile>,
    /// The places of the others in the task, and why they failed.
    pub(crate) failed: Vec<(usize, Failure)>,
}

/// A small file.
#[derive(Debug)]
pub(crate) struct WholeFile {
    /// Its place in the task.
    pub(crate) place: usize,
    pub(crate) part: Part,
    pub(crate) totals: ReadTotals,
}

/// Rows that are ready for COPY, and rejects.
#[derive(Debug)]
pub(crate) struct Part {
    /// Whole tuples.
    pub(crate) tuples: Bytes,
    /// How many.
    pub(crate) rows: u64,
    pub(crate) rejects: Vec<RejectedRow>,
}

/// What a whole file amounted to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReadTotals {
    /// Loaded and rejected.
    pub(crate) rows_read: u64,
    pub(crate) rows_rejected: u64,
    /// After decompression.
    pub(crate) bytes_read: u64,
    /// When the file last changed, as it was opened, where its store tells.
    pub(crate) file_changed_time: Option<DateTime<Utc>>,
}

impl ReadTotals {
    /// The file as it is recorded, with what COPY reported and the table's blocks before and after.
    pub(crate) fn file_load(self, file_id: i64, rows_loaded: u64, blocks: Range<i64>) -> FileLoad {
        let Self { rows_read, rows_rejected, bytes_read, file_changed_time } = self;
        let Range { start: first_block, end: end_block } = blocks;
        FileLoad {
            file_id,
            rows_read,
            rows_loaded,
            rows_rejected,
            bytes_read,
            first_block,
            end_block,
            file_changed_time,
        }
    }
}
