//! One scan of one dataset, under its lock: discovery, then batching.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use longshore_common::{
    dataset::Schedule,
    ledger::{self, AuditFindings, Lock, ScanCounts, ScanKind, StoredDataset},
    telemetry,
};
use serde::Serialize;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::{
    answer::answered,
    batching::{self, BatchReport},
    discovery::{self, Discovered},
    pace::Pace,
};

/// How much a scan looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanMode {
    /// What is newer than watermark − lookback, in the folders of that time if the source is partitioned.
    Recent,
    /// Everything.
    Everything,
    /// Everything, and what is known but gone from the store.
    Audit,
}

impl ScanMode {
    pub(crate) fn kind(self) -> ScanKind {
        match self {
            Self::Recent | Self::Everything => ScanKind::Scan,
            Self::Audit => ScanKind::Audit,
        }
    }
}

/// How to scan.
#[derive(Debug, Clone, Copy)]
pub struct ScanOptions {
    /// Send partial batches too.
    pub flush: bool,
    /// How much to look at.
    pub mode: ScanMode,
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
    /// What an audit found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditFindings>,
    /// What became of the waiting files.
    pub batches: BatchReport,
}

/// Scans `dataset` and makes tasks, the first of them while a large store is still being listed. On the way `on_page` is
/// told the counts so far.
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
            return Ok(ScanReport {
                dataset: name,
                counts: None,
                audit: None,
                batches: BatchReport::default(),
            });
        }
        let Discovered { counts, audit, mut batches } =
            discovery::discover(client, dataset, options, stop, on_page).await?;
        batching::send_batches(client, dataset, options.flush, &mut batches).await?;
        answered(ledger::unlock(client, Lock::Scan(dataset.id))).await?;
        // The service does so often; where scans are started by a timer, they are what does it.
        answered(ledger::add_up_totals(client)).await?;
        telemetry::metrics().files_scanned(&name, counts.new);
        let (listed, new, known, skipped) = (counts.listed, counts.new, counts.known, &counts.skipped);
        let tasks = batches.tasks;
        // Where nothing is watched, such scans come every few seconds.
        if dataset.spec.schedule == Schedule::Continuous && new == 0 && tasks == 0 {
            debug!(listed, new, known, ?skipped, tasks, "scanned");
        } else {
            info!(listed, new, known, ?skipped, tasks, "scanned");
        }
        if let Some(audit) = &audit {
            say(audit);
        }
        Ok(ScanReport { dataset: name, counts: Some(counts), audit, batches })
    }
    .instrument(span)
    .await
}

/// What an audit found, in the log; the names are in its record.
fn say(audit: &AuditFindings) {
    let (missed, not_loaded) = (audit.missed.files, audit.gone.not_loaded.files);
    info!(missed, gone_loaded = audit.gone.loaded.files, gone_not_loaded = not_loaded, "audited");
    if missed > 0 {
        warn!(
            missed,
            "scans had missed files, which are recorded now: they are older than discovery.lookback, or lie outside of discovery.partition"
        );
    }
}

/// Sends the batches that have become due since the last scan; nothing if a scan has the lock.
pub(crate) async fn send_due_batches(
    client: &mut ClientWrapper,
    dataset: &StoredDataset,
    stall_limit: Duration,
    pace: &mut Pace,
) -> anyhow::Result<()> {
    // The span is made only where there is something to do: this runs every tick.
    if !pace.is_due() || !pace.look(ledger::is_batch_due(client, dataset.id, &dataset.spec.batch)).await? {
        return Ok(());
    }
    let name = &dataset.spec.name;
    async {
        if !ledger::try_lock_from_silent(client, Lock::Scan(dataset.id), stall_limit).await? {
            return Ok(());
        }
        let mut report = BatchReport::default();
        batching::send_batches(client, dataset, false, &mut report).await?;
        ledger::unlock(client, Lock::Scan(dataset.id)).await?;
        if report.tasks > 0 {
            info!(tasks = report.tasks, files = report.files, "sent batches that were due");
        }
        Ok(())
    }
    .instrument(info_span!("batch", dataset = %name))
    .await
}
