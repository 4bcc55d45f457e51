//! Consuming tasks, with acknowledgement by hand.

use anyhow::{Context, anyhow, bail};
use futures_util::StreamExt;
use lapin::{
    Acker, Channel, Consumer,
    message::Delivery,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
        BasicRejectOptions,
    },
    types::FieldTable,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use super::{
    connection::{ANSWER_LIMIT, Queue, within},
    link::Link,
    message::TaskMessage,
    topology,
};

/// An open consumer. After an error it is of no more use: close it and open another.
pub struct TaskConsumer {
    link: Link,
    channel: Channel,
    consumer: Consumer,
    /// An answer did not get through, though the channel seems alive.
    hangs: CancellationToken,
}

/// A message that names a task.
#[derive(Debug)]
pub struct Received {
    /// The task to look up.
    pub task_id: Uuid,
    /// A worker had it before, and lost its channel or gave it back.
    pub is_redelivered: bool,
    /// The installation that published it, if it says so.
    pub installation: Option<Uuid>,
    /// The W3C trace context in its headers, unchecked.
    pub traceparent: Option<String>,
    /// What answers the broker.
    pub receipt: Receipt,
}

/// The right to answer for one message.
#[derive(Debug)]
pub struct Receipt {
    acker: Acker,
    consumer_hangs: CancellationToken,
}

impl TaskConsumer {
    /// Connects, declares, and consumes with at most `prefetch` messages unanswered.
    pub async fn open(queue: &Queue, worker_name: &str, prefetch: u16) -> anyhow::Result<Self> {
        let (link, channel, _) = queue.open(&format!("longshore worker {worker_name}")).await?;
        let consuming = async {
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            let (tag, arguments) = (worker_name.into(), FieldTable::default());
            let tasks = queue.names.tasks.clone();
            Ok(channel.basic_consume(tasks, tag, BasicConsumeOptions::default(), arguments).await?)
        };
        let consumer = within(ANSWER_LIMIT, consuming).await.context("cannot consume")?;
        Ok(Self { link, channel, consumer, hangs: CancellationToken::new() })
    }

    /// The next message that names a task. Messages that are none of ours go to the dead-letter queue here.
    ///
    /// An error and the end of the stream mean the same: this consumer is gone.
    pub async fn next(&mut self) -> anyhow::Result<Received> {
        loop {
            let delivery = tokio::select! {
                delivery = self.consumer.next() => {
                    delivery.ok_or_else(|| anyhow!("the broker ended the consumer"))??
                }
                // Its message keeps a place of the prefetch until the channel is closed.
                () = self.hangs.cancelled() => bail!("an answer to a message did not get through to the broker"),
            };
            match TaskMessage::from_bytes(&delivery.data) {
                Ok(message) => {
                    let traceparent = traceparent(&delivery);
                    return Ok(Received {
                        task_id: message.task_id,
                        is_redelivered: delivery.redelivered,
                        installation: message.installation,
                        traceparent,
                        receipt: Receipt { acker: delivery.acker, consumer_hangs: self.hangs.clone() },
                    });
                }
                Err(error) => {
                    // Without its source, which may repeat what the message says.
                    warn!("rejecting a message to the dead-letter queue: {error}");
                    let rejecting = delivery.acker.reject(BasicRejectOptions { requeue: false });
                    within(ANSWER_LIMIT, async { Ok(rejecting.await?) }).await?;
                }
            }
        }
    }

    /// How many messages wait for a worker. A queue that was deleted is an error, and declared when a consumer is opened.
    pub async fn ready(&self, queue: &Queue) -> anyhow::Result<u32> {
        let asking = topology::counts(&self.channel, &queue.names);
        Ok(within(ANSWER_LIMIT, async { Ok(asking.await?) }).await?.ready)
    }

    /// Asks the broker for no more messages; those in hand can still be answered.
    pub async fn stop(&self) {
        let cancelling = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        let cancelled = within(ANSWER_LIMIT, async { Ok(cancelling.await?) }).await;
        if let Err(error) = cancelled {
            // What it sends from now on goes back to the queue when the connection is closed.
            debug!("cannot cancel the consumer: {error:#}");
        }
    }

    /// Closes the connection; unanswered messages go back to the queue.
    pub async fn close(self) {
        self.link.say_farewell().await;
    }
}

fn traceparent(delivery: &Delivery) -> Option<String> {
    let headers = delivery.properties.headers().as_ref()?;
    let value = headers.inner().get("traceparent")?.as_long_string()?;
    String::from_utf8(value.as_bytes().to_vec()).ok()
}

impl Receipt {
    /// Answers before anything is done: for the sabotage that the tests must notice, and nothing else.
    pub async fn ack_in_advance(&self) {
        self.answer("ack", self.acker.ack(BasicAckOptions::default())).await;
    }

    /// The message is dealt with. If that does not get through, its redelivery will find that nothing is left to do.
    pub async fn ack(self) {
        self.answer("ack", self.acker.ack(BasicAckOptions::default())).await;
    }

    /// Gives the message back to the queue, for another worker or a later time.
    pub async fn requeue(self) {
        let options = BasicNackOptions { requeue: true, ..Default::default() };
        self.answer("give back", self.acker.nack(options)).await;
    }

    /// The message is no task of ours: it goes to the dead-letter queue.
    pub async fn dead_letter(self) {
        self.answer("reject", self.acker.reject(BasicRejectOptions { requeue: false })).await;
    }

    /// Answers within [`ANSWER_LIMIT`]. A failure is none of the task's: a message whose answer is lost comes again, at the latest
    /// when its channel is closed.
    async fn answer(&self, what: &str, answering: impl Future<Output = lapin::Result<bool>>) {
        match tokio::time::timeout(ANSWER_LIMIT, answering).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => debug!("cannot {what} a message on a dead channel; it will come again"),
            Ok(Err(error)) => {
                debug!("cannot {what} a message, which will come again: {}", crate::error::chain(&error));
            }
            Err(_) => {
                let seconds = ANSWER_LIMIT.as_secs();
                warn!("cannot {what} a message within {seconds} s; it will come again, on another channel");
                // Nothing else closes a channel that seems alive.
                self.consumer_hangs.cancel();
            }
        }
    }
}
