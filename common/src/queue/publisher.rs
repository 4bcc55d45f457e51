//! Publishing tasks: mandatory, persistent, confirmed, on a connection of its own.

use std::collections::HashSet;

use anyhow::{Context, anyhow, ensure};
use lapin::{
    BasicProperties, Channel, Confirmation, PublisherConfirm,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use uuid::Uuid;

use super::{
    connection::{ANSWER_LIMIT, Queue, within},
    link::Link,
    message::TaskMessage,
    topology::{self, TASKS_KEY},
};
use crate::edge;

/// An open channel in confirm mode.
pub struct Publisher {
    queue: Queue,
    link: Link,
    channel: Channel,
    is_spent: bool,
}

/// What became of the messages that were to be published.
pub struct Published {
    /// Tasks whose messages are in the queue.
    pub confirmed: HashSet<Uuid>,
    /// Why there are no more of them; a message that was returned as unroutable is no error.
    pub error: Option<anyhow::Error>,
}

impl Publisher {
    /// Connects, declares exchange and queues, and turns confirms on.
    pub async fn open(queue: &Queue) -> anyhow::Result<Self> {
        let (link, channel, _) = queue.open("longshore relay").await?;
        let selecting = async { Ok(channel.confirm_select(ConfirmSelectOptions::default()).await?) };
        within(ANSWER_LIMIT, selecting).await.context("cannot turn confirms on")?;
        Ok(Self { queue: queue.clone(), link, channel, is_spent: false })
    }

    /// Whether the broker takes no messages for now, because of a memory or disk alarm.
    pub fn is_blocked(&self) -> bool {
        // A connection that is lost stays blocked for lapin, for ever.
        let status = self.link.connection.status();
        status.connected() && status.blocked()
    }

    /// Whether another must be opened: messages that nobody waits for any more would make it tell wrongly which of the next
    /// ones are returned, and a queue that is gone is declared again when a publisher is opened.
    pub fn is_spent(&self) -> bool {
        self.is_spent || !self.link.connection.status().connected()
    }

    /// Publishes tasks of an installation, each with its W3C trace context. All are sent before the first confirm is awaited.
    ///
    /// A task whose message was not sent, returned as unroutable, refused, or not confirmed in time, is not among the
    /// confirmed. After an error, or a returned message, this publisher [is spent](Self::is_spent).
    pub async fn publish(
        &mut self,
        installation: Uuid,
        tasks: &[(Uuid, Option<String>)],
    ) -> anyhow::Result<Published> {
        ensure!(!self.is_blocked(), "the broker takes no messages: it is under a memory or disk alarm");
        // Until all is well. Whatever ends this early leaves messages that nobody waits for.
        self.is_spent = true;
        let (pending, mut error) = self.send_all(installation, tasks).await;
        edge::pass("relay::after_publish")?;
        let (confirmed, unconfirmed) = collect(pending).await;
        error = error.or(unconfirmed);
        self.is_spent = confirmed.len() < tasks.len();
        Ok(Published { confirmed, error })
    }

    async fn send_all(
        &self,
        installation: Uuid,
        tasks: &[(Uuid, Option<String>)],
    ) -> (Vec<(Uuid, PublisherConfirm)>, Option<anyhow::Error>) {
        // Under an alarm a publish hangs as well as its confirm.
        let deadline = Instant::now() + ANSWER_LIMIT;
        let mut pending = Vec::with_capacity(tasks.len());
        for (task_id, traceparent) in tasks {
            let sending = self.send(installation, *task_id, traceparent.as_deref());
            match timeout_at(deadline, sending).await {
                Ok(Ok(confirm)) => pending.push((*task_id, confirm)),
                Ok(Err(error)) => return (pending, Some(error.into())),
                Err(_) => {
                    return (pending, Some(anyhow!("the broker takes no messages (is it under an alarm?)")));
                }
            }
        }
        (pending, None)
    }

    async fn send(
        &self,
        installation: Uuid,
        task_id: Uuid,
        traceparent: Option<&str>,
    ) -> lapin::Result<PublisherConfirm> {
        let mut headers = FieldTable::default();
        if let Some(traceparent) = traceparent {
            headers.insert("traceparent".into(), AMQPValue::LongString(traceparent.into()));
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(2) // persistent
            .with_content_type("application/json".into())
            .with_message_id(task_id.to_string().into())
            .with_headers(headers);
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let body = TaskMessage::body(task_id, installation);
        self.channel
            .basic_publish(self.queue.names.exchange.clone(), TASKS_KEY.into(), options, &body, properties)
            .await
    }

    /// How many messages wait for a worker; declares what is missing.
    pub async fn ready(&self) -> anyhow::Result<u32> {
        topology::ready(&self.channel, &self.queue.names).await
    }

    /// Closes the connection.
    pub async fn close(self) {
        self.link.say_farewell().await;
    }
}

/// Waits for the confirms and gives those that came in time, with the reason why others did not.
async fn collect(pending: Vec<(Uuid, PublisherConfirm)>) -> (HashSet<Uuid>, Option<anyhow::Error>) {
    let deadline = Instant::now() + ANSWER_LIMIT;
    let (mut confirmed, mut returned) = (HashSet::with_capacity(pending.len()), HashSet::new());
    let mut error = None;
    for (task_id, confirm) in pending {
        // Also after the deadline each is looked at: one that has come may carry the message of another that was returned.
        let message = match timeout_at(deadline, confirm).await {
            Ok(Ok(Confirmation::Ack(message))) => {
                confirmed.insert(task_id);
                message
            }
            Ok(Ok(Confirmation::Nack(message))) => {
                error.get_or_insert_with(|| anyhow!("the broker refused messages"));
                message
            }
            Ok(Ok(Confirmation::NotRequested)) => None,
            Ok(Err(lost)) => {
                error.get_or_insert_with(|| lost.into());
                None
            }
            Err(_) => {
                error.get_or_insert_with(|| anyhow!("the broker did not confirm in time"));
                None
            }
        };
        returned.extend(message.as_ref().and_then(task_of));
    }
    if !returned.is_empty() {
        warn!(
            tasks = returned.len(),
            "the broker has no queue for these tasks; they will be published again"
        );
    }
    confirmed.retain(|task_id| !returned.contains(task_id));
    (confirmed, error)
}

/// lapin hands a returned message to whichever confirm comes next; its own id tells whose it is.
fn task_of(message: &BasicReturnMessage) -> Option<Uuid> {
    message.delivery.properties.message_id().as_ref()?.to_string().parse().ok()
}
