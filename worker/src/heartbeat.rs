//! Tells Postgres every few seconds that the running loads are alive and how far they are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use anyhow::Context;
use deadpool_postgres::Pool;
use longshore_common::{database, ledger};
use tracing::debug;
use uuid::Uuid;

use crate::progress::Progress;

const EVERY: Duration = Duration::from_secs(5);

/// How long a beat may take: a server that is only slow must hear it, and one that hangs leaves time for another try within the
/// stall limit.
const BEAT_LIMIT: Duration = Duration::from_secs(20);

/// A task and its attempt.
type LoadKey = (Uuid, i32);

/// The loads of this worker that run right now.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunningLoads(Arc<Mutex<HashMap<LoadKey, Arc<Progress>>>>);

/// Takes a load off the list when it ends, however it ends.
pub(crate) struct Listed {
    loads: RunningLoads,
    key: LoadKey,
}

impl RunningLoads {
    /// Lists a load for as long as the guard lives.
    pub(crate) fn list(&self, task_id: Uuid, attempt: i32, progress: Arc<Progress>) -> Listed {
        let key = (task_id, attempt);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, progress);
        Listed { loads: self.clone(), key }
    }

    fn snapshot(&self) -> Vec<(LoadKey, Arc<Progress>)> {
        let loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loads.iter().map(|(key, progress)| (*key, progress.clone())).collect()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.loads.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Beats until it is aborted. Uses a connection of its own, because a load's connection is inside COPY.
pub(crate) async fn beat(pool: Pool, loads: RunningLoads) {
    loop {
        tokio::time::sleep(EVERY).await;
        // A missed beat is harmless: the lease, not the heartbeat, says whether a worker lives.
        let beaten = tokio::time::timeout(BEAT_LIMIT, beat_once(&pool, &loads)).await;
        if let Err(error) = beaten.context("Postgres does not answer").flatten() {
            debug!("heartbeat failed: {error:#}");
        }
    }
}

async fn beat_once(pool: &Pool, loads: &RunningLoads) -> anyhow::Result<()> {
    let running = loads.snapshot();
    if running.is_empty() {
        return Ok(());
    }
    let session = database::session(pool).await?;
    for ((task_id, attempt), progress) in running {
        let bytes_read = progress.bytes_read.load(Ordering::Relaxed);
        let rows_read = progress.rows_read.load(Ordering::Relaxed);
        ledger::heartbeat(&session, task_id, attempt, bytes_read, rows_read).await?;
    }
    session.give_back();
    Ok(())
}
