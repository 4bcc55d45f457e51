//! Tasks whose worker is gone become NEW again.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use longshore_common::{
    edge,
    ledger::{self, Lock, Processing, Rescue},
};
use tokio_postgres::Client;
use tracing::{error, warn};
use uuid::Uuid;

/// How long a lease must be free before its worker counts as dead. A worker that lives and has lost only its connection
/// settles the task itself within this time, without a death.
const FREE_FOR: Duration = Duration::from_secs(1);

/// Rescues tasks; remembers since when it has seen their leases free.
#[derive(Debug)]
pub struct Rescuer {
    max_deaths: i32,
    free_since: HashMap<(Uuid, i32), Instant>,
}

impl Rescuer {
    /// A rescuer that makes a task FAILED after `max_deaths`.
    pub fn new(max_deaths: i32) -> Self {
        Self { max_deaths, free_since: HashMap::new() }
    }

    /// Tries the lease of every PROCESSING task. Gives the number of tasks that were rescued.
    ///
    /// After an error the connection must be closed: it may hold a lease.
    pub async fn look(&mut self, client: &Client) -> anyhow::Result<u64> {
        let processing = ledger::processing_tasks(client).await?;
        self.free_since.retain(|key, _| processing.iter().any(|task| (task.id, task.attempt) == *key));
        let mut rescued = 0;
        for task in processing {
            rescued += u64::from(self.look_at(client, task).await?);
        }
        Ok(rescued)
    }

    async fn look_at(&mut self, client: &Client, task: Processing) -> anyhow::Result<bool> {
        let (key, lease) = ((task.id, task.attempt), Lock::Task(task.lease_key));
        if !ledger::try_lock(client, lease).await? {
            self.free_since.remove(&key);
            return Ok(false); // Its worker lives.
        }
        let is_dead = self.free_since.entry(key).or_insert_with(Instant::now).elapsed() >= FREE_FOR;
        // The task may have been settled, and its lease released, since it was listed: the attempt is the fence.
        let outcome = match is_dead {
            true => self.rescue(client, task).await?,
            false => Rescue::NotNeeded,
        };
        ledger::unlock(client, lease).await?;
        match outcome {
            Rescue::New => {
                warn!(task = %task.id, attempt = task.attempt, "its worker is gone; the task is NEW again");
            }
            Rescue::Poison => {
                error!(task = %task.id, attempt = task.attempt, "too many workers died; the task FAILED");
            }
            Rescue::NotNeeded => return Ok(false),
        }
        self.free_since.remove(&key);
        Ok(true)
    }

    async fn rescue(&self, client: &Client, task: Processing) -> anyhow::Result<Rescue> {
        edge::pass("rescue::before")?;
        let outcome = ledger::rescue(client, task.id, task.attempt, self.max_deaths).await?;
        edge::pass("rescue::after")?;
        Ok(outcome)
    }

    /// Looks, and where a lease is free looks again when that counts: for a caller that does not come back.
    pub async fn look_until_sure(&mut self, client: &Client) -> anyhow::Result<u64> {
        let mut rescued = self.look(client).await?;
        if !self.free_since.is_empty() {
            tokio::time::sleep(FREE_FOR).await;
            rescued += self.look(client).await?;
        }
        Ok(rescued)
    }
}
