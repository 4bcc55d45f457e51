//! How far a load is, for its heartbeat, and whether it moves at all.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Counted by whatever works on the load.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// After decompression.
    pub(crate) bytes_read: AtomicU64,
    /// Loaded and rejected.
    pub(crate) rows_read: AtomicU64,
    /// Everything else that moves a load on: an answer of Postgres or of the store.
    steps: AtomicU64,
    /// What is read was read and counted before.
    is_counted: AtomicBool,
}

impl Progress {
    /// Bytes were read, and rows came of them.
    pub(crate) fn read(&self, bytes: u64, rows: u64) {
        if self.is_counted.load(Ordering::Relaxed) {
            return self.step();
        }
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
        self.rows_read.fetch_add(rows, Ordering::Relaxed);
    }

    /// From now on files are read again.
    pub(crate) fn count_no_more(&self) {
        self.is_counted.store(true, Ordering::Relaxed);
    }

    /// Something else moved.
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
