//! What becomes of each entry that a store lists: it is new, known or skipped for a reason that is counted.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_common::{
    dataset::AfterLoad,
    edge,
    ledger::{self, Comparison, ScanCounts, StoredDataset},
    store::{Listed, SkipReason, StoredFile},
};
use tokio_postgres::Client;
use tracing::debug;

use crate::{
    answer::answered,
    audit::Audit,
    batching::{self, BatchReport},
    postponed::Postponed,
};

/// How often a pass asks whether a batch is due: to within this, `max_wait` holds also while a large store is being listed.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// The reason under which files are counted that changed too recently.
pub(crate) const SETTLING: &str = "settling";

/// Modified before this, a file is too old for a scan at `now`: `watermark − lookback`. `None` without a watermark. A watermark
/// of a clock that was ahead hides nothing either.
pub(crate) fn compared_from(dataset: &StoredDataset, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    dataset.watermark.map(|watermark| watermark.min(now) - dataset.spec.discovery.lookback.0)
}

/// The state of one pass.
pub(crate) struct Pass<'a> {
    dataset: &'a StoredDataset,
    started_time: DateTime<Utc>,
    /// Files modified before this are not compared.
    compare_from: Option<DateTime<Utc>>,
    newest_known: Option<DateTime<Utc>>,
    /// Of the files that wait for a later scan; the watermark may not leave them behind.
    oldest_waiting: Option<DateTime<Utc>>,
    /// Something could not be read that the watermark still waits for.
    is_incomplete: bool,
    /// Names that the watermark does not wait for for ever.
    pub(crate) postponed: Postponed,
    /// Those that wait, of the last page.
    waiting: Vec<StoredFile>,
    counts: ScanCounts,
    audit: Option<Audit>,
    /// Made on the way, so that workers load while a large store is still being listed.
    batches: BatchReport,
    asked: Instant,
}

impl<'a> Pass<'a> {
    /// A pass that began at `started_time` by the database's clock. Files modified before `compare_from` are only counted.
    pub(crate) fn new(
        dataset: &'a StoredDataset,
        compare_from: Option<DateTime<Utc>>,
        started_time: DateTime<Utc>,
    ) -> Self {
        Self {
            dataset,
            started_time,
            compare_from,
            newest_known: None,
            oldest_waiting: None,
            is_incomplete: false,
            postponed: Postponed::default(),
            waiting: Vec::new(),
            counts: ScanCounts::default(),
            audit: None,
            batches: BatchReport::default(),
            asked: Instant::now(),
        }
    }

    /// The pass is an audit: it notes more.
    pub(crate) fn audit(&mut self, audit: Audit) {
        self.audit = Some(audit);
    }

    /// What an audit has noted.
    pub(crate) fn take_audit(&mut self) -> Option<Audit> {
        self.audit.take()
    }

    /// What has been counted so far.
    pub(crate) fn counts(&self) -> &ScanCounts {
        &self.counts
    }

    /// Counts a page of entries and records the files among them that are new; where these are many, makes tasks of them.
    /// After an error, what it did not come to is not counted as listed either, so that the counts add up. The caller holds
    /// the dataset's scan lock.
    ///
    /// Gives the files that must wait and be compared later.
    pub(crate) async fn take(
        &mut self,
        client: &mut Client,
        page: Vec<Listed>,
    ) -> anyhow::Result<Vec<StoredFile>> {
        let page = without_doubles(page);
        if let Some(audit) = &self.audit {
            audit.note(client, &page).await?;
        }
        let now = Utc::now();
        let settled: Vec<StoredFile> =
            page.into_iter().filter_map(|listed| self.settled(listed, now)).collect();
        let on_change = self.dataset.spec.discovery.on_change;
        edge::pass("scanner::before_enlist")?;
        let compared = ledger::compare_and_enlist(client, self.dataset.id, on_change, &settled).await?;
        edge::pass("scanner::after_enlist")?;
        if self.dataset.spec.discovery.after_load != AfterLoad::Keep {
            ledger::reopen_after_loads(client, self.dataset.id, &settled).await?;
        }
        for (file, comparison) in settled.iter().zip(compared) {
            self.count(file, comparison);
        }
        if self.batches.is_behind(self.counts.new, &self.dataset.spec.batch) {
            batching::send_full_batches(client, self.dataset, &mut self.batches).await?;
        }
        Ok(std::mem::take(&mut self.waiting))
    }

    /// Makes tasks of what has waited long enough, on the way. The caller holds the dataset's scan lock.
    pub(crate) async fn send_due(&mut self, client: &mut Client) -> anyhow::Result<()> {
        if self.asked.elapsed() < ASK_EVERY {
            return Ok(());
        }
        self.asked = Instant::now();
        let (id, limits) = (self.dataset.id, &self.dataset.spec.batch);
        if answered(ledger::is_batch_due(client, id, limits)).await? {
            batching::send_batches(client, self.dataset, false, &mut self.batches).await?;
        }
        Ok(())
    }

    /// The tasks that were made on the way.
    pub(crate) fn take_batches(&mut self) -> BatchReport {
        std::mem::take(&mut self.batches)
    }

    /// The file, if it is to be compared; everything else is counted here.
    fn settled(&mut self, listed: Listed, now: DateTime<Utc>) -> Option<StoredFile> {
        let (file, changed_time) = match listed {
            Listed::File { file, changed_time } => (file, changed_time),
            Listed::Skipped(skipped) => {
                self.skip(skipped.reason.name(), &skipped.uri);
                return None;
            }
        };
        let is_too_old = self.compare_from.is_some_and(|from| file.modified_time < from);
        if is_too_old && !self.postponed.covers(&file.uri) {
            self.skip("older_than_lookback", &file.uri);
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
                self.counts.listed += 1;
                self.counts.new += 1;
                self.counts.new_bytes += u64::try_from(file.size_in_bytes).unwrap_or(0);
                self.newest_known = self.newest_known.max(Some(file.modified_time));
                if let Some(audit) = &mut self.audit {
                    audit.note_new(file);
                }
            }
            Comparison::Known => {
                self.counts.listed += 1;
                self.counts.known += 1;
                self.newest_known = self.newest_known.max(Some(file.modified_time));
            }
            // Recorded as well: known from now on.
            Comparison::Ignored | Comparison::Refused => {
                let reason = match comparison {
                    Comparison::Refused => "refused_change",
                    _ => "ignored_change",
                };
                debug!(file = %file.uri, reason, "new content under the name of a loaded file is not loaded");
                self.skip(reason, &file.uri);
                self.newest_known = self.newest_known.max(Some(file.modified_time));
            }
            Comparison::EarlierVersionOnItsWay => self.wait(file, "earlier_version_on_its_way"),
        }
    }

    fn skip(&mut self, reason: &str, uri: &str) {
        self.counts.listed += 1;
        *self.counts.skipped.entry(reason.to_owned()).or_default() += 1;
        let is_unreadable = reason == SkipReason::Unreadable.name();
        if is_unreadable && !self.postponed.note(uri) {
            // It may be older than everything else: the watermark stays.
            self.is_incomplete = true;
        }
        // What cannot be read needs somebody who mends it, so every scan names it.
        if self.audit.is_some() || is_unreadable {
            self.counts.name_skipped(reason, uri);
        }
    }

    /// Leaves a file to a later scan, which must still compare it.
    fn wait(&mut self, file: &StoredFile, reason: &str) {
        self.skip(reason, &file.uri);
        if !self.is_old(file) || !self.postponed.note(&file.uri) {
            let oldest =
                self.oldest_waiting.map_or(file.modified_time, |oldest| oldest.min(file.modified_time));
            self.oldest_waiting = Some(oldest);
        }
        self.waiting.push(file.clone());
    }

    /// The next scan compares it only if the watermark waits, or if it knows the name.
    fn is_old(&self, file: &StoredFile) -> bool {
        let lookback = self.dataset.spec.discovery.lookback.0;
        // The watermark may be past it already, if it lies in a folder that was closed until now, which is forgotten with this scan.
        let is_behind = self.compare_from.is_some_and(|from| file.modified_time < from);
        is_behind
            || file.modified_time < self.started_time - TimeDelta::hours(1)
                && file.modified_time < self.started_time - lookback
    }

    /// What was counted, with the watermark that this pass allows if it saw all that it was to see.
    pub(crate) fn finish(mut self) -> ScanCounts {
        // Never later than the scan's start: a file dated in the future must not hide those that come after it.
        let newest = self.newest_known.map(|newest| newest.min(self.started_time));
        let newest = newest.map(|newest| self.oldest_waiting.map_or(newest, |oldest| oldest.min(newest)));
        self.counts.newest_seen = newest.filter(|_| !self.is_incomplete);
        self.counts.names_postponed = self.postponed.passed();
        self.counts
    }
}

/// A folder may be listed with a name twice while names come and go; the second is as it was seen last.
fn without_doubles(page: Vec<Listed>) -> Vec<Listed> {
    let mut places: HashMap<String, usize> = HashMap::with_capacity(page.len());
    let mut singles: Vec<Listed> = Vec::with_capacity(page.len());
    for listed in page {
        let uri = match &listed {
            Listed::File { file, .. } => &file.uri,
            Listed::Skipped(skipped) => &skipped.uri,
        };
        match places.get(uri) {
            Some(place) => singles[*place] = listed,
            None => {
                places.insert(uri.clone(), singles.len());
                singles.push(listed);
            }
        }
    }
    singles
}

#[cfg(test)]
mod tests {
    use longshore_common::store::Skipped;

    use super::*;

    #[test]
    fn a_name_that_is_listed_twice_counts_once_as_it_was_seen_last() {
        let file = |uri: &str, size_in_bytes| Listed::File {
            file: StoredFile {
                uri: uri.to_owned(),
                modified_time: DateTime::UNIX_EPOCH,
                size_in_bytes,
                etag: String::new(),
            },
            changed_time: DateTime::UNIX_EPOCH,
        };
        let link =
            |uri: &str| Listed::Skipped(Skipped { reason: SkipReason::SymbolicLink, uri: uri.to_owned() });
        let page = vec![file("a", 1), file("b", 1), link("c"), file("a", 2), file("c", 3)];
        let sizes = without_doubles(page).into_iter().map(|listed| match listed {
            Listed::File { file, .. } => (file.uri, file.size_in_bytes),
            Listed::Skipped(skipped) => (skipped.uri, -1),
        });
        let expected = [("a", 2), ("b", 1), ("c", 3)].map(|(uri, size)| (uri.to_owned(), size));
        assert_eq!(sizes.collect::<Vec<_>>(), expected);
    }
}
