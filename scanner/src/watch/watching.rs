//! One dataset's watch: made, used, lost and made again.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use longshore_common::{
    backoff::Backoff,
    database, edge,
    ledger::StoredDataset,
    store::{Listed, LocalStore, Store, StoreThread, StoredFile},
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{Span, info, warn};
use url::Url;

use super::{arrivals::Arrivals, folder::WatchedFolder, look::look};
use crate::{discovery::PAGE_LEN, trouble::Trouble};

/// When a file is looked at again of which an earlier version is on its way.
const LATER: Duration = Duration::from_secs(2);

/// Between two tries to watch a folder.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// How often it is looked whether the watched folder is still the one of this name. Nothing tells of a folder that is
/// unmounted, mounted over, or below one that is renamed.
const COMPARE_EVERY: Duration = Duration::from_secs(2);

/// How long it may take to watch a folder: a tree of a million folders on a slow disk takes most of it. Meanwhile the folder is
/// scanned every few seconds.
const OPEN_LIMIT: Duration = Duration::from_secs(3600);

/// What one dataset's watch works with.
#[derive(Clone)]
pub(super) struct Watching {
    pub(super) dataset: StoredDataset,
    pub(super) store: LocalStore,
    pub(super) pool: Pool,
    pub(super) stall_limit: Duration,
    pub(super) stop: CancellationToken,
    /// A look takes one, so that there are connections for all.
    pub(super) turns: Arc<Semaphore>,
    pub(super) arrivals: Arc<Arrivals>,
}

impl Watching {
    /// Watches until it is aborted, which may happen anywhere: a scan finds what was in hand.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::up_to(Duration::from_secs(5));
        let mut said = String::new();
        loop {
            let started = Instant::now();
            let opened = self.open().await;
            let took = started.elapsed();
            let error = match opened {
                Ok((folder, mut lost)) => {
                    said.clear();
                    self.arrivals.sees_everything();
                    info!(source = %self.dataset.spec.source, "watching the folder");
                    tokio::select! {
                        Some(error) = lost.recv() => error,
                        error = self.replaced(&folder) => error,
                        looked = self.look_at_arrivals(&folder) => match looked {
                            Ok(()) => return,
                            Err(error) => error,
                        },
                    }
                }
                Err(error) => error,
            };
            self.arrivals.sees_nothing();
            let message = format!("{error:#}");
            if message != said {
                warn!(source = %self.dataset.spec.source, "the folder cannot be watched, and is scanned every few seconds: {message}");
                said = message;
            }
            // Watching a large tree costs: most of the time is to be left for other things.
            let rest = (20 * took).min(LONGEST_REST);
            tokio::time::sleep(backoff.next_wait_after(started.elapsed() - took) + rest).await;
        }
    }

    async fn open(&self) -> anyhow::Result<(WatchedFolder, mpsc::Receiver<anyhow::Error>)> {
        let (sender, lost) = mpsc::channel(1);
        let (root, settle) = (self.store.root().to_owned(), self.settle());
        let (arrivals, span) = (Arc::clone(&self.arrivals), Span::current());
        let opening = move || span.in_scope(|| WatchedFolder::open(&root, settle, arrivals, sender));
        Ok((self.in_thread("watch", OPEN_LIMIT, opening).await?, lost))
    }

    /// Waits until the folder of this name is another, or none, or gives no answer; says which.
    async fn replaced(&self, folder: &WatchedFolder) -> anyhow::Error {
        loop {
            tokio::time::sleep(COMPARE_EVERY).await;
            let comparing = self.in_thread("compare", self.stall_limit, folder.comparison());
            if let Err(error) = comparing.await {
                return error;
            }
        }
    }

    /// Until the service stops. After an error nobody knows what was seen, and all is watched anew.
    async fn look_at_arrivals(&self, folder: &WatchedFolder) -> anyhow::Result<()> {
        let mut trouble = Trouble::new("looking at new files");
        let mut refused = Backoff::up_to(Duration::from_millis(500));
        let mut wait = Duration::ZERO;
        while trouble.pause(wait, &self.stop).await {
            wait = Duration::ZERO;
            let names = self.settled(folder, self.arrivals.due(PAGE_LEN).await).await?;
            if names.is_empty() {
                continue;
            }
            let looked = self.look_at(&names).await;
            if let Ok(Some(waiting)) = &looked {
                refused.reset();
                for name in waiting.iter().filter_map(|file| Some(path(file)?.into())) {
                    self.arrivals.look_later(name, self.settle().max(LATER));
                }
            } else {
                wait = refused.next_wait();
                for name in names {
                    self.arrivals.look_later(name, Duration::ZERO);
                }
            }
            trouble.note(looked.map(drop));
        }
        Ok(())
    }

    /// `None` while a scan has the lock.
    async fn look_at(&self, names: &[Arc<Path>]) -> anyhow::Result<Option<Vec<StoredFile>>> {
        let _turn = self.turns.acquire().await.context("the looks have ended")?;
        let mut session = database::session(&self.pool).await?;
        let waiting = look(&mut session, &self.dataset, &self.store, names, self.stall_limit).await?;
        session.give_back();
        Ok(waiting)
    }

    /// The names that are worth a look under the lock. A dead mount hangs here, where nothing is held.
    async fn settled(&self, folder: &WatchedFolder, names: Vec<Arc<Path>>) -> anyhow::Result<Vec<Arc<Path>>> {
        let (watching, folder) = (self.clone(), folder.clone());
        let sorting = move || watching.sort_out(&folder, names);
        self.in_thread("sort out", self.stall_limit, sorting).await
    }

    /// Gives the files that have settled; the others are looked at when they have, and so are the names in a new folder.
    fn sort_out(&self, folder: &WatchedFolder, names: Vec<Arc<Path>>) -> anyhow::Result<Vec<Arc<Path>>> {
        edge::pass("watch::sort_out")?;
        let mut settled = Vec::new();
        for name in names {
            match self.store.look_at(&name) {
                Some(Listed::File { changed_time, .. }) => match self.remaining(changed_time) {
                    Some(wait) => self.arrivals.look_later(name, wait),
                    None => settled.push(name),
                },
                // Only a change of its name could change that.
                Some(Listed::Skipped(_)) => {}
                None if name.is_dir() => {
                    folder.take_in(&name, |name| self.arrivals.look_later(name.into(), Duration::ZERO));
                }
                None => {}
            }
        }
        Ok(settled)
    }

    /// Does what may hang in a dead mount off the threads that serve connections, and not for ever. What has not ended by then goes on
    /// by itself, and counts as hung.
    async fn in_thread<T: Send + 'static>(
        &self,
        work: &str,
        limit: Duration,
        function: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let source = Store::Local(self.store.clone()).folder_uri("");
        let mut thread = StoreThread::start(&source, work, function)?;
        let ended = tokio::time::timeout(limit, thread.ended()).await;
        ended.with_context(|| format!("the file system did not answer within {limit:?}"))??
    }

    /// How long a file that changed then has still to settle.
    fn remaining(&self, changed_time: DateTime<Utc>) -> Option<Duration> {
        let settled = changed_time + self.settle();
        (settled - Utc::now()).to_std().ok().filter(|wait| !wait.is_zero())
    }

    fn settle(&self) -> Duration {
        self.dataset.spec.discovery.settle.0
    }
}

fn path(file: &StoredFile) -> Option<PathBuf> {
    Url::parse(&file.uri).ok()?.to_file_path().ok()
}
