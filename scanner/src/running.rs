//! The scans that the service runs right now, each on a connection of its own.

use std::collections::HashMap;

use deadpool_postgres::Pool;
use longshore_common::{database, ledger::StoredDataset};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::scan::{ScanOptions, scan_dataset};

/// Scans that run at once; other datasets wait for their turn.
pub(crate) const MAX_SCANS: usize = 4;

#[derive(Default)]
pub(crate) struct RunningScans {
    dataset_ids: HashMap<Id, i32>,
    /// Whether the scan succeeded.
    tasks: JoinSet<bool>,
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
                Ok(()) => true,
                Err(_) if stop.is_cancelled() => {
                    info!(dataset = %dataset.spec.name, "left the scan to the next start");
                    false
                }
                Err(error) => {
                    error!(dataset = %dataset.spec.name, "the scan failed and will be tried again: {error:#}");
                    false
                }
            }
        });
        self.dataset_ids.insert(task.id(), dataset_id);
    }

    /// Forgets the scans that have ended; gives the ids of the datasets whose scan failed.
    pub(crate) fn reap(&mut self) -> Vec<i32> {
        let mut failed = Vec::new();
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            failed.extend(self.forget(ended));
        }
        failed
    }

    /// Waits for all.
    pub(crate) async fn finish(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<(Id, bool), JoinError>) -> Option<i32> {
        let (id, succeeded) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                error!("a scan ended abnormally and will be tried again: {error}");
                (error.id(), false)
            }
        };
        self.dataset_ids.remove(&id).filter(|_| !succeeded)
    }
}

async fn scan(pool: &Pool, dataset: &StoredDataset, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut session = database::session(pool).await?;
    scan_dataset(&mut session, dataset, ScanOptions::default(), stop, &|_| {}).await?;
    session.give_back();
    Ok(())
}
