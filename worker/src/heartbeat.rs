//! Tells Postgres every few seconds that the running loads are alive and how far they are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use anyhow::Context;
use deadpool_postgres::Pool;
use longshore_common::{
    database,
    ledger::{self, Heartbeat},
};
use tracing::debug;
use uuid::Uuid;

use crate::progress::Progress;

const EVERY: Duration = Duration::from_secs(5);

/// How long a beat may take: a server that is only slow must hear it, and one that hangs leaves time for another try within the
/// stall limit.
const BEAT_LIMIT: Duration = Duration::from_secs(10);

/// After a beat that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

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

/// Makes sure that the heartbeat has its connection. One that was closed because nothing was loaded is made anew.
pub(crate) async fn connect(pool: &Pool) -> anyhow::Result<()> {
    let connecting = database::session(pool).await.context("the heartbeat has no connection to Postgres");
    connecting.map(database::Session::give_back)
}

/// Beats until it is aborted. Uses a connection of its own, because a load's connection is inside COPY.
pub(crate) async fn beat(pool: Pool, loads: RunningLoads) {
    let mut wait = EVERY;
    loop {
        tokio::time::sleep(wait).await;
        // A missed beat is harmless: the lease says whether a worker lives, unless it is silent for long.
        let beaten = tokio::time::timeout(BEAT_LIMIT, beat_once(&pool, &loads)).await;
        wait = match beaten.context("Postgres does not answer").flatten() {
            Ok(()) => EVERY,
            Err(error) => {
                debug!("heartbeat failed: {error:#}");
                AGAIN_AFTER
            }
        };
    }
}

async fn beat_once(pool: &Pool, loads: &RunningLoads) -> anyhow::Result<()> {
    let running = loads.snapshot();
    if running.is_empty() {
        return Ok(());
    }
    let session = database::session(pool).await?;
    let beat = |((task_id, attempt), progress): (LoadKey, Arc<Progress>)| Heartbeat {
        task_id,
        attempt,
        bytes_read: progress.bytes_read.load(Ordering::Relaxed),
        rows_read: progress.rows_read.load(Ordering::Relaxed),
    };
    let beats: Vec<Heartbeat> = running.into_iter().map(beat).collect();
    ledger::heartbeat(&session, &beats).await?;
    session.give_back();
    Ok(())
}
