//! Files become tasks: by size, by number, and by how long the oldest has waited.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use longshore_common::{
    dataset::Batch,
    edge,
    ledger::{self, NewTask, StoredDataset, WaitingFile},
    telemetry,
};
use serde::Serialize;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::answer::answered;

/// Files that are read at once. The full groups among them, and the one that was open before, become tasks in one
/// transaction.
const PAGE_LEN: usize = 10_000;

/// How long that may take, unless Postgres hangs.
const CREATE_LIMIT: Duration = Duration::from_secs(60);

/// What batching did.
#[derive(Debug, Default, Clone, Serialize)]
pub struct BatchReport {
    /// Tasks made.
    pub tasks: usize,
    /// Files in them.
    pub files: usize,
    /// A partial batch that waits for more files.
    pub held_back: Option<HeldBack>,
}

/// A partial batch that waits for more files.
#[derive(Debug, Clone, Serialize)]
pub struct HeldBack {
    /// Files in it.
    pub files: usize,
    /// When it is sent, full or not.
    pub until: DateTime<Utc>,
}

/// After so many new files a scan makes tasks of what it has found so far; at least as many as fill a batch.
const SEND_EVERY: u64 = 20_000;

impl BatchReport {
    /// Whether a scan that has found so many new files should make tasks before it goes on.
    pub(crate) fn is_behind(&self, new_files: u64, limits: &Batch) -> bool {
        new_files.saturating_sub(self.files as u64) >= SEND_EVERY.max(2 * u64::from(limits.max_files))
    }
}

/// Makes tasks of the dataset's waiting files as far as they fill batches. The caller holds the dataset's scan lock.
pub(crate) async fn send_full_batches(
    client: &mut Client,
    dataset: &StoredDataset,
    report: &mut BatchReport,
) -> anyhow::Result<()> {
    cut_and_send(client, dataset, report).await.map(|_| ())
}

/// Makes tasks of the dataset's waiting files. The last, partial batch waits until its oldest file was scanned
/// `max_wait` ago, unless `flush` sends it now, or a file of it was recorded in the future, before the clock was set back. The
/// caller holds the dataset's scan lock.
pub(crate) async fn send_batches(
    client: &mut Client,
    dataset: &StoredDataset,
    flush: bool,
    report: &mut BatchReport,
) -> anyhow::Result<()> {
    let partial = cut_and_send(client, dataset, report).await?;
    report.held_back = None;
    let created_times = || partial.iter().map(|file| file.created_time);
    let (Some(oldest), Some(newest)) = (created_times().min(), created_times().max()) else { return Ok(()) };
    let until = oldest + dataset.spec.batch.max_wait.0;
    let now = answered(ledger::database_time(client)).await?;
    if flush || until <= now || newest > now {
        return send(client, dataset, &[partial], report).await;
    }
    report.held_back = Some(HeldBack { files: partial.len(), until });
    Ok(())
}

/// Reads the waiting files page by page, sends the batches that they fill, and gives the group that stays open.
async fn cut_and_send(
    client: &mut Client,
    dataset: &StoredDataset,
    report: &mut BatchReport,
) -> anyhow::Result<Vec<WaitingFile>> {
    let mut open: Vec<WaitingFile> = Vec::new();
    let mut last = None;
    loop {
        let reading = ledger::waiting_files(client, dataset.id, last.as_ref(), PAGE_LEN as i64);
        let page = answered(reading).await?;
        let is_end = page.len() < PAGE_LEN;
        last = page.last().copied();
        let Groups { full, partial } = group(open.into_iter().chain(page), &dataset.spec.batch);
        send(client, dataset, &full, report).await?;
        open = partial;
        if is_end {
            return Ok(open);
        }
    }
}

/// Makes a task of each group, all in one transaction.
async fn send(
    client: &mut Client,
    dataset: &StoredDataset,
    groups: &[Vec<WaitingFile>],
    report: &mut BatchReport,
) -> anyhow::Result<()> {
    if groups.is_empty() {
        return Ok(());
    }
    let tasks: Vec<NewTask> = groups.iter().map(|group| new_task(group)).collect();
    let traceparent = telemetry::current_traceparent();
    edge::pass("scanner::before_batch")?;
    let creating = ledger::create_tasks(client, dataset.id, traceparent.as_deref(), &tasks);
    tokio::time::timeout(CREATE_LIMIT, creating).await.context("Postgres does not answer")??;
    edge::pass("scanner::after_batch")?;
    report.tasks += tasks.len();
    report.files += tasks.iter().map(|task| task.file_ids.len()).sum::<usize>();
    Ok(())
}

fn new_task(files: &[WaitingFile]) -> NewTask {
    NewTask { id: Uuid::now_v7(), file_ids: files.iter().map(|file| file.id).collect() }
}

struct Groups {
    /// Closed, because the next file would have gone beyond a limit.
    full: Vec<Vec<WaitingFile>>,
    /// The last group, which could still take files; empty if there is none.
    partial: Vec<WaitingFile>,
}

/// Cuts files, in their order, into groups within the limits; a larger file is a group alone.
///
/// A group that stays open can be cut again together with the files behind it: that gives what all at once would.
fn group(files: impl IntoIterator<Item = WaitingFile>, limits: &Batch) -> Groups {
    let (max_bytes, max_files) = (limits.max_bytes.0, limits.max_files as usize);
    let (mut full, mut open, mut open_bytes) = (Vec::new(), Vec::new(), 0_u64);
    for file in files {
        let would_exceed = open_bytes.saturating_add(file.size_in_bytes) > max_bytes;
        if !open.is_empty() && would_exceed {
            full.push(std::mem::take(&mut open));
            open_bytes = 0;
        }
        open.push(file);
        open_bytes = open_bytes.saturating_add(file.size_in_bytes);
        // Nothing more fits: no reason to wait.
        if open.len() >= max_files || open_bytes >= max_bytes {
            full.push(std::mem::take(&mut open));
            open_bytes = 0;
        }
    }
    Groups { full, partial: open }
}

#[cfg(test)]
mod tests {
    use longshore_common::dataset::HumanBytes;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn files(sizes: &[u64]) -> Vec<WaitingFile> {
        let file = |(id, size): (usize, &u64)| WaitingFile {
            id: i64::try_from(id).unwrap(),
            file_modified_time: DateTime::UNIX_EPOCH,
            size_in_bytes: *size,
            created_time: DateTime::UNIX_EPOCH,
        };
        sizes.iter().enumerate().map(file).collect()
    }

    fn sizes(group: &[WaitingFile]) -> Vec<u64> {
        group.iter().map(|file| file.size_in_bytes).collect()
    }

    #[test]
    #[expect(clippy::type_complexity, reason = "a table of cases")]
    fn groups_keep_the_order_and_stay_within_the_limits() {
        let limits = Batch { max_bytes: HumanBytes(10), max_files: 3, ..Batch::default() };
        let cases: [(&[u64], &[&[u64]], &[u64]); 8] = [
            (&[], &[], &[]),
            (&[4], &[], &[4]),
            (&[4, 5], &[], &[4, 5]),
            (&[4, 6, 1], &[&[4, 6]], &[1]),
            (&[4, 7, 1], &[&[4]], &[7, 1]),
            (&[1, 1, 1, 1], &[&[1, 1, 1]], &[1]),
            (&[2, 50, 3], &[&[2], &[50]], &[3]),
            (&[0, 0], &[], &[0, 0]),
        ];
        for (input, full, partial) in cases {
            let groups = group(files(input), &limits);
            let found: Vec<Vec<u64>> = groups.full.iter().map(|group| sizes(group)).collect();
            assert_eq!(found, full, "{input:?}");
            assert_eq!(sizes(&groups.partial), partial, "{input:?}");
        }
    }

    #[test]
    fn a_size_near_the_end_of_the_range_does_not_overflow() {
        let limits = Batch::default();
        let groups = group(files(&[u64::MAX, u64::MAX]), &limits);
        assert_eq!(groups.full.len(), 2);
    }
    proptest! {
        #[test]
        fn groups_cut_page_by_page_are_those_cut_in_one_go(
            sizes in vec(0_u64..12, 0..60),
            page_len in 1_usize..20,
            max_files in 1_u32..6,
        ) {
            let limits = Batch { max_bytes: HumanBytes(10), max_files, ..Batch::default() };
            let files = files(&sizes);
            let whole = group(files.iter().copied(), &limits);
            let (mut full, mut open) = (Vec::new(), Vec::new());
            for page in files.chunks(page_len) {
                let groups = group(open.into_iter().chain(page.iter().copied()), &limits);
                full.extend(groups.full);
                open = groups.partial;
            }
            prop_assert_eq!((full, open), (whole.full, whole.partial));
        }
    }

    #[test]
    fn a_scan_makes_tasks_on_the_way_once_many_files_are_new_and_fill_two_batches() {
        let sent = |files| BatchReport { files, ..BatchReport::default() };
        let cases = [
            (1000, 19_999, 0, false),
            (1000, 20_000, 0, true),
            (1000, 39_000, 20_000, false),
            (1000, 40_000, 20_000, true),
            (100_000, 199_999, 0, false),
            (100_000, 200_000, 0, true),
            // Files of an earlier scan went with them.
            (1000, 5, 20_000, false),
        ];
        for (max_files, new, files, expected) in cases {
            let limits = Batch { max_files, ..Batch::default() };
            assert_eq!(sent(files).is_behind(new, &limits), expected, "{max_files}, {new}, {files}");
        }
    }
}
