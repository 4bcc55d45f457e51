//! When each dataset is due.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use longshore_common::{
    dataset::Schedule,
    ledger::{self, StoredDataset},
};
use tokio_postgres::Client;

/// The next due time of each dataset, by its id.
#[derive(Debug, Default)]
pub(crate) struct DueTimes(HashMap<i32, (Schedule, Option<DateTime<Utc>>)>);

impl DueTimes {
    /// Whether `dataset` is due. A time that passed while no scanner ran is due at once, and so is a dataset that was
    /// never scanned; a dataset with a new schedule follows it from now on.
    pub(crate) async fn is_due(
        &mut self,
        client: &Client,
        dataset: &StoredDataset,
        now: DateTime<Utc>,
    ) -> Result<bool, tokio_postgres::Error> {
        let schedule = &dataset.spec.schedule;
        let due = match self.0.get(&dataset.id) {
            Some((known, due)) if known == schedule => *due,
            _ => {
                let last = ledger::last_complete_scan(client, dataset.id).await?;
                let due = last.map_or(Some(now), |last| schedule.next_after(last));
                self.0.insert(dataset.id, (schedule.clone(), due));
                due
            }
        };
        Ok(due.is_some_and(|due| due <= now))
    }

    /// The dataset is due at `time`, if its schedule does not say earlier.
    pub(crate) fn at_the_latest(&mut self, dataset_id: i32, time: DateTime<Utc>) {
        if let Some((_, due)) = self.0.get_mut(&dataset_id) {
            *due = Some(due.map_or(time, |due| due.min(time)));
        }
    }

    /// The dataset is due when the last finished scan says so, whoever's it was.
    pub(crate) fn forget(&mut self, dataset_id: i32) {
        self.0.remove(&dataset_id);
    }

    /// The dataset's scan begins now.
    pub(crate) fn started(&mut self, dataset: &StoredDataset, now: DateTime<Utc>) {
        let schedule = dataset.spec.schedule.clone();
        let next = schedule.next_after(now);
        self.0.insert(dataset.id, (schedule, next));
    }
}
