//! When each dataset is due for a scan and for an audit.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use longshore_common::{
    dataset::Schedule,
    edge,
    ledger::{self, ScanKind, StoredDataset},
};
use tokio_postgres::Client;

/// The next due times, by dataset and kind.
#[derive(Debug, Default)]
pub(crate) struct DueTimes(HashMap<(i32, ScanKind), Next>);

#[derive(Debug)]
struct Next {
    /// The schedule that says so.
    schedule: Schedule,
    time: Option<DateTime<Utc>>,
    /// When that was worked out. A clock that shows less was ahead then, and the time with it.
    as_of: DateTime<Utc>,
}

fn schedule(dataset: &StoredDataset, kind: ScanKind) -> Schedule {
    match kind {
        ScanKind::Scan => dataset.spec.schedule.clone(),
        ScanKind::Audit => Schedule::Cron(dataset.spec.discovery.audit.clone()),
    }
}

impl DueTimes {
    /// Since when `dataset` has been due, if it is. A time that passed while no scanner ran is due at once, and so is the
    /// scan of a dataset that was never scanned, or of a continuous one that this service has not scanned; a dataset with a
    /// new schedule follows it from now on. After a clock has been set back, what it had made due is worked out anew: a day, or
    /// a year, would be long to wait.
    pub(crate) async fn due_since(
        &mut self,
        client: &Client,
        dataset: &StoredDataset,
        kind: ScanKind,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, tokio_postgres::Error> {
        let schedule = schedule(dataset, kind);
        let due = match self.0.get(&(dataset.id, kind)) {
            Some(next) if next.schedule == schedule && next.as_of <= now => next.time,
            _ => {
                let due = match &schedule {
                    Schedule::Cron(cron) => {
                        let last = match kind {
                            ScanKind::Scan => ledger::last_complete_scan(client, dataset.id).await?,
                            ScanKind::Audit => Some(ledger::last_audit(client, dataset.id).await?),
                        };
                        // A clock may have been ahead when the last one began.
                        last.map_or(Some(now), |last| cron.next_after(last.min(now)))
                    }
                    Schedule::Continuous => Some(now),
                };
                self.0.insert((dataset.id, kind), Next { schedule, time: due, as_of: now });
                due
            }
        };
        Ok(due.filter(|due| *due <= now))
    }

    /// The dataset is due after `wait`, if its schedule does not say earlier.
    pub(crate) fn at_the_latest(&mut self, dataset_id: i32, kind: ScanKind, wait: Duration) {
        let now = edge::now();
        let time = now + wait;
        if let Some(next) = self.0.get_mut(&(dataset_id, kind)) {
            next.time = Some(next.time.map_or(time, |due| due.min(time)));
            // The earlier of the two may be the one that was worked out before.
            next.as_of = next.as_of.max(now);
        }
    }

    /// The dataset is due when the last finished scan says so, whoever's it was.
    pub(crate) fn forget(&mut self, dataset_id: i32) {
        self.0.retain(|(id, _), _| *id != dataset_id);
    }

    /// The dataset's scan or audit begins now. An audit does all that a scan does, so it is one, too. When a continuous
    /// dataset is due again shows when the scan has ended.
    pub(crate) fn started(&mut self, dataset: &StoredDataset, kind: ScanKind, now: DateTime<Utc>) {
        let kinds = match kind {
            ScanKind::Scan => &[ScanKind::Scan][..],
            ScanKind::Audit => &[ScanKind::Scan, ScanKind::Audit],
        };
        for kind in kinds {
            let schedule = schedule(dataset, *kind);
            let time = match &schedule {
                Schedule::Cron(cron) => cron.next_after(now),
                Schedule::Continuous => None,
            };
            self.0.insert((dataset.id, *kind), Next { schedule, time, as_of: now });
        }
    }
}

/// Whether the dataset's last audit is older than its schedule allows.
pub async fn is_audit_due(client: &Client, dataset: &StoredDataset) -> Result<bool, tokio_postgres::Error> {
    let now = edge::now();
    let due = DueTimes::default().due_since(client, dataset, ScanKind::Audit, now).await?;
    Ok(due.is_some())
}

/// How long after a scan that `took` so long a continuous dataset is scanned again: often, where nothing else tells of new
/// files; where the folder is watched, only because an event may be lost.
pub(crate) fn pause_after(took: Duration, is_watched: bool) -> Duration {
    if is_watched { Duration::from_secs(300).max(20 * took) } else { Duration::from_secs(2).max(5 * took) }
}
