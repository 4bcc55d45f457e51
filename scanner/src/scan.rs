//! One scan of one dataset, under its lock: discovery, then batching.

use std::time::Duration;

use longshore_common::{
    ledger::{self, Lock, ScanCounts, StoredDataset},
    telemetry,
};
use serde::Serialize;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span};

use crate::{
    answer::answered,
    batching::{self, BatchReport},
    discovery,
};

/// How to scan.
#[derive(Debug, Clone, Copy)]
pub struct ScanOptions {
    /// Send partial batches too.
    pub flush: bool,
    /// Compare everything, not only what is newer than watermark − lookback.
    pub compare_all: bool,
    /// A store that lists nothing for this long has hung; so has a scanner that holds the dataset's lock and is silent.
    pub stall_limit: Duration,
}

/// What a scan did.
#[derive(Debug, Clone, Serialize)]
pub struct ScanReport {
    /// The dataset's name.
    pub dataset: String,
    /// What was listed; `None` if another scanner is scanning this dataset right now.
    pub counts: Option<ScanCounts>,
    /// What became of the waiting files.
    pub batches: BatchReport,
}

/// Scans `dataset` and makes tasks. On the way `on_page` is told the counts so far.
///
/// After an error the connection must be closed: it may hold the dataset's lock.
pub async fn scan_dataset(
    client: &mut Client,
    dataset: &StoredDataset,
    options: ScanOptions,
    stop: &CancellationToken,
    on_page: &(dyn Fn(&ScanCounts) + Send + Sync),
) -> anyhow::Result<ScanReport> {
    let name = dataset.spec.name.clone();
    let span = info_span!("scan", dataset = %name);
    async {
        if !answered(ledger::try_lock_from_silent(client, Lock::Scan(dataset.id), options.stall_limit))
            .await?
        {
            return Ok(ScanReport { dataset: name, counts: None, batches: BatchReport::default() });
        }
        let counts = discovery::discover(client, dataset, options, stop, on_page).await?;
        let batches = batching::send_batches(client, dataset, options.flush).await?;
        answered(ledger::unlock(client, Lock::Scan(dataset.id))).await?;
        telemetry::metrics().files_scanned(&name, counts.new);
        info!(
            listed = counts.listed,
            new = counts.new,
            known = counts.known,
            skipped = ?counts.skipped,
            tasks = batches.tasks,
            "scanned"
        );
        Ok(ScanReport { dataset: name, counts: Some(counts), batches })
    }
    .instrument(span)
    .await
}

/// Sends the batches that have become due since the last scan; nothing if a scan has the lock.
pub(crate) async fn send_due_batches(
    client: &mut Client,
    dataset: &StoredDataset,
    stall_limit: Duration,
) -> anyhow::Result<()> {
    // The span is made only where there is something to do: this runs every tick.
    if !ledger::has_waiting_files(client, dataset.id).await? {
        return Ok(());
    }
    let name = &dataset.spec.name;
    async {
        if !ledger::try_lock_from_silent(client, Lock::Scan(dataset.id), stall_limit).await? {
            return Ok(());
        }
        let report = batching::send_batches(client, dataset, false).await?;
        ledger::unlock(client, Lock::Scan(dataset.id)).await?;
        if report.tasks > 0 {
            info!(tasks = report.tasks, files = report.files, "sent batches that were due");
        }
        Ok(())
    }
    .instrument(info_span!("batch", dataset = %name))
    .await
}
