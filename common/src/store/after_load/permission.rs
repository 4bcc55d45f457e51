//! Whether what was decided about a file may still be done. The decision is made under locks of a Postgres session, and a store may
//! hang for any time in between: its thread cannot be ended, and goes on when it wakes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// Held by the one whose session has the locks. Once it is dropped, however that came, or was not renewed for too long, nothing
/// more is done with its permissions.
#[derive(Debug)]
pub struct Grant {
    until: Arc<Mutex<Instant>>,
    lasts: Duration,
}

impl Grant {
    /// For locks that an answer of Postgres has shown to be held. It `lasts` from when Postgres was asked: a process may have been
    /// stopped between the answer and this. Must be well below the time after which others end a silent session.
    pub fn new(asked: Instant, lasts: Duration) -> Self {
        Self { until: Arc::new(Mutex::new(asked + lasts)), lasts }
    }

    /// Postgres has answered the session, so that the locks were still held when it was asked.
    pub fn renew(&self, asked: Instant) {
        *lock(&self.until) = asked + self.lasts;
    }

    /// For those who do the work.
    pub fn permission(&self) -> Permission {
        Permission(Arc::downgrade(&self.until))
    }
}

/// Asked right before each step that cannot be taken back.
#[derive(Debug, Clone)]
pub struct Permission(Weak<Mutex<Instant>>);

impl Permission {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let until = self.0.upgrade().map(|until| *lock(&until));
        anyhow::ensure!(
            until.is_some_and(|until| Instant::now() < until),
            "the store was too slow, or Postgres gave no answer meanwhile: whether the file may still be taken is decided anew"
        );
        Ok(())
    }
}

fn lock(until: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    until.lock().unwrap_or_else(PoisonError::into_inner)
}
