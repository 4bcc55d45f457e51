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

/// Tasks that are made in one transaction.
const TASKS_PER_TRANSACTION: usize = 100;

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

/// Makes tasks of the dataset's waiting files. The last, partial batch waits until its oldest file was scanned
/// `max_wait` ago, unless `flush` sends it now. The caller holds the dataset's scan lock.
pub(crate) async fn send_batches(
    client: &mut Client,
    dataset: &StoredDataset,
    flush: bool,
) -> anyhow::Result<BatchReport> {
    let limits = &dataset.spec.batch;
    let (files, now) = ledger::waiting_files(client, dataset.id).await?;
    let Groups { mut full, partial } = group(&files, limits);
    let mut report = BatchReport::default();
    if let Some(oldest) = partial.iter().map(|file| file.created_time).min() {
        let until = oldest + limits.max_wait.0;
        if flush || until <= now {
            full.push(partial);
        } else {
            report.held_back = Some(HeldBack { files: partial.len(), until });
        }
    }
    let traceparent = telemetry::current_traceparent();
    for batches in full.chunks(TASKS_PER_TRANSACTION) {
        let tasks: Vec<NewTask> = batches.iter().map(|batch| new_task(batch)).collect();
        edge::pass("scanner::before_batch")?;
        let creating = ledger::create_tasks(client, dataset.id, traceparent.as_deref(), &tasks);
        tokio::time::timeout(CREATE_LIMIT, creating).await.context("Postgres does not answer")??;
        edge::pass("scanner::after_batch")?;
        report.tasks += tasks.len();
        report.files += tasks.iter().map(|task| task.file_ids.len()).sum::<usize>();
    }
    Ok(report)
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
fn group(files: &[WaitingFile], limits: &Batch) -> Groups {
    let (max_bytes, max_files) = (limits.max_bytes.0, limits.max_files as usize);
    let (mut full, mut open, mut open_bytes) = (Vec::new(), Vec::new(), 0_u64);
    for file in files {
        let would_exceed = open_bytes.saturating_add(file.size_in_bytes) > max_bytes;
        if !open.is_empty() && would_exceed {
            full.push(std::mem::take(&mut open));
            open_bytes = 0;
        }
        open.push(*file);
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

    use super::*;

    fn files(sizes: &[u64]) -> Vec<WaitingFile> {
        let file = |(id, size): (usize, &u64)| WaitingFile {
            id: i64::try_from(id).unwrap(),
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
            let groups = group(&files(input), &limits);
            let found: Vec<Vec<u64>> = groups.full.iter().map(|group| sizes(group)).collect();
            assert_eq!(found, full, "{input:?}");
            assert_eq!(sizes(&groups.partial), partial, "{input:?}");
        }
    }

    #[test]
    fn a_size_near_the_end_of_the_range_does_not_overflow() {
        let limits = Batch::default();
        let groups = group(&files(&[u64::MAX, u64::MAX]), &limits);
        assert_eq!(groups.full.len(), 2);
    }
}
