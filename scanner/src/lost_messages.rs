//! Messages that were lost after their confirm, because a queue was purged or deleted or a broker built anew: their tasks stay
//! published and NEW. They become unpublished, so that the relay publishes them like any others.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use deadpool_postgres::ClientWrapper;
use longshore_common::ledger::{self, LongestPublished};
use tokio_postgres::Client;
use tracing::warn;

use crate::{answer::answered, low_mark::LowMark};

/// How long a message may be on its way from the queue to a worker's claim.
const GRACE: Duration = Duration::from_secs(10);

/// How long after a first look a second one tells: the grace, and a little, because another clock measures it.
pub(crate) const SECOND_LOOK: Duration = Duration::from_secs(11);

/// How often to look, where a task has been published for longer than that.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub(crate) struct LostMessages {
    looked: Option<Instant>,
    /// By the time of publishing.
    published: LowMark,
    /// The server's time at the last look, and when that was by ours.
    clock: Option<(DateTime<Utc>, Instant)>,
    /// Now, when some task had been published for longer than the grace.
    now: Option<DateTime<Utc>>,
    /// Since when each look has found the queue empty.
    empty_since: Option<DateTime<Utc>>,
}

impl LostMessages {
    /// Whether it is time to look, and a task has been published for longer than the grace.
    pub(crate) async fn is_suspicious(&mut self, client: &ClientWrapper) -> anyhow::Result<bool> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return Ok(false);
        }
        let LongestPublished { now, published_time } =
            answered(ledger::longest_published(client, self.published.from())).await?;
        self.published.is_empty_before(published_time.unwrap_or(now));
        let is_long = |time: DateTime<Utc>| (now - time).to_std().is_ok_and(|passed| passed > GRACE);
        self.now = published_time.is_some_and(is_long).then_some(now);
        self.looked = Some(Instant::now());
        self.clock = Some((now, Instant::now()));
        if self.now.is_none() {
            self.empty_since = None;
        }
        Ok(self.now.is_some())
    }

    /// The server's time, as far as a look has told it.
    pub(crate) fn server_time(&self) -> Option<DateTime<Utc>> {
        self.clock.map(|(time, seen)| time + seen.elapsed())
    }

    /// Unpublishes what workers have passed over; whether there was any.
    pub(crate) async fn unpublish_overtaken(&mut self, client: &Client) -> anyhow::Result<bool> {
        let Some(limit) = answered(ledger::overtaken_until(client, GRACE)).await? else { return Ok(false) };
        Ok(unpublish(client, limit).await? > 0)
    }

    /// Unpublishes what is in no queue: at each of two looks the queue was empty, and since the first of them, the grace
    /// ago, nobody has claimed it. `ready` is the number of messages in the queue, counted after [`Self::is_suspicious`].
    pub(crate) async fn unpublish_missing(&mut self, client: &Client, ready: u32) -> anyhow::Result<()> {
        let Some(now) = self.now.filter(|_| ready == 0) else {
            self.empty_since = None;
            return Ok(());
        };
        let empty_since = *self.empty_since.get_or_insert(now);
        if (now - empty_since).to_std().is_ok_and(|passed| passed >= GRACE) {
            unpublish(client, empty_since).await?;
            self.empty_since = Some(now);
        }
        Ok(())
    }

    /// Whether only another look, after the grace, can tell if messages were lost.
    pub(crate) fn needs_second_look(&self) -> bool {
        self.empty_since.is_some()
    }
}

async fn unpublish(client: &Client, limit: DateTime<Utc>) -> anyhow::Result<u64> {
    let (mut tasks, mut from) = (0, None);
    loop {
        let (unpublished, next) = answered(ledger::unpublish_page(client, from, limit)).await?;
        tasks += unpublished;
        if next.is_none() {
            break;
        }
        from = next;
    }
    if tasks > 0 {
        warn!(
            tasks,
            "messages seem lost, which the broker had confirmed; their tasks are published again (if this goes on, look whether \
             another database's workers use the same LONGSHORE_AMQP_PREFIX)"
        );
    }
    Ok(tasks)
}
