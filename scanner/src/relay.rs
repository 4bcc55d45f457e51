//! From the task table to RabbitMQ: publish, wait for the confirm, mark.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::ClientWrapper;
use longshore_common::{
    edge,
    ledger::{self, Lock, Unpublished},
    queue::{Published, Publisher, Queue},
    telemetry,
};
use tokio_util::sync::CancellationToken;
use tracing::{Span, info_span};
use uuid::Uuid;

use crate::{
    answer::answered,
    lost_messages::{LostMessages, SECOND_LOOK},
    low_mark::LowMark,
};

/// Tasks whose confirms are awaited together.
const WINDOW: i64 = 500;

/// With so many messages in the queue, a relay that comes back publishes no more for the moment: the queue is in order, and what
/// another dataset finds meanwhile would stand behind all of them.
const MAX_AHEAD: u32 = 500;

/// How soon it looks again then. Workers take less than [`MAX_AHEAD`] tasks in this time.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Publishes what is NEW, due and unpublished, on a connection of its own that is opened when there is something to send, and
/// notices messages that were lost after their confirm.
pub struct Relay {
    queue: Queue,
    stall_limit: Duration,
    publisher: Option<Publisher>,
    /// The broker failed the last time that it was spoken to.
    is_cut_off: bool,
    /// Whether an alarm of the broker is recorded; `None`: to be read.
    is_alarm_recorded: Option<bool>,
    /// It comes back, so that it need not publish everything at once.
    comes_back: bool,
    /// The queue has enough for the moment, and more is due.
    is_held_back: bool,
    lost: LostMessages,
    /// By due time.
    unpublished: LowMark,
    /// The last call published something: where files keep coming, the next one need not ask first.
    had_work: bool,
}

impl Relay {
    /// A relay that is not connected yet. Another that holds the lock and is silent for `stall_limit` loses it.
    pub fn new(queue: Queue, stall_limit: Duration) -> Self {
        Self {
            queue,
            stall_limit,
            publisher: None,
            is_cut_off: false,
            is_alarm_recorded: None,
            comes_back: false,
            is_held_back: false,
            lost: LostMessages::default(),
            unpublished: LowMark::default(),
            had_work: false,
        }
    }

    /// The same for a caller that comes back soon: it keeps the queue short, so that the turns of the datasets count.
    pub(crate) fn that_comes_back(queue: Queue, stall_limit: Duration) -> Self {
        Self { comes_back: true, ..Self::new(queue, stall_limit) }
    }

    /// Whether more is due than the queue was to take.
    pub(crate) fn is_held_back(&self) -> bool {
        self.is_held_back
    }

    /// Publishes until nothing is due, the queue has enough or `stop` is cancelled; gives the number of tasks. If another relay is at it,
    /// nothing is left to do here. No transaction is open while the broker is waited for.
    ///
    /// After an error the database connection must be closed: it may hold the relay's lock. The next call opens a new
    /// connection to the broker where the old one is of no more use.
    pub async fn publish_due(
        &mut self,
        client: &ClientWrapper,
        stop: &CancellationToken,
    ) -> anyhow::Result<u64> {
        if self.is_alarm_recorded.is_none() {
            let is_recorded = answered(ledger::broker_alarm_since(client)).await?.is_some();
            self.is_alarm_recorded = Some(is_recorded);
            // The relay that recorded it is gone perhaps: publishing tells whether it lasts.
            self.is_cut_off |= is_recorded;
        }
        let published = self.publish_until_done(client, stop).await;
        self.record_alarm(client).await?;
        published
    }

    /// Only publishing shows an alarm, so that `status` and `health` are told of it here.
    async fn record_alarm(&mut self, client: &ClientWrapper) -> anyhow::Result<()> {
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let is_alarmed = publisher.is_blocked();
        if self.is_alarm_recorded != Some(is_alarmed) && !client.is_closed() {
            answered(ledger::record_broker_alarm(client, is_alarmed)).await?;
            self.is_alarm_recorded = Some(is_alarmed);
        }
        Ok(())
    }

    async fn publish_until_done(
        &mut self,
        client: &ClientWrapper,
        stop: &CancellationToken,
    ) -> anyhow::Result<u64> {
        let is_suspicious = self.lost.is_suspicious(client).await?;
        answered(ledger::choose_tries(client)).await?;
        // Cut off, it connects even if nothing is due: only then is it true that publishing works again.
        let expects_work = std::mem::take(&mut self.had_work) || is_suspicious || self.is_cut_off;
        // One for the whole call: what a full look has found is published below, too.
        let mut from = self.unpublished.from();
        let has_work = expects_work || !self.due_tasks(client, from, 1).await?.is_empty();
        if !has_work
            || !answered(ledger::try_lock_from_silent(
                client,
                Lock::Relay,
                self.stall_limit.max(BROKER_LIMIT),
            ))
            .await?
        {
            return Ok(0);
        }
        if self.is_cut_off {
            self.publisher = Some(self.take_publisher().await?);
        }
        if is_suspicious {
            self.unpublish_lost(client).await?;
            // Such tasks keep their due times, which lie before the mark.
            from = None;
        }
        let mut published = 0;
        while !stop.is_cancelled() {
            let tasks = self.due_tasks(client, from, WINDOW).await?;
            // Most calls have one window: these ask for nothing more.
            let is_backlog = !tasks.is_empty() && (published > 0 || self.is_held_back);
            self.is_held_back = self.comes_back && is_backlog && self.has_enough().await?;
            if self.is_held_back {
                break;
            }
            let confirmed = self.publish_window(client, &tasks).await?;
            published += confirmed;
            if tasks.is_empty() || confirmed < tasks.len() as u64 {
                // Nothing is due, or some were returned; the next tick sees what is left.
                break;
            }
        }
        answered(ledger::unlock(client, Lock::Relay)).await?;
        self.had_work = published > 0 || self.is_held_back;
        Ok(published)
    }

    /// The same for a caller that does not come back: where messages may be lost, it looks again when that counts.
    pub async fn publish_until_sure(
        &mut self,
        client: &ClientWrapper,
        stop: &CancellationToken,
    ) -> anyhow::Result<u64> {
        let mut published = self.publish_due(client, stop).await?;
        if self.lost.needs_second_look() {
            tokio::select! {
                () = tokio::time::sleep(SECOND_LOOK) => published += self.publish_due(client, stop).await?,
                () = stop.cancelled() => {}
            }
        }
        Ok(published)
    }

    /// Tasks to publish, from a due time on; where there are none, the next call begins here.
    async fn due_tasks(
        &mut self,
        client: &ClientWrapper,
        from: Option<DateTime<Utc>>,
        limit: i64,
    ) -> anyhow::Result<Vec<Unpublished>> {
        let now = self.lost.server_time();
        let tasks = answered(ledger::unpublished(client, from, limit)).await?;
        if let (true, Some(now)) = (tasks.is_empty(), now) {
            self.unpublished.is_empty_before(now);
        }
        Ok(tasks)
    }

    /// Whether the queue has as many messages as it is to have. A broker under an alarm answers nothing before that ends.
    async fn has_enough(&mut self) -> anyhow::Result<bool> {
        if self.publisher.as_ref().is_some_and(Publisher::is_blocked) {
            return Ok(false);
        }
        Ok(self.ready().await? >= MAX_AHEAD)
    }

    /// The number of messages in the queue.
    async fn ready(&mut self) -> anyhow::Result<u32> {
        let publisher = self.take_publisher().await?;
        self.is_cut_off = true;
        let ready = publisher.ready().await?;
        self.is_cut_off = false;
        self.publisher = Some(publisher);
        Ok(ready)
    }

    /// Under the relay's lock, so that the queue is looked at while nobody publishes.
    async fn unpublish_lost(&mut self, client: &ClientWrapper) -> anyhow::Result<()> {
        if self.lost.unpublish_overtaken(client).await? {
            return Ok(());
        }
        if self.publisher.as_ref().is_some_and(Publisher::is_blocked) {
            // It answers nothing before its alarm ends.
            return Ok(());
        }
        let ready = self.ready().await?;
        self.lost.unpublish_missing(client, ready).await
    }

    async fn publish_window(&mut self, client: &ClientWrapper, tasks: &[Unpublished]) -> anyhow::Result<u64> {
        if tasks.is_empty() {
            return Ok(0);
        }
        // Each span goes on with the trace of the scan that made its task, and ends when its confirm is marked.
        let spans: Vec<Span> = tasks.iter().map(publish_span).collect();
        let messages: Vec<(Uuid, Option<String>)> = tasks
            .iter()
            .zip(&spans)
            .map(|(task, span)| {
                let traceparent = span.in_scope(telemetry::current_traceparent);
                (task.id, traceparent.or_else(|| task.traceparent.clone()))
            })
            .collect();
        edge::pass("relay::before_publish")?;
        if edge::is_sabotaged("sabotage::mark_before_confirm") {
            answered(ledger::mark_published(client, &tasks.iter().collect::<Vec<_>>())).await?;
            edge::pass("relay::after_mark")?;
        }
        let Published { confirmed, error } = self.publish(tasks[0].installation, &messages).await?;
        edge::pass("relay::after_confirm")?;
        // Confirm, then mark: a crash in between publishes once more, which a worker sees and shrugs off. The other way
        // round, a task would count as published that no broker ever took.
        let confirmed: Vec<&Unpublished> = tasks.iter().filter(|task| confirmed.contains(&task.id)).collect();
        answered(ledger::mark_published(client, &confirmed)).await?;
        edge::pass("relay::after_mark")?;
        for task in &confirmed {
            telemetry::metrics().tasks_published(&task.dataset, 1);
        }
        error.map_or(Ok(confirmed.len() as u64), Err)
    }

    async fn publish(
        &mut self,
        installation: Uuid,
        messages: &[(Uuid, Option<String>)],
    ) -> anyhow::Result<Published> {
        let mut publisher = self.take_publisher().await?;
        let published = publisher.publish(installation, messages).await;
        self.publisher = Some(publisher);
        self.is_cut_off |= published.as_ref().is_ok_and(|published| published.error.is_some());
        published
    }

    /// Taken out while it is used: whatever ends this early, a publisher in an unknown state is not used again.
    async fn take_publisher(&mut self) -> anyhow::Result<Publisher> {
        self.is_cut_off = true;
        let publisher = match self.publisher.take() {
            // Under an alarm a closed connection would linger until the alarm ends, one more for each try.
            Some(publisher) if publisher.is_blocked() || !publisher.is_spent() => Ok(publisher),
            Some(spent) => {
                spent.close().await;
                Publisher::open(&self.queue).await
            }
            None => Publisher::open(&self.queue).await,
        }?;
        self.is_cut_off = publisher.is_blocked();
        Ok(publisher)
    }

    /// Closes the connection to the broker.
    pub async fn close(self) {
        if let Some(publisher) = self.publisher {
            publisher.close().await;
        }
    }
}

/// How long the relay may wait for the broker without a word to Postgres: opening, sending and confirms have limits that come to less.
const BROKER_LIMIT: Duration = Duration::from_secs(60);

fn publish_span(task: &Unpublished) -> Span {
    let span = info_span!("publish", task = %task.id);
    telemetry::set_parent(&span, task.traceparent.as_deref());
    span
}
