//! Arrival without waiting: each continuous dataset whose source is a local folder is watched.
//!
//! An event is only a hint to look at a name, and looks go the way of scans. A scan follows whenever something may have been
//! missed, and now and then in any case: a lost event costs time, never a file.

mod arrivals;
mod filesystem;
mod folder;
mod look;
mod pending;
mod watching;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool_postgres::Pool;
use longshore_common::{
    dataset::Schedule,
    ledger::StoredDataset,
    store::{LocalStore, Store},
};
use tokio::{
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span};

use arrivals::{Arrivals, Sight};
use watching::Watching;

/// Looks that go on at once; other datasets wait for their turn.
pub(crate) const MAX_LOOKS: usize = 2;

/// How long the first scan of a dataset waits for its watch, which a dead mount never lets begin. A scan that began before its
/// watch must be repeated.
const OPENING_LIMIT: Duration = Duration::from_secs(10);

/// The watches of the service, by dataset.
pub(crate) struct Watches {
    pool: Pool,
    stall_limit: Duration,
    stop: CancellationToken,
    turns: Arc<Semaphore>,
    watches: HashMap<i32, Watch>,
    tasks: JoinSet<()>,
}

struct Watch {
    version: i32,
    started: Instant,
    sight: watch::Receiver<Sight>,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watches {
    pub(crate) fn new(pool: Pool, stall_limit: Duration, stop: CancellationToken) -> Self {
        let turns = Arc::new(Semaphore::new(MAX_LOOKS));
        Self { pool, stall_limit, stop, turns, watches: HashMap::new(), tasks: JoinSet::new() }
    }

    /// Watches what these datasets, all that there are, ask for now, and nothing else.
    pub(crate) fn follow<'a>(&mut self, datasets: impl Iterator<Item = &'a StoredDataset>) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && !error.is_cancelled()
            {
                error!("a watch ended abnormally and begins anew: {error}");
            }
        }
        let mut wanted = HashSet::new();
        for dataset in datasets {
            let Some(store) = watchable(dataset) else { continue };
            wanted.insert(dataset.id);
            let is_followed = |watch: &Watch| watch.version == dataset.version && !watch.task.is_finished();
            if !self.watches.get(&dataset.id).is_some_and(is_followed) {
                self.start(dataset.clone(), store);
            }
        }
        self.watches.retain(|dataset_id, _| wanted.contains(dataset_id));
    }

    fn start(&mut self, dataset: StoredDataset, store: LocalStore) {
        let (dataset_id, version) = (dataset.id, dataset.version);
        let (sender, sight) = watch::channel(Sight::Opening);
        let span = info_span!("watch", dataset = %dataset.spec.name);
        let watching = Watching {
            dataset,
            store,
            pool: self.pool.clone(),
            stall_limit: self.stall_limit,
            stop: self.stop.clone(),
            turns: Arc::clone(&self.turns),
            arrivals: Arc::new(Arrivals::new(sender)),
        };
        let task = self.tasks.spawn(watching.run().instrument(span));
        self.watches.insert(dataset_id, Watch { version, started: Instant::now(), sight, task });
    }

    /// Whether the dataset's watch is about to begin, so that it is too early for a scan.
    pub(crate) fn is_opening(&self, dataset_id: i32) -> bool {
        self.watches.get(&dataset_id).is_some_and(|watch| {
            *watch.sight.borrow() == Sight::Opening && watch.started.elapsed() < OPENING_LIMIT
        })
    }

    /// Whether something may have been missed since the last scan began.
    pub(crate) fn wants_scan(&self, dataset_id: i32) -> bool {
        // An error means that the watch has ended; the next one says what it sees.
        self.watches.get(&dataset_id).is_some_and(|watch| watch.sight.has_changed().unwrap_or(false))
    }

    /// A scan begins: since when the dataset's folder has been watched, if it is.
    pub(crate) fn scan_begins(&mut self, dataset_id: i32) -> Option<Instant> {
        match *self.watches.get_mut(&dataset_id)?.sight.borrow_and_update() {
            Sight::Since(since) => Some(since),
            Sight::Opening | Sight::Nothing => None,
        }
    }

    /// Ends all.
    pub(crate) async fn finish(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// Links may lead where nothing tells of what happens, and to one folder by several names.
fn watchable(dataset: &StoredDataset) -> Option<LocalStore> {
    if dataset.spec.schedule != Schedule::Continuous || dataset.spec.discovery.follow_links {
        return None;
    }
    match Store::of(&dataset.spec) {
        Ok(Store::Local(store)) => Some(store),
        // Where the store has no name, its scans say why.
        Ok(Store::Bucket(_)) | Err(_) => None,
    }
}
