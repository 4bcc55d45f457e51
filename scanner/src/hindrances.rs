//! Datasets whose waiting files cannot become tasks, or which cannot be looked up: each is tried again by itself after a while, said
//! once, and recorded for `status`. The others go on.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use longshore_common::ledger::{self, StoredDataset};
use tokio_postgres::Client;
use tracing::{error, info};

use crate::answer::answered;

/// A try may wait for a lock for seconds, in which the tick does nothing else.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// Those of one service.
#[derive(Debug, Default)]
pub(crate) struct Hindrances {
    /// What other services have recorded is known, too, so that it is cleared when it is over.
    loaded: Option<Instant>,
    by_dataset: HashMap<i32, Hindrance>,
}

#[derive(Debug)]
struct Hindrance {
    /// When it is tried again.
    next: Instant,
    said: String,
}

impl Hindrances {
    /// Takes over what other services have recorded; one that has stopped clears nothing.
    pub(crate) async fn load(&mut self, client: &Client) -> anyhow::Result<()> {
        if self.loaded.is_none_or(|loaded| loaded.elapsed() >= TRY_AGAIN) {
            for id in answered(ledger::ids_in_batch_trouble(client)).await? {
                let unknown = || Hindrance { next: Instant::now(), said: String::new() };
                self.by_dataset.entry(id).or_insert_with(unknown);
            }
            self.loaded = Some(Instant::now());
        }
        Ok(())
    }

    /// Whether it is too early to try this dataset again.
    pub(crate) fn must_wait(&self, dataset_id: i32) -> bool {
        self.by_dataset.get(&dataset_id).is_some_and(|hindrance| hindrance.next > Instant::now())
    }

    /// What was tried has failed: says it, if it is not what was said before, and records it.
    pub(crate) async fn failed(
        &mut self,
        client: &Client,
        dataset: &StoredDataset,
        error: &anyhow::Error,
    ) -> anyhow::Result<()> {
        let reason = format!("{error:#}");
        let hindrance = Hindrance { next: Instant::now() + TRY_AGAIN, said: reason.clone() };
        let before = self.by_dataset.insert(dataset.id, hindrance);
        if before.is_none_or(|before| before.said != reason) {
            error!(
                dataset = %dataset.spec.name,
                "its files cannot become tasks, which is tried again every {} s; other datasets go on: {reason}",
                TRY_AGAIN.as_secs()
            );
        }
        answered(ledger::record_batch_trouble(client, dataset.id, &reason)).await
    }

    /// What was tried has worked.
    pub(crate) async fn worked(&mut self, client: &Client, dataset: &StoredDataset) -> anyhow::Result<()> {
        if self.by_dataset.contains_key(&dataset.id) {
            answered(ledger::clear_batch_trouble(client, dataset.id)).await?;
            self.by_dataset.remove(&dataset.id);
            info!(dataset = %dataset.spec.name, "its files can become tasks again");
        }
        Ok(())
    }
}
