//! From the task table to RabbitMQ: publish, wait for the confirm, mark.

use std::collections::HashSet;

use longshore_common::{
    edge,
    ledger::{self, Lock, Unpublished},
    queue::{Publisher, Queue},
    telemetry,
};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tracing::{Span, info_span};
use uuid::Uuid;

/// Tasks whose confirms are awaited together.
const WINDOW: i64 = 500;

/// Publishes what is NEW, due and unpublished, on a connection of its own that is opened when there is something to send.
pub struct Relay {
    queue: Queue,
    publisher: Option<Publisher>,
}

impl Relay {
    /// A relay that is not connected yet.
    pub fn new(queue: Queue) -> Self {
        Self { queue, publisher: None }
    }

    /// Publishes until nothing is due or `stop` is cancelled; gives the number of tasks. If another relay is at it,
    /// nothing is left to do here.
    ///
    /// After an error the database connection must be closed: it may hold the relay's lock. The next call opens a new
    /// connection to the broker where the old one is of no more use.
    pub async fn publish_due(&mut self, client: &Client, stop: &CancellationToken) -> anyhow::Result<u64> {
        let seen = ledger::unpublished(client, WINDOW).await?;
        if seen.is_empty() || !ledger::try_lock(client, Lock::Relay).await? {
            return Ok(0);
        }
        let mut published = 0;
        while !stop.is_cancelled() {
            // Read again under the lock: another relay may have published in between.
            let tasks = ledger::unpublished(client, WINDOW).await?;
            let confirmed = self.publish_window(client, &tasks).await?;
            published += confirmed;
            if tasks.is_empty() || confirmed < tasks.len() as u64 {
                // Nothing is due, or some were returned or refused; the next tick sees what is left.
                break;
            }
        }
        ledger::unlock(client, Lock::Relay).await?;
        Ok(published)
    }

    async fn publish_window(&mut self, client: &Client, tasks: &[Unpublished]) -> anyhow::Result<u64> {
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
            let marks: Vec<(Uuid, i32)> = tasks.iter().map(|task| (task.id, task.attempt)).collect();
            ledger::mark_published(client, &marks).await?;
            edge::pass("relay::after_mark")?;
        }
        let confirmed = self.publish(&messages).await?;
        edge::pass("relay::after_confirm")?;
        // Confirm, then mark: a crash in between publishes once more, which a worker sees and shrugs off. The other way
        // round, a task would count as published that no broker ever took.
        let confirmed: Vec<&Unpublished> = tasks.iter().filter(|task| confirmed.contains(&task.id)).collect();
        let marks: Vec<(Uuid, i32)> = confirmed.iter().map(|task| (task.id, task.attempt)).collect();
        ledger::mark_published(client, &marks).await?;
        edge::pass("relay::after_mark")?;
        for task in confirmed {
            telemetry::metrics().tasks_published(&task.dataset, 1);
        }
        Ok(marks.len() as u64)
    }

    async fn publish(&mut self, messages: &[(Uuid, Option<String>)]) -> anyhow::Result<HashSet<Uuid>> {
        if messages.is_empty() {
            return Ok(HashSet::new());
        }
        // Taken out while it is used: whatever ends this early, a publisher in an unknown state is not used again.
        let publisher = match self.publisher.take() {
            Some(publisher) => publisher,
            None => Publisher::open(&self.queue).await?,
        };
        let outcome = publisher.publish(messages).await;
        match &outcome {
            Ok(confirmed) if confirmed.len() == messages.len() => self.publisher = Some(publisher),
            // Perhaps the queue is gone; opening declares it again.
            Ok(_) => publisher.close().await,
            // Under an alarm a closed connection would linger until the alarm ends, one more for each try.
            Err(_) if publisher.is_blocked() => self.publisher = Some(publisher),
            Err(_) => {}
        }
        Ok(outcome?.into_iter().collect())
    }

    /// Closes the connection to the broker.
    pub async fn close(self) {
        if let Some(publisher) = self.publisher {
            publisher.close().await;
        }
    }
}

fn publish_span(task: &Unpublished) -> Span {
    let span = info_span!("publish", task = %task.id);
    telemetry::set_parent(&span, task.traceparent.as_deref());
    span
}
