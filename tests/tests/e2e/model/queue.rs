//! The broker, as far as Longshore may rely on it: messages come in any order, once, twice or never.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: Vec<Uuid>,
    /// Delivered and not answered, by consumer.
    in_hand: BTreeMap<&'static str, Uuid>,
    /// Tasks of which a message was lost since the last was published.
    lost: BTreeSet<Uuid>,
}

impl Queue {
    pub(super) fn publish(&mut self, task: Uuid) {
        self.lost.remove(&task);
        self.ready.push(task);
    }

    /// Any message, not only the oldest.
    pub(super) fn deliver(&mut self, consumer: &'static str, choice: u8) -> Option<Uuid> {
        let task = self.take(choice)?;
        self.in_hand.insert(consumer, task);
        Some(task)
    }

    fn take(&mut self, choice: u8) -> Option<Uuid> {
        let count = self.ready.len();
        (count > 0).then(|| self.ready.remove(usize::from(choice) % count))
    }

    /// Does nothing if the channel is gone: the message has been given to the queue again.
    pub(super) fn ack(&mut self, consumer: &'static str) {
        self.in_hand.remove(consumer);
    }

    /// The consumer, its channel, or its patience is gone.
    pub(super) fn requeue(&mut self, consumer: &'static str) {
        self.ready.extend(self.in_hand.remove(consumer));
    }

    pub(super) fn lose(&mut self, choice: u8) -> Option<Uuid> {
        let task = self.take(choice)?;
        self.lost.insert(task);
        Some(task)
    }

    pub(super) fn double(&mut self, choice: u8) -> Option<Uuid> {
        let task = self.take(choice)?;
        self.ready.extend([task, task]);
        Some(task)
    }

    /// Whether a message of the task will come to a worker, as far as that is not the broker's fault.
    pub(super) fn will_bring(&self, task: Uuid) -> bool {
        self.ready.contains(&task)
            || self.in_hand.values().any(|in_hand| *in_hand == task)
            || self.lost.contains(&task)
    }

    pub(super) fn has_lost(&self, task: Uuid) -> bool {
        self.lost.contains(&task)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
