//! The scans that the service runs right now, each on a connection of its own.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use deadpool_postgres::Pool;
use longshore_common::{database, ledger::StoredDataset};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    discovery::SETTLING,
    scan::{ScanOptions, scan_dataset},
};

/// Scans that run at once; other datasets wait for their turn.
pub(crate) const MAX_SCANS: usize = 4;

/// When a dataset is to be scanned again, if not by its schedule only.
type Again = Option<Duration>;

/// After a scan that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct RunningScans {
    dataset_ids: HashMap<Id, i32>,
    tasks: JoinSet<Again>,
}

impl RunningScans {
    pub(crate) fn is_running(&self, dataset_id: i32) -> bool {
        self.dataset_ids.values().any(|id| *id == dataset_id)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.dataset_ids.len() < MAX_SCANS
    }

    pub(crate) fn start(&mut self, pool: Pool, dataset: StoredDataset, stop: CancellationToken) {
        let dataset_id = dataset.id;
        let task = self.tasks.spawn(async move {
            match scan(&pool, &dataset, &stop).await {
                Ok(again) => again,
                Err(_) if stop.is_cancelled() => {
                    info!(dataset = %dataset.spec.name, "left the scan to the next start");
                    None
                }
                Err(error) => {
                    error!(dataset = %dataset.spec.name, "the scan failed and will be tried again: {error:#}");
                    Some(AFTER_FAILURE)
                }
            }
        });
        self.dataset_ids.insert(task.id(), dataset_id);
    }

    /// Forgets the scans that have ended; gives the datasets that are to be scanned again, and after what time.
    pub(crate) fn reap(&mut self) -> Vec<(i32, Duration)> {
        let mut again = Vec::new();
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            again.extend(self.forget(ended));
        }
        again
    }

    /// Waits for all.
    pub(crate) async fn finish(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<(Id, Again), JoinError>) -> Option<(i32, Duration)> {
        let (id, again) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                error!("a scan ended abnormally and will be tried again: {error}");
                (error.id(), Some(AFTER_FAILURE))
            }
        };
        self.dataset_ids.remove(&id).zip(again)
    }
}

async fn scan(pool: &Pool, dataset: &StoredDataset, stop: &CancellationToken) -> anyhow::Result<Again> {
    let started = Instant::now();
    let mut session = database::session(pool).await?;
    let report = scan_dataset(&mut session, dataset, ScanOptions::default(), stop, &|_| {}).await?;
    session.give_back();
    // Files that had not settled need not wait for the schedule, an hour perhaps; but a large store is not to be listed
    // all the time because something is always being written.
    let is_settling = report.counts.is_some_and(|counts| counts.skipped.contains_key(SETTLING));
    Ok(is_settling.then(|| dataset.spec.discovery.settle.0.max(10 * started.elapsed())))
}
