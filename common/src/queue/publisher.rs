//! Publishing tasks: mandatory, persistent, confirmed, on a connection of its own.

use std::{collections::HashSet, time::Duration};

use anyhow::Context;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::{AMQPValue, FieldTable},
};
use tracing::warn;
use uuid::Uuid;

use super::{
    connection::Queue,
    message::TaskMessage,
    topology::{self, TASKS_KEY},
};
use crate::edge;

/// An open channel in confirm mode. After an error it is of no more use: drop it and open another.
pub struct Publisher {
    queue: Queue,
    connection: Connection,
    channel: Channel,
}

/// Under a broker's alarm a publish hangs as well as its confirm.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

impl Publisher {
    /// Connects, declares exchange and queues, and turns confirms on.
    pub async fn open(queue: &Queue) -> anyhow::Result<Self> {
        let connection = queue.connect("longshore relay").await?;
        let channel = connection.create_channel().await?;
        topology::declare(&channel, &queue.names).await.context("cannot declare the task queue")?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { queue: queue.clone(), connection, channel })
    }

    /// Whether the broker takes no messages for now, because of a memory or disk alarm.
    pub fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Publishes the tasks, each with its W3C trace context, and returns those that the broker has confirmed.
    ///
    /// All are sent before the first confirm is awaited. A task that was returned as unroutable, refused or not
    /// confirmed in time is not among them; an error means that none may be taken as confirmed.
    pub async fn publish(&self, tasks: &[(Uuid, Option<String>)]) -> anyhow::Result<Vec<Uuid>> {
        anyhow::ensure!(
            !self.is_blocked(),
            "the broker takes no messages: it is under a memory or disk alarm"
        );
        let mut pending = Vec::with_capacity(tasks.len());
        for (task_id, traceparent) in tasks {
            let sent = tokio::time::timeout(PUBLISH_TIMEOUT, self.send(*task_id, traceparent.as_deref()));
            pending.push((
                *task_id,
                sent.await.context("the broker takes no messages (is it under an alarm?)")??,
            ));
        }
        edge::pass("relay::after_publish")?;
        let collected = tokio::time::timeout(PUBLISH_TIMEOUT, collect(pending));
        collected.await.context("the broker did not confirm in time")?
    }

    async fn send(&self, task_id: Uuid, traceparent: Option<&str>) -> lapin::Result<PublisherConfirm> {
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
        let body = TaskMessage::new(task_id).to_bytes();
        self.channel
            .basic_publish(self.queue.names.exchange.clone(), TASKS_KEY.into(), options, &body, properties)
            .await
    }

    /// Says farewell to the broker; without it the broker logs a connection that broke off.
    pub async fn close(self) {
        let _ = tokio::time::timeout(PUBLISH_TIMEOUT, self.connection.close(200, "done".into())).await;
    }
}

async fn collect(pending: Vec<(Uuid, PublisherConfirm)>) -> anyhow::Result<Vec<Uuid>> {
    let mut confirmed = Vec::with_capacity(pending.len());
    let mut returned = HashSet::new();
    for (task_id, confirm) in pending {
        let confirmation = confirm.await?;
        if confirmation.is_ack() {
            confirmed.push(task_id);
        }
        if let Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message)) = confirmation {
            // lapin hands a returned message to whichever confirm comes next; its own id tells whose it is.
            let message_id = message.delivery.properties.message_id().as_ref().map(ToString::to_string);
            returned.extend(message_id.and_then(|id| id.parse::<Uuid>().ok()));
        }
    }
    if !returned.is_empty() {
        warn!(
            tasks = returned.len(),
            "the broker has no queue for these tasks; they will be published again"
        );
    }
    confirmed.retain(|task_id| !returned.contains(task_id));
    Ok(confirmed)
}
