//! One pass over a source: everything that it lists is new, known or skipped for a reason.

use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, Utc};
use longshore_common::{
    edge,
    ledger::{self, Comparison, ScanCounts, StoredDataset},
    store::{Listed, SkipReason, Store, StoredFile},
};
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{answer::answered, scan::ScanOptions};

/// Entries that are compared with the ledger at once.
const PAGE_LEN: usize = 1000;

/// The reason under which files are counted that changed too recently.
pub(crate) const SETTLING: &str = "settling";

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
    let mut pass = Pass::new(dataset, options.compare_all, started_time);
    let (sender, mut pages) = mpsc::channel(2);
    let store = Store::of(&dataset.spec)?;
    let listing = tokio::spawn(async move { store.list(&[], PAGE_LEN, sender).await });
    let mut last_page = Instant::now();
    let outcome = loop {
        let taken = tokio::select! {
            () = stop.cancelled() => Err(anyhow::anyhow!("stopped before the end of the listing")),
            page = pages.recv() => match page {
                Some(page) => {
                    let taking = tokio::time::timeout(options.stall_limit, pass.take(client, page));
                    taking.await.context("Postgres does not answer").flatten()
                }
                // The walk has ended, well or with an error.
                None => break listing.await?,
            },
            () = tokio::time::sleep(SPEAK_EVERY) => {
                let limit = options.stall_limit;
                match last_page.elapsed() < limit {
                    true => {
                        answered(client.batch_execute("")).await?;
                        continue;
                    }
                    false => Err(anyhow::anyhow!("{} gave no entry for {limit:?}", dataset.spec.source)),
                }
            }
        };
        match taken {
            Ok(()) => on_page(&pass.counts),
            Err(error) => break Err(error),
        }
        last_page = Instant::now();
    };
    // In the other cases the walk ends by itself once nobody takes its pages. It is not waited for: it may hang in a
    // dead mount.
    drop(pages);
    match outcome {
        Ok(()) => {
            let counts = pass.finish();
            answered(ledger::finish_scan(client, scan_id, dataset.version, &counts)).await?;
            Ok(counts)
        }
        Err(error) => {
            // If the database is what failed, this fails too, and the scan stays without an end.
            if let Err(unrecorded) = answered(ledger::fail_scan(client, scan_id, &format!("{error:#}"))).await
            {
                tracing::debug!("could not record why the scan failed: {unrecorded}");
            }
            Err(error)
        }
    }
}

/// The state of one pass.
struct Pass<'a> {
    dataset: &'a StoredDataset,
    started_time: DateTime<Utc>,
    /// Files modified before this are not compared.
    compare_from: Option<DateTime<Utc>>,
    newest_known: Option<DateTime<Utc>>,
    /// Of the files that wait for a later scan; the watermark may not leave them behind.
    oldest_waiting: Option<DateTime<Utc>>,
    counts: ScanCounts,
}

impl<'a> Pass<'a> {
    fn new(dataset: &'a StoredDataset, compare_all: bool, started_time: DateTime<Utc>) -> Self {
        let lookback = dataset.spec.discovery.lookback.0;
        let compare_from =
            if compare_all { None } else { dataset.watermark.map(|watermark| watermark - lookback) };
        Self {
            dataset,
            started_time,
            compare_from,
            newest_known: None,
            oldest_waiting: None,
            counts: ScanCounts::default(),
        }
    }

    async fn take(&mut self, client: &mut Client, page: Vec<Listed>) -> anyhow::Result<()> {
        self.counts.listed += page.len() as u64;
        let now = Utc::now();
        let settled: Vec<StoredFile> =
            page.into_iter().filter_map(|listed| self.settled(listed, now)).collect();
        edge::pass("scanner::before_enlist")?;
        let compared = ledger::compare_and_enlist(client, self.dataset.id, &settled).await?;
        edge::pass("scanner::after_enlist")?;
        for (file, comparison) in settled.iter().zip(compared) {
            self.count(file, comparison);
        }
        Ok(())
    }

    /// The file, if it is to be compared; everything else is counted here.
    fn settled(&mut self, listed: Listed, now: DateTime<Utc>) -> Option<StoredFile> {
        let (file, changed_time) = match listed {
            Listed::File { file, changed_time } => (file, changed_time),
            Listed::Skipped(skipped) => {
                self.skip(skipped.reason.name());
                return None;
            }
        };
        if self.compare_from.is_some_and(|from| file.modified_time < from) {
            self.skip("older_than_lookback");
            return None;
        }
        if changed_time + self.dataset.spec.discovery.settle.0 > now {
            self.wait(&file, SETTLING);
            return None;
        }
        Some(file)
    }

    fn count(&mut self, file: &StoredFile, comparison: Comparison) {
        match comparison {
            Comparison::New => {
                self.counts.new += 1;
                self.counts.new_bytes += u64::try_from(file.size_in_bytes).unwrap_or(0);
                self.newest_known = self.newest_known.max(Some(file.modified_time));
            }
            Comparison::Known => {
                self.counts.known += 1;
                self.newest_known = self.newest_known.max(Some(file.modified_time));
            }
            Comparison::ChangedAfterLoad => {
                debug!(file = %file.uri, "new content under the name of a loaded file is not loaded");
                self.skip("changed_after_load");
            }
            Comparison::EarlierVersionOnItsWay => self.wait(file, "earlier_version_on_its_way"),
        }
    }

    fn skip(&mut self, reason: &str) {
        *self.counts.skipped.entry(reason.to_owned()).or_default() += 1;
    }

    /// Leaves a file to a later scan, which must still compare it.
    fn wait(&mut self, file: &StoredFile, reason: &str) {
        self.skip(reason);
        let oldest = self.oldest_waiting.map_or(file.modified_time, |oldest| oldest.min(file.modified_time));
        self.oldest_waiting = Some(oldest);
    }

    fn finish(mut self) -> ScanCounts {
        // What could not be looked at may be older than everything else: then the watermark stays.
        let is_complete = !self.counts.skipped.contains_key(SkipReason::Unreadable.name());
        // Never later than the scan's start: a file dated in the future must not hide those that come after it.
        let newest = self.newest_known.map(|newest| newest.min(self.started_time));
        let newest = newest.map(|newest| self.oldest_waiting.map_or(newest, |oldest| oldest.min(newest)));
        self.counts.newest_seen = newest.filter(|_| is_complete);
        self.counts
    }
}
