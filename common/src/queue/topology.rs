//! Exchange, queues, bindings. Their arguments cannot change once a queue exists.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use super::connection::{ANSWER_LIMIT, within};

/// What our exchange and queues are called.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) exchange: ShortString,
    pub(super) tasks: ShortString,
    dead: ShortString,
}

/// Routing keys, within our own exchange.
pub(super) const TASKS_KEY: &str = "tasks";
const DEAD_KEY: &str = "dead";

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            exchange: prefix.into(),
            tasks: format!("{prefix}.tasks").into(),
            dead: format!("{prefix}.dead").into(),
        }
    }
}

/// What the broker says of the task queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct QueueCounts {
    /// Messages that wait for a worker.
    pub ready: u32,
    /// Consumers, one a worker.
    pub consumers: u32,
}

/// Declares everything; repeating it changes nothing.
pub(super) async fn declare(channel: &Channel, names: &Names) -> lapin::Result<QueueCounts> {
    let durable_exchange = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel
        .exchange_declare(
            names.exchange.clone(),
            ExchangeKind::Direct,
            durable_exchange,
            FieldTable::default(),
        )
        .await?;
    let dead = declare_queue(channel, &names.dead, quorum()).await?;
    bind(channel, dead.name(), names, DEAD_KEY).await?;

    let mut arguments = quorum();
    // A message is redelivered when a worker dies, which is no fault of the message; RabbitMQ 4 would drop it after
    // 20 times. "Unlimited" (-1) drops at once on 3.10, so a number that is never reached stands for it.
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(1_000_000));
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(names.exchange.as_str().into()));
    arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(DEAD_KEY.into()));
    let tasks = declare_queue(channel, &names.tasks, arguments).await?;
    bind(channel, tasks.name(), names, TASKS_KEY).await?;
    Ok(QueueCounts { ready: tasks.message_count(), consumers: tasks.consumer_count() })
}

/// Asks for the task queue and declares nothing. If it is missing, the broker closes the channel.
pub(super) async fn counts(channel: &Channel, names: &Names) -> lapin::Result<QueueCounts> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let tasks = channel.queue_declare(names.tasks.clone(), options, FieldTable::default()).await?;
    Ok(QueueCounts { ready: tasks.message_count(), consumers: tasks.consumer_count() })
}

/// How many messages wait for a worker; declares what is missing.
pub(super) async fn ready(channel: &Channel, names: &Names) -> anyhow::Result<u32> {
    Ok(within(ANSWER_LIMIT, async { Ok(declare(channel, names).await?) }).await?.ready)
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

async fn declare_queue(
    channel: &Channel,
    name: &ShortString,
    arguments: FieldTable,
) -> lapin::Result<lapin::Queue> {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.clone(), options, arguments).await
}

async fn bind(channel: &Channel, queue: &ShortString, names: &Names, key: &str) -> lapin::Result<()> {
    channel
        .queue_bind(
            queue.clone(),
            names.exchange.clone(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
}
