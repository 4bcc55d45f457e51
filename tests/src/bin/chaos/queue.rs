//! A site's queues, as any client of the broker sees them.

use anyhow::Context;
use lapin::{
    Connection, ConnectionProperties,
    options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions},
};
use longshore_tests::limit::{ANSWER_LIMIT, within};

/// The queues of one prefix.
pub(crate) struct TaskQueue {
    amqp_url: String,
    prefix: String,
}

/// What a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages that wait for a consumer.
    pub(crate) ready: u32,
    pub(crate) consumers: u32,
}

impl TaskQueue {
    pub(crate) fn new(amqp_url: &str, prefix: &str) -> Self {
        Self { amqp_url: amqp_url.to_owned(), prefix: prefix.to_owned() }
    }

    /// The full name of `tasks` or `dead`.
    pub(crate) fn name(&self, queue: &str) -> String {
        format!("{}.{queue}", self.prefix)
    }

    /// Of the queue `tasks` or `dead`; an error if there is no such queue.
    pub(crate) async fn counts(&self, queue: &str) -> anyhow::Result<Counts> {
        within("RabbitMQ", ANSWER_LIMIT, self.count(queue)).await
    }

    async fn count(&self, queue: &str) -> anyhow::Result<Counts> {
        let connection = Connection::connect(&self.amqp_url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let name = self.name(queue);
        let declared = channel.queue_declare(name.as_str().into(), options, Default::default()).await;
        let declared = declared.with_context(|| format!("the queue {name}"))?;
        let counts = Counts { ready: declared.message_count(), consumers: declared.consumer_count() };
        let _ = connection.close(200, "done".into()).await;
        Ok(counts)
    }

    /// Removes exchange and queues.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        within("RabbitMQ", ANSWER_LIMIT, self.delete()).await
    }

    async fn delete(&self) -> anyhow::Result<()> {
        let connection = Connection::connect(&self.amqp_url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        for queue in ["tasks", "dead"] {
            channel.queue_delete(self.name(queue).into(), QueueDeleteOptions::default()).await?;
        }
        channel.exchange_delete(self.prefix.as_str().into(), ExchangeDeleteOptions::default()).await?;
        connection.close(200, "done".into()).await?;
        Ok(())
    }
}
