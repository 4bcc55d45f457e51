//! A look at some names, under the dataset's lock: what is new is recorded and becomes tasks, as by a scan.
//!
//! A look has not seen everything, so it moves no watermark, and it is no row in the books: there may be thousands a day.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use chrono::Utc;
use longshore_common::{
    ledger::{self, Lock, StoredDataset},
    store::{Listed, LocalStore, Store, StoreThread, StoredFile},
    telemetry,
};
use tokio_postgres::Client;
use tracing::{debug, info};

use crate::{answer::answered, batching, discovery::SPEAK_EVERY, pass::Pass};

/// Gives the files that are to be looked at once more, later; `None`, without a look, while a scan has the lock.
///
/// After an error the connection must be closed: it may hold the lock.
pub(super) async fn look(
    client: &mut Client,
    dataset: &StoredDataset,
    store: &LocalStore,
    names: &[Arc<Path>],
    stall_limit: Duration,
) -> anyhow::Result<Option<Vec<StoredFile>>> {
    let lock = Lock::Scan(dataset.id);
    if !answered(ledger::try_lock_from_silent(client, lock, stall_limit)).await? {
        return Ok(None);
    }
    // Not before the lock is held: versions of a file are to be recorded in the order in which they came.
    let listed = look_at(client, store, names, stall_limit).await?;
    // However old: what has been moved here keeps its modified time.
    let mut pass = Pass::new(dataset, None, Utc::now());
    let taking = tokio::time::timeout(stall_limit, pass.take(client, listed));
    let waiting = taking.await.context("Postgres does not answer").flatten()?;
    if pass.counts().new > 0 {
        let mut batches = pass.take_batches();
        batching::send_batches(client, dataset, false, &mut batches).await?;
        info!(new = pass.counts().new, tasks = batches.tasks, "found new files");
    }
    answered(ledger::unlock(client, lock)).await?;
    let counts = pass.counts();
    telemetry::metrics().files_scanned(&dataset.spec.name, counts.new);
    debug!(known = counts.known, skipped = ?counts.skipped, "looked");
    Ok(Some(waiting))
}

/// Off the threads that serve connections, and saying now and then that the holder of the lock lives.
async fn look_at(
    client: &Client,
    store: &LocalStore,
    names: &[Arc<Path>],
    stall_limit: Duration,
) -> anyhow::Result<Vec<Listed>> {
    let (store, names, started) = (store.clone(), names.to_vec(), Instant::now());
    let source = Store::Local(store.clone()).folder_uri("");
    let look = move || names.iter().filter_map(|name| store.look_at(name)).collect();
    let mut looking = StoreThread::start(&source, "look", look)?;
    loop {
        tokio::select! {
            listed = looking.ended() => return Ok(listed?),
            () = tokio::time::sleep(SPEAK_EVERY) => {}
        }
        if started.elapsed() > stall_limit {
            bail!("the store did not answer within {stall_limit:?}");
        }
        answered(client.batch_execute("")).await?;
    }
}
