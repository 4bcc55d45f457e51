//! How many savepoints a load may keep.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Postgres keeps 64 subtransactions of a transaction in shared memory. With more, every snapshot on the server has to look up
/// on disk whose rows are whose, until the load ends.
const MAX_KEPT: usize = 50;

/// The savepoints of one transaction.
///
/// A part of a load that gets none cannot be undone alone. If it has to be, the load begins again, with a savepoint for each
/// part. That is rare: where one part was undone, more may have to be, and from then on each gets one.
#[derive(Debug)]
pub(crate) struct Savepoints {
    left: AtomicUsize,
    has_one: AtomicBool,
}

impl Savepoints {
    /// Few enough for Postgres.
    pub(crate) fn bounded() -> Self {
        Self { left: AtomicUsize::new(MAX_KEPT), has_one: AtomicBool::new(false) }
    }

    /// One for each part.
    pub(crate) fn unbounded() -> Self {
        Self { left: AtomicUsize::new(usize::MAX), ..Self::bounded() }
    }

    /// For the next part: whether it gets one.
    pub(crate) fn take(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        self.has_one.store(left > 0, Ordering::Relaxed);
        left > 0
    }

    /// Whether the part has one.
    pub(crate) fn has_one(&self) -> bool {
        self.has_one.load(Ordering::Relaxed)
    }

    /// A part was undone.
    pub(crate) fn undone(&self) {
        self.left.store(usize::MAX, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_parts_of_a_load_get_savepoints_and_each_does_once_one_was_undone() {
        let savepoints = Savepoints::bounded();
        assert!((0..MAX_KEPT).all(|_| savepoints.take() && savepoints.has_one()));
        assert_eq!((savepoints.take(), savepoints.has_one()), (false, false));
        let savepoints = Savepoints::bounded();
        savepoints.take();
        savepoints.undone();
        assert!((0..1000).all(|_| savepoints.take() && savepoints.has_one()));
    }
}
