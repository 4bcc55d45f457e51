//! One pass over a source, from its start to its record: listing, comparing, and the watermark at the end.

use std::time::{Duration, Instant};

use anyhow::Context;
use longshore_common::{
    dataset::AfterLoad,
    ledger::{self, AuditFindings, EarlyEnd, Expected, ScanCounts, StoredDataset},
    store::Store,
};
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    answer::answered,
    audit::Audit,
    batching::BatchReport,
    pass::Pass,
    postponed::Postponed,
    reach::Reach,
    scan::{ScanMode, ScanOptions},
};

/// Entries that are compared with the ledger at once.
pub(crate) const PAGE_LEN: usize = 1000;

/// How often the session that holds the dataset's lock speaks while a store keeps it waiting: others end one that is
/// silent beyond the limit.
pub(crate) const SPEAK_EVERY: Duration = Duration::from_millis(500);

/// How often a running scan records how far it is.
const RECORD_EVERY: Duration = Duration::from_secs(1);

/// What a scan has done when its listing has ended.
pub(crate) struct Discovered {
    pub(crate) counts: ScanCounts,
    /// What an audit found.
    pub(crate) audit: Option<AuditFindings>,
    /// Tasks that were made on the way.
    pub(crate) batches: BatchReport,
}

/// Lists the source, records what is new, and moves the watermark. Of many new files the first are in tasks when this ends.
///
/// An error or a stop leaves what was recorded so far, which is right by itself, and the watermark where it was.
pub(crate) async fn discover(
    client: &mut Client,
    dataset: &StoredDataset,
    options: ScanOptions,
    stop: &CancellationToken,
    on_page: &(dyn Fn(&ScanCounts) + Send + Sync),
) -> anyhow::Result<Discovered> {
    let (scan_id, started_time) =
        answered(ledger::begin_scan(client, dataset.id, options.mode.kind())).await?;
    let scan_reach = Reach::of_scan(dataset, started_time);
    let all = Reach::default();
    let reach = if options.mode == ScanMode::Recent { &scan_reach } else { &all };
    let mut pass = Pass::new(dataset, reach.compare_from, started_time);
    pass.postponed = Postponed::of(client, dataset).await?;
    let ended = async {
        if options.mode == ScanMode::Audit {
            pass.audit(Audit::begin(client, dataset, &scan_reach).await?);
        }
        let progress = Progress { scan_id, recorded: Instant::now(), on_page };
        list(client, dataset, reach, &mut pass, progress, options.stall_limit, stop).await?;
        match pass.take_audit() {
            Some(audit) => audit.finish(client, dataset.id).await.map(Some),
            None => Ok(None),
        }
    }
    .await;
    match ended {
        Ok(audit) => {
            let batches = pass.take_batches();
            pass.postponed.record(client, dataset.id).await?;
            let mut counts = pass.finish();
            if counts.listed > 0 {
                record_mark(client, dataset).await?;
            }
            let expected = expected(dataset, reach);
            let finishing =
                ledger::finish_scan(client, scan_id, dataset.version, &counts, expected, audit.as_ref());
            counts.listed_before = answered(finishing).await?;
            Ok(Discovered { counts, audit, batches })
        }
        Err(error) => {
            let end = if stop.is_cancelled() { EarlyEnd::Stopped } else { EarlyEnd::Failed };
            let reason = format!("{error:#}");
            // If the database is what failed, this fails too, and the scan stays without an end.
            let recording = ledger::end_early(client, scan_id, pass.counts(), end, &reason);
            if let Err(unrecorded) = answered(recording).await {
                tracing::debug!("could not record why the scan failed: {unrecorded}");
            }
            Err(error)
        }
    }
}

/// Records what the source is that this scan has listed, for workers that miss files of it.
async fn record_mark(client: &Client, dataset: &StoredDataset) -> anyhow::Result<()> {
    if let Some(mark) = Store::of(&dataset.spec)?.mark().await? {
        answered(ledger::record_source_mark(client, dataset.id, dataset.version, &mark)).await?;
    }
    Ok(())
}

/// What the listing is held against. Without a watermark, the one before was perhaps of another source.
fn expected(dataset: &StoredDataset, reach: &Reach) -> Expected {
    let files_leave = dataset.spec.discovery.after_load != AfterLoad::Keep;
    match dataset.watermark {
        Some(_) if !files_leave && reach.folders.is_empty() => Expected::HalfOfBefore,
        Some(_) if !files_leave => Expected::Something,
        _ => Expected::Anything,
    }
}

/// Gives `pass` everything that the store lists within `reach`.
async fn list(
    client: &mut Client,
    dataset: &StoredDataset,
    reach: &Reach,
    pass: &mut Pass<'_>,
    mut progress: Progress<'_>,
    stall_limit: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let (sender, mut pages) = mpsc::channel(2);
    let store = Store::of(&dataset.spec)?;
    let folders = reach.folders.clone();
    let named = pass.postponed.out_of_reach(&store, &folders);
    // Nobody waits for it where this returns an error: the walk ends by itself once nobody takes its pages, or it hangs in
    // a dead mount, and is counted as hung.
    let listing = AbortOnDropHandle::new(tokio::spawn(async move {
        store.list(&folders, PAGE_LEN, sender.clone()).await?;
        if !named.is_empty() {
            store.list_named(&named, PAGE_LEN, sender).await?;
        }
        Ok(())
    }));
    let mut last_page = Instant::now();
    loop {
        let page = tokio::select! {
            () = stop.cancelled() => anyhow::bail!("stopped before the end of the listing"),
            page = pages.recv() => page,
            () = tokio::time::sleep(SPEAK_EVERY) => {
                if last_page.elapsed() >= stall_limit {
                    anyhow::bail!("{} gave no entry for {stall_limit:?}", dataset.spec.source);
                }
                progress.record(client, pass.counts()).await?;
                pass.send_due(client).await?;
                answered(client.batch_execute("")).await?;
                continue;
            }
        };
        // The walk has ended, well or with an error.
        let Some(page) = page else { return listing.await? };
        let taking = tokio::time::timeout(stall_limit, pass.take(client, page));
        taking.await.context("Postgres does not answer")??;
        pass.send_due(client).await?;
        progress.record(client, pass.counts()).await?;
        last_page = Instant::now();
    }
}

/// Those who watch a running scan: its caller, and whoever reads its row.
struct Progress<'a> {
    scan_id: i64,
    recorded: Instant,
    on_page: &'a (dyn Fn(&ScanCounts) + Send + Sync),
}

impl Progress<'_> {
    /// Tells how far the scan is, and records it if that is due.
    async fn record(&mut self, client: &Client, counts: &ScanCounts) -> anyhow::Result<()> {
        (self.on_page)(counts);
        if self.recorded.elapsed() >= RECORD_EVERY {
            answered(ledger::record_progress(client, self.scan_id, counts)).await?;
            self.recorded = Instant::now();
        }
        Ok(())
    }
}
