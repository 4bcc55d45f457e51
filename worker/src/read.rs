//! The thread that reads one file: stored bytes → decompressed bytes → rows, handed over as parcels.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    archive::Content,
    failure::Failure,
    rows::{Counts, FileRows, Output, Reject, RowPlan},
};

/// Bytes read at once.
const CHUNK_BYTES: usize = 128 << 10;
/// A COPY frame is sent once it has this many bytes: large enough that the cost of a message does not show.
const FRAME_BYTES: usize = 256 << 10;
/// Rejects are handed over once this many wait, each of at most 8 KiB.
const REJECTS_PER_PARCEL: usize = 64;

/// How far a load is, for its heartbeat.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// After decompression.
    pub(crate) bytes_read: AtomicU64,
    /// Loaded and rejected.
    pub(crate) rows_read: AtomicU64,
    /// Everything else that moves a load on: an answer of Postgres or of the store.
    steps: AtomicU64,
}

impl Progress {
    /// Something moved.
    pub(crate) fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends once nothing has moved for `limit`.
    pub(crate) async fn stalled(&self, limit: Duration) {
        let moved = || self.bytes_read.load(Ordering::Relaxed) + self.steps.load(Ordering::Relaxed);
        let (mut last, mut since) = (moved(), Instant::now());
        while since.elapsed() < limit {
            tokio::time::sleep(limit / 10).await;
            let now = moved();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }
}

/// Rows that are ready for COPY, and rejects.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// Whole tuples.
    pub(crate) tuples: Bytes,
    /// How many.
    pub(crate) rows: u64,
    pub(crate) rejects: Vec<Reject>,
}

/// What a whole file amounted to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadTotals {
    pub(crate) counts: Counts,
    /// After decompression.
    pub(crate) bytes_read: u64,
}

/// Reads to the end. Blocks, so it runs on a thread of its own; ends early when `parcels` is closed.
pub(crate) fn read_file(
    file: File,
    uri: &str,
    plan: Arc<RowPlan>,
    file_id: i64,
    progress: &Progress,
    parcels: &mpsc::Sender<Parcel>,
) -> Result<ReadTotals, Failure> {
    let mut content = Content::new(file, uri);
    let mut rows = FileRows::new(plan, file_id);
    let mut output = Output::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut totals = ReadTotals { counts: Counts::default(), bytes_read: 0 };
    loop {
        // Where the tests slow a store down.
        fail::fail_point!("worker::read_chunk");
        let length = content.read_chunk(&mut chunk)?;
        if length == 0 {
            break;
        }
        rows.push(&chunk[..length], &mut output)?;
        note(progress, &mut totals, length, rows.counts());
        let is_ready = output.tuples.len() >= FRAME_BYTES || output.rejects.len() >= REJECTS_PER_PARCEL;
        if is_ready && parcels.blocking_send(take_parcel(&mut output)).is_err() {
            return Err(Failure::Stopped);
        }
    }
    rows.finish(&mut output)?;
    note(progress, &mut totals, 0, rows.counts());
    if parcels.blocking_send(take_parcel(&mut output)).is_err() {
        return Err(Failure::Stopped);
    }
    Ok(totals)
}

fn note(progress: &Progress, totals: &mut ReadTotals, length: usize, counts: Counts) {
    let new_rows = counts.rows_read - totals.counts.rows_read;
    totals.bytes_read += length as u64;
    totals.counts = counts;
    progress.bytes_read.fetch_add(length as u64, Ordering::Relaxed);
    progress.rows_read.fetch_add(new_rows, Ordering::Relaxed);
}

fn take_parcel(output: &mut Output) -> Parcel {
    let next = Vec::with_capacity(FRAME_BYTES + CHUNK_BYTES);
    let tuples = Bytes::from(std::mem::replace(&mut output.tuples, next));
    Parcel { tuples, rows: std::mem::take(&mut output.rows), rejects: std::mem::take(&mut output.rejects) }
}
