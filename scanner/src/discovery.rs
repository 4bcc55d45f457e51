//! One pass over a source, from its start to its record: listing, comparing, and the watermark at the end.

use std::time::{Duration, Instant};

use anyhow::Context;
use longshore_common::{
    ledger::{self, ScanCounts, StoredDataset},
    store::Store,
};
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::{
    answer::answered,
    pass::{Pass, compared_from},
    scan::ScanOptions,
};

/// Entries that are compared with the ledger at once.
const PAGE_LEN: usize = 1000;

/// How often the session that holds the dataset's lock speaks while a store keeps it waiting: others end one that is
/// silent beyond the limit.
const SPEAK_EVERY: Duration = Duration::from_millis(500);

/// Lists the source, records what is new, and moves the watermark.
///
/// An error or a stop leaves what was recorded so far, which is right by itself, and the watermark where it was.
pub(crate) async fn discover(
    client: &mut Client,
    dataset: &StoredDataset,
    options: ScanOptions,
    stop: &CancellationToken,
    on_page: &(dyn Fn(&ScanCounts) + Send + Sync),
) -> anyhow::Result<ScanCounts> {
    let (scan_id, started_time) = answered(ledger::begin_scan(client, dataset.id)).await?;
    let compare_from = if options.compare_all { None } else { compared_from(dataset) };
    let mut pass = Pass::new(dataset, compare_from, started_time);
    match list(client, dataset, &mut pass, options, stop, on_page).await {
        Ok(()) => {
            let counts = pass.finish();
            answered(ledger::finish_scan(client, scan_id, dataset.version, &counts)).await?;
            Ok(counts)
        }
        Err(error) => {
            // If the database is what failed, this fails too, and the scan stays without an end.
            let reason = format!("{error:#}");
            let recording = ledger::fail_scan(client, scan_id, pass.counts(), &reason);
            if let Err(unrecorded) = answered(recording).await {
                tracing::debug!("could not record why the scan failed: {unrecorded}");
            }
            Err(error)
        }
    }
}

/// Gives `pass` everything that the store lists.
async fn list(
    client: &mut Client,
    dataset: &StoredDataset,
    pass: &mut Pass<'_>,
    options: ScanOptions,
    stop: &CancellationToken,
    on_page: &(dyn Fn(&ScanCounts) + Send + Sync),
) -> anyhow::Result<()> {
    let (sender, mut pages) = mpsc::channel(2);
    let store = Store::of(&dataset.spec)?;
    let listing = tokio::spawn(async move { store.list(&[], PAGE_LEN, sender).await });
    let limit = options.stall_limit;
    let mut last_page = Instant::now();
    // Where this returns an error, the walk ends by itself once nobody takes its pages. It is not waited for: it may hang in
    // a dead mount.
    loop {
        let page = tokio::select! {
            () = stop.cancelled() => anyhow::bail!("stopped before the end of the listing"),
            page = pages.recv() => page,
            () = tokio::time::sleep(SPEAK_EVERY) => {
                if last_page.elapsed() >= limit {
                    anyhow::bail!("{} gave no entry for {limit:?}", dataset.spec.source);
                }
                answered(client.batch_execute("")).await?;
                continue;
            }
        };
        // The walk has ended, well or with an error.
        let Some(page) = page else { return listing.await? };
        tokio::time::timeout(limit, pass.take(client, page)).await.context("Postgres does not answer")??;
        on_page(pass.counts());
        last_page = Instant::now();
    }
}
