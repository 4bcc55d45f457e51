//! Tasks whose worker is gone become NEW again; a worker that is silent beyond the limit loses its task.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use deadpool_postgres::ClientWrapper;
use longshore_common::{
    edge,
    ledger::{self, Gone, Holder, Lock, OpenTask, Rescue},
    limits::Limits,
};
use tokio_postgres::Client;
use tracing::{error, warn};
use uuid::Uuid;

use crate::pace::Pace;

/// How long a lease must be free before its worker counts as dead. A worker that lives and has lost only its connection
/// settles the task itself within this time.
const FREE_FOR: Duration = Duration::from_secs(1);

/// How long a holder must have given no new sign of life while we looked: longer than from one heartbeat to the next. So a
/// clock that was set forward ends nobody.
const SILENT_FOR: Duration = Duration::from_secs(7);

/// Rescues tasks; remembers since when each has looked the same.
#[derive(Debug)]
pub struct Rescuer {
    limits: Limits,
    sightings: HashMap<(Uuid, i32), Sighting>,
    pace: Pace,
}

#[derive(Debug, Clone, Copy)]
struct Sighting {
    /// The last sign of life of whoever holds the lease; `None` if it is free.
    sign_of_life: Option<DateTime<Utc>>,
    /// Since when it has been this one.
    since: Instant,
}

impl Rescuer {
    /// A rescuer that has seen nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, sightings: HashMap::new(), pace: Pace::default() }
    }

    /// Looks at every task that is PROCESSING or whose lease is held. Gives the number of tasks that were rescued. If another
    /// rescuer is at it, or the last look was slow and recent, nothing is left to do here.
    ///
    /// After an error the connection must be closed: it may hold a lock.
    pub async fn look(&mut self, client: &ClientWrapper) -> anyhow::Result<u64> {
        if self.pace.is_due() { self.look_now(client).await } else { Ok(0) }
    }

    async fn look_now(&mut self, client: &ClientWrapper) -> anyhow::Result<u64> {
        if !ledger::try_lock_from_silent(client, Lock::Rescue, self.limits.stall_limit).await? {
            return Ok(0);
        }
        let open = self.pace.look(ledger::open_tasks(client)).await?;
        self.sightings.retain(|key, _| open.iter().any(|task| (task.id, task.attempt) == *key));
        // All at once, as they were listed: what one of them takes is no time that another was looked at.
        let gone: Vec<OpenTask> = open.into_iter().filter(|task| self.is_gone(task)).collect();
        let mut rescued = 0;
        for task in gone {
            rescued += u64::from(self.take_away(client, task).await?);
        }
        ledger::unlock(client, Lock::Rescue).await?;
        Ok(rescued)
    }

    /// Looks, and where it is in doubt looks again when that counts: for a caller that does not come back.
    pub async fn look_until_sure(&mut self, client: &ClientWrapper) -> anyhow::Result<u64> {
        let mut rescued = self.look_now(client).await?;
        let doubt = self.sightings.values().map(|sighting| match sighting.sign_of_life {
            None => FREE_FOR,
            Some(_) => SILENT_FOR,
        });
        if let Some(doubt) = doubt.max() {
            tokio::time::sleep(doubt).await;
            rescued += self.look_now(client).await?;
        }
        Ok(rescued)
    }

    fn is_gone(&mut self, task: &OpenTask) -> bool {
        let seen_for = self.seen_for(task);
        match task.holder {
            None => seen_for >= FREE_FOR,
            Some(holder) => self.is_silent(holder) && seen_for >= SILENT_FOR,
        }
    }

    /// From whoever had it.
    async fn take_away(&self, client: &Client, task: OpenTask) -> anyhow::Result<bool> {
        if let Some(holder) = task.holder {
            if !ledger::end_silent_holder(client, &task, holder).await? {
                return Ok(false); // It has been heard since.
            }
            let Holder { pid, silent_for_secs, .. } = holder;
            warn!(task = %task.id, attempt = task.attempt, pid, silent_for_secs, "ended the session of a silent worker");
        }
        if !task.is_processing {
            return Ok(false); // Its lease is free, which is all it needs.
        }
        let lease = Lock::Task(task.lease_key);
        if !ledger::try_lock(client, lease).await? {
            return Ok(false); // Another worker was quicker.
        }
        edge::pass("rescue::before")?;
        // The task may have been settled, and its lease released, since it was listed: the attempt is the fence.
        let gone = if task.holder.is_some() { Gone::Silent } else { Gone::Died };
        let outcome = ledger::rescue(client, task.id, task.attempt, gone, self.limits.max_deaths).await?;
        edge::pass("rescue::after")?;
        ledger::unlock(client, lease).await?;
        match outcome {
            Rescue::New => {
                warn!(task = %task.id, attempt = task.attempt, "its worker is gone; the task is NEW again");
            }
            Rescue::Poison => {
                error!(task = %task.id, attempt = task.attempt, "too many workers died; the task FAILED");
            }
            Rescue::NotNeeded => {}
        }
        Ok(outcome != Rescue::NotNeeded)
    }

    /// For how long the task has looked as it looks now. What needs no watching is not remembered.
    fn seen_for(&mut self, task: &OpenTask) -> Duration {
        let key = (task.id, task.attempt);
        if task.holder.is_some_and(|holder| !self.is_silent(holder)) {
            self.sightings.remove(&key);
            return Duration::ZERO;
        }
        let sign_of_life = task.holder.map(|holder| holder.sign_of_life);
        let now = Sighting { sign_of_life, since: Instant::now() };
        let sighting = self.sightings.entry(key).or_insert(now);
        if sighting.sign_of_life != sign_of_life {
            *sighting = now;
        }
        sighting.since.elapsed()
    }

    fn is_silent(&self, holder: Holder) -> bool {
        holder.silent_for_secs >= self.limits.stall_limit.as_secs_f64()
    }
}
