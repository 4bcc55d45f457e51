//! The scans that the service runs right now, each on a connection of its own.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use deadpool_postgres::Pool;
use longshore_common::{
    database,
    dataset::Schedule,
    ledger::{ScanCounts, ScanKind, StoredDataset},
    store::SkipReason,
};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    complaints::Complaints,
    pass::SETTLING,
    scan::{ScanMode, ScanOptions, scan_dataset},
    schedule::pause_after,
};

/// Scans that run at once; other datasets wait for their turn.
pub(crate) const MAX_SCANS: usize = 16;

/// Of these, scans of datasets whose last scan failed: stores that hang must leave places to those that work.
const MAX_DOUBTFUL_SCANS: usize = MAX_SCANS / 2;

/// When a dataset is to be scanned again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// By its schedule only.
    BySchedule,
    /// Scanned after this time, if its schedule does not say earlier.
    After(Duration),
    /// The same after this time, if its schedule does not say earlier.
    AfterFailure(Duration),
    /// Another scanner is scanning it: should that one die, its work is to go on.
    UnlessAnotherFinishes,
}

/// How long after a scan that failed the service tries again.
pub(crate) const AFTER_FAILED_SCAN: Duration = Duration::from_secs(30);

/// How long after a scan or audit that failed, having taken this long, the service tries again.
pub fn wait_after_failure(kind: ScanKind, took: Duration) -> Duration {
    match kind {
        ScanKind::Scan => AFTER_FAILED_SCAN,
        // It may take hours, and a scan is to have its turn before it.
        ScanKind::Audit => (2 * AFTER_FAILED_SCAN).max(10 * took),
    }
}

/// A scan or audit of a dataset.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) dataset_id: i32,
    pub(crate) dataset: String,
    pub(crate) kind: ScanKind,
}

impl Job {
    pub(crate) fn new(dataset_id: i32, dataset: &str, kind: ScanKind) -> Self {
        Self { dataset_id, dataset: dataset.to_owned(), kind }
    }

    pub(crate) fn key(&self) -> (i32, ScanKind) {
        (self.dataset_id, self.kind)
    }
}

/// What a job came to.
enum Ended {
    Worked { again: Again, found: Option<ScanCounts> },
    Stopped,
    Failed { reason: String, after: Duration },
}

pub(crate) struct RunningScans {
    stall_limit: Duration,
    jobs: HashMap<Id, Job>,
    tasks: JoinSet<Ended>,
    complaints: Complaints,
}

impl RunningScans {
    /// Without any yet. A scan or a store that is silent for `stall_limit` counts as hung.
    pub(crate) fn new(stall_limit: Duration) -> Self {
        Self { stall_limit, jobs: HashMap::new(), tasks: JoinSet::new(), complaints: Complaints::default() }
    }

    pub(crate) fn is_running(&self, dataset_id: i32) -> bool {
        self.jobs.values().any(|job| job.dataset_id == dataset_id)
    }

    pub(crate) fn is_failing(&self, dataset_id: i32) -> bool {
        self.complaints.is_failing(dataset_id)
    }

    pub(crate) fn has_room_for(&self, dataset_id: i32) -> bool {
        let doubtful = self.jobs.values().filter(|job| self.is_failing(job.dataset_id)).count();
        self.jobs.len() < MAX_SCANS && (doubtful < MAX_DOUBTFUL_SCANS || !self.is_failing(dataset_id))
    }

    /// `watched_since`: since when the dataset's folder has been watched.
    pub(crate) fn start(
        &mut self,
        pool: Pool,
        dataset: StoredDataset,
        kind: ScanKind,
        watched_since: Option<Instant>,
        stop: CancellationToken,
    ) {
        let job = Job::new(dataset.id, &dataset.spec.name, kind);
        let stall_limit = self.stall_limit;
        let task = self.tasks.spawn(async move {
            let started = Instant::now();
            match scan(&pool, &dataset, kind, watched_since, stall_limit, &stop).await {
                Ok(worked) => worked,
                Err(_) if stop.is_cancelled() => Ended::Stopped,
                Err(error) => {
                    let after = wait_after_failure(kind, started.elapsed());
                    Ended::Failed { reason: format!("{error:#}"), after }
                }
            }
        });
        self.jobs.insert(task.id(), job);
    }

    /// Forgets the scans that have ended; gives each, and when it is due again.
    pub(crate) fn reap(&mut self) -> Vec<(Job, Again)> {
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

    fn forget(&mut self, ended: Result<(Id, Ended), JoinError>) -> Option<(Job, Again)> {
        let (id, ended) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let reason = format!("it ended abnormally: {error}");
                (error.id(), Ended::Failed { reason, after: AFTER_FAILED_SCAN })
            }
        };
        let job = self.jobs.remove(&id)?;
        let again = match ended {
            Ended::Worked { again, found } => {
                if let Some(mut counts) = found {
                    self.complaints.listed(&job, counts.listed, counts.listed_before);
                    let unreadable = counts.skipped_uris.remove(SkipReason::Unreadable.name());
                    self.complaints.worked(&job, unreadable.unwrap_or_default());
                } else {
                    self.complaints.worked(&job, Vec::new());
                }
                again
            }
            Ended::Stopped => {
                info!(dataset = %job.dataset, "left the {} to the next start", job.kind.noun());
                Again::BySchedule
            }
            Ended::Failed { reason, after } => {
                self.complaints.failed(&job, &reason);
                Again::AfterFailure(after)
            }
        };
        Some((job, again))
    }
}

async fn scan(
    pool: &Pool,
    dataset: &StoredDataset,
    kind: ScanKind,
    watched_since: Option<Instant>,
    stall_limit: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<Ended> {
    let started = Instant::now();
    let mut session = database::session(pool).await?;
    let mode = match kind {
        ScanKind::Scan => ScanMode::Recent,
        ScanKind::Audit => ScanMode::Audit,
    };
    let options = ScanOptions { flush: false, mode, stall_limit };
    let report = scan_dataset(&mut session, dataset, options, stop, &|_| {}).await?;
    session.give_back();
    let Some(counts) = report.counts else {
        let again = match (&dataset.spec.schedule, kind) {
            // What this service may have missed is perhaps behind the other's scan already.
            (Schedule::Continuous, ScanKind::Scan) => Again::After(pause_after(Duration::ZERO, false)),
            _ => Again::UnlessAnotherFinishes,
        };
        return Ok(Ended::Worked { again, found: None });
    };
    let scanned = Scanned {
        took: started.elapsed(),
        has_settling: counts.skipped.contains_key(SETTLING),
        watched_for: watched_since.map(|since| started.saturating_duration_since(since)),
    };
    let again = again(&dataset.spec.schedule, dataset.spec.discovery.settle.0, &scanned);
    Ok(Ended::Worked { again, found: Some(counts) })
}

/// What decides when to scan again.
struct Scanned {
    took: Duration,
    /// Files were left out because they had not settled.
    has_settling: bool,
    /// How long the folder had been watched when the scan began.
    watched_for: Option<Duration>,
}

fn again(schedule: &Schedule, settle: Duration, scanned: &Scanned) -> Again {
    // What changed under a watch is looked at when it has settled, without another scan.
    let is_seen_anyway = scanned.watched_for.is_some_and(|watched_for| watched_for >= settle);
    // Files that had not settled need not wait for the schedule, an hour perhaps; but a large store is not to be listed
    // all the time because something is always being written.
    let settled = (scanned.has_settling && !is_seen_anyway).then(|| settle.max(10 * scanned.took));
    match schedule {
        Schedule::Cron(_) => settled.map_or(Again::BySchedule, Again::After),
        Schedule::Continuous => {
            let pause = pause_after(scanned.took, scanned.watched_for.is_some());
            Again::After(settled.map_or(pause, |settled| settled.min(pause)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_scan_comes_as_soon_as_something_may_wait_for_it_but_leaves_the_store_alone_most_of_the_time()
    {
        let seconds = Duration::from_secs;
        let cron = || Schedule::try_from("0 * * * *".to_owned()).unwrap();
        // Schedule, took, has_settling, watched_for; settle is 5 s.
        let cases = [
            (cron(), 1, false, None, None),
            (cron(), 0, true, None, Some(5)),
            (cron(), 6, true, None, Some(60)),
            (Schedule::Continuous, 0, false, None, Some(2)),
            (Schedule::Continuous, 6, false, None, Some(30)),
            (Schedule::Continuous, 0, true, None, Some(2)),
            (Schedule::Continuous, 1, false, Some(9), Some(300)),
            (Schedule::Continuous, 60, false, Some(9), Some(1200)),
            // It was written before the watch began, or may have been.
            (Schedule::Continuous, 1, true, Some(4), Some(10)),
            (Schedule::Continuous, 1, true, Some(5), Some(300)),
        ];
        for (number, (schedule, took, has_settling, watched_for, expected)) in cases.into_iter().enumerate() {
            let scanned =
                Scanned { took: seconds(took), has_settling, watched_for: watched_for.map(seconds) };
            let expected = expected.map_or(Again::BySchedule, |wait| Again::After(seconds(wait)));
            assert_eq!(again(&schedule, seconds(5), &scanned), expected, "case {number}");
        }
    }
}
