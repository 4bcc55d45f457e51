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
    pass::SETTLING,
    scan::{ScanOptions, scan_dataset},
};

/// Scans that run at once; other datasets wait for their turn.
pub(crate) const MAX_SCANS: usize = 4;

/// When a dataset is to be scanned again.
pub(crate) enum Again {
    /// By its schedule only.
    BySchedule,
    /// After this time, if its schedule does not say earlier.
    After(Duration),
    /// Another scanner is scanning it: should that one die, its work is to go on.
    UnlessAnotherFinishes,
}

/// After a scan that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

pub(crate) struct RunningScans {
    stall_limit: Duration,
    dataset_ids: HashMap<Id, i32>,
    tasks: JoinSet<Again>,
}

impl RunningScans {
    /// Without any yet. A scan or a store that is silent for `stall_limit` counts as hung.
    pub(crate) fn new(stall_limit: Duration) -> Self {
        Self { stall_limit, dataset_ids: HashMap::new(), tasks: JoinSet::new() }
    }

    pub(crate) fn is_running(&self, dataset_id: i32) -> bool {
        self.dataset_ids.values().any(|id| *id == dataset_id)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.dataset_ids.len() < MAX_SCANS
    }

    pub(crate) fn start(&mut self, pool: Pool, dataset: StoredDataset, stop: CancellationToken) {
        let dataset_id = dataset.id;
        let stall_limit = self.stall_limit;
        let task = self.tasks.spawn(async move {
            match scan(&pool, &dataset, stall_limit, &stop).await {
                Ok(again) => again,
                Err(_) if stop.is_cancelled() => {
                    info!(dataset = %dataset.spec.name, "left the scan to the next start");
                    Again::BySchedule
                }
                Err(error) => {
                    error!(dataset = %dataset.spec.name, "the scan failed and will be tried again: {error:#}");
                    Again::After(AFTER_FAILURE)
                }
            }
        });
        self.dataset_ids.insert(task.id(), dataset_id);
    }

    /// Forgets the scans that have ended; gives their datasets, and when each is to be scanned again.
    pub(crate) fn reap(&mut self) -> Vec<(i32, Again)> {
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

    fn forget(&mut self, ended: Result<(Id, Again), JoinError>) -> Option<(i32, Again)> {
        let (id, again) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                error!("a scan ended abnormally and will be tried again: {error}");
                (error.id(), Again::After(AFTER_FAILURE))
            }
        };
        self.dataset_ids.remove(&id).map(|dataset_id| (dataset_id, again))
    }
}

async fn scan(
    pool: &Pool,
    dataset: &StoredDataset,
    stall_limit: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<Again> {
    let started = Instant::now();
    let mut session = database::session(pool).await?;
    let options = ScanOptions { flush: false, compare_all: false, stall_limit };
    let report = scan_dataset(&mut session, dataset, options, stop, &|_| {}).await?;
    session.give_back();
    // Files that had not settled need not wait for the schedule, an hour perhaps; but a large store is not to be listed
    // all the time because something is always being written.
    Ok(match report.counts {
        None => Again::UnlessAnotherFinishes,
        Some(counts) if counts.skipped.contains_key(SETTLING) => {
            Again::After(dataset.spec.discovery.settle.0.max(10 * started.elapsed()))
        }
        Some(_) => Again::BySchedule,
    })
}
