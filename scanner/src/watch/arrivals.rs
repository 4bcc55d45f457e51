//! What the watcher, the looks and the service tell each other about one folder.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

use super::pending::Pending;

/// Names that may wait to be looked at; beyond them, scans must find what is new.
const MAX_PENDING: usize = 100_000;

/// How much of what happens in a folder is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// The watch is being made.
    Opening,
    /// It could not be made, or is lost.
    Nothing,
    /// Everything since then.
    Since(Instant),
}

/// The names that something happened to, and whether that is all of them.
#[derive(Debug)]
pub(super) struct Arrivals {
    pending: Mutex<Pending>,
    woken: Notify,
    sight: watch::Sender<Sight>,
}

impl Arrivals {
    pub(super) fn new(sight: watch::Sender<Sight>) -> Self {
        Self { pending: Mutex::new(Pending::new(MAX_PENDING)), woken: Notify::new(), sight }
    }

    /// Something happened to the name: it is looked at unless more happens to it for this long. `false` if there is no
    /// room for it: it may be a folder, which no scan watches.
    #[must_use]
    pub(super) fn note(&self, name: &Path, quiet_for: Duration) -> bool {
        let has_room = self.pending().put(name.into(), Instant::now() + quiet_for);
        self.wake(has_room);
        has_room
    }

    /// The file is to be looked at after this time, if nothing happens to it before.
    pub(super) fn look_later(&self, name: Arc<Path>, wait: Duration) {
        let has_room = self.pending().put_back(name, Instant::now() + wait);
        self.wake(has_room);
    }

    fn wake(&self, has_room: bool) {
        match has_room {
            true => self.woken.notify_one(),
            false => self.missed_something(),
        }
    }

    /// Waits for names that are due and takes at most `max_len`.
    pub(super) async fn due(&self, max_len: usize) -> Vec<Arc<Path>> {
        loop {
            let next_due = {
                let mut pending = self.pending();
                let due = pending.take_due(Instant::now(), max_len);
                if !due.is_empty() {
                    return due;
                }
                pending.next_due()
            };
            match next_due {
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => {}
                    () = self.woken.notified() => {}
                },
                None => self.woken.notified().await,
            }
        }
    }

    /// Everything is seen from now on; a scan must find what was there before.
    pub(super) fn sees_everything(&self) {
        self.sight.send_replace(Sight::Since(Instant::now()));
    }

    /// Nothing is seen any more.
    pub(super) fn sees_nothing(&self) {
        self.sight.send_if_modified(|sight| std::mem::replace(sight, Sight::Nothing) != Sight::Nothing);
    }

    /// A scan must find what was missed before now.
    fn missed_something(&self) {
        self.sight.send_if_modified(|sight| {
            let is_seeing = matches!(sight, Sight::Since(_));
            if is_seeing {
                *sight = Sight::Since(Instant::now());
            }
            is_seeing
        });
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
