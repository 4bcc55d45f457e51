//! Names that something happened to, until each has been quiet for long enough.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::Arc,
    time::Instant,
};

/// Different names, each with the time at which it is looked at.
#[derive(Debug)]
pub(super) struct Pending {
    due_times: HashMap<Arc<Path>, Instant>,
    by_time: BTreeSet<(Instant, Arc<Path>)>,
    max_len: usize,
}

impl Pending {
    pub(super) fn new(max_len: usize) -> Self {
        Self { due_times: HashMap::new(), by_time: BTreeSet::new(), max_len }
    }

    /// The name is due at this time, whatever was said before; `false` if there is no room for it.
    pub(super) fn put(&mut self, name: Arc<Path>, due: Instant) -> bool {
        if self.due_times.len() >= self.max_len && !self.due_times.contains_key(&name) {
            return false;
        }
        if let Some(before) = self.due_times.insert(Arc::clone(&name), due) {
            self.by_time.remove(&(before, Arc::clone(&name)));
        }
        self.by_time.insert((due, name));
        true
    }

    /// The same for a name that was taken: what happened to it since says more.
    pub(super) fn put_back(&mut self, name: Arc<Path>, due: Instant) -> bool {
        self.due_times.contains_key(&name) || self.put(name, due)
    }

    /// When the next name is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.by_time.first().map(|(due, _)| *due)
    }

    /// Takes at most `max_len` names that are due, those that have been longest first.
    pub(super) fn take_due(&mut self, now: Instant, max_len: usize) -> Vec<Arc<Path>> {
        let mut taken = Vec::new();
        while taken.len() < max_len && self.next_due().is_some_and(|due| due <= now) {
            let Some((_, name)) = self.by_time.pop_first() else { break };
            self.due_times.remove(&name);
            taken.push(name);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(text: &str) -> Arc<Path> {
        Path::new(text).into()
    }

    #[test]
    fn a_name_is_due_once_and_after_the_last_that_was_said_of_it() {
        let (mut pending, start) = (Pending::new(10), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        for (text, seconds) in [("a", 1), ("b", 2), ("a", 3)] {
            assert!(pending.put(name(text), after(seconds)));
        }
        assert_eq!(pending.next_due(), Some(after(2)));
        assert_eq!(pending.take_due(after(2), 10), [name("b")]);
        assert_eq!(pending.take_due(after(3), 10), [name("a")]);
        assert_eq!((pending.next_due(), pending.take_due(after(9), 10)), (None, vec![]));
    }

    #[test]
    fn what_was_said_since_a_name_was_taken_counts() {
        let (mut pending, start) = (Pending::new(10), Instant::now());
        let later = start + Duration::from_secs(5);
        assert!(pending.put(name("a"), later) && pending.put_back(name("a"), start));
        assert!(pending.put_back(name("b"), start));
        assert_eq!(pending.take_due(start, 10), [name("b")]);
    }

    #[test]
    fn beyond_the_limit_only_names_that_are_in_it_are_taken() {
        let (mut pending, now) = (Pending::new(2), Instant::now());
        assert!(pending.put(name("a"), now) && pending.put(name("b"), now));
        assert!(!pending.put(name("c"), now) && !pending.put_back(name("c"), now));
        assert!(pending.put(name("a"), now));
        assert_eq!(pending.take_due(now, 1).len(), 1);
        assert!(pending.put(name("c"), now));
    }
}
