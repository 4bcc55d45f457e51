//! RabbitMQ: crashes, restarts, alarms, and what is closed, deleted or purged behind our back.

use std::time::Duration;

use anyhow::Context;
use lapin::{Connection, ConnectionProperties};

use super::Servers;
use crate::limit::within;

/// How long a connection may take that is tried again anyway.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What a queue holds right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueState {
    /// Messages that wait for a consumer.
    pub ready: u64,
    /// Messages that a consumer has and has not answered.
    pub unacknowledged: u64,
    /// Consumers.
    pub consumers: u64,
}

impl Servers {
    /// Kills it with SIGKILL.
    pub async fn kill_broker(&self) -> anyhow::Result<()> {
        self.stack("kill", &["rabbitmq"]).await.map(drop)
    }

    /// Starts it with the data and the ports that it had; returns once it answers.
    pub async fn start_broker(&self) -> anyhow::Result<()> {
        self.stack("revive", &["rabbitmq"]).await.map(drop)
    }

    /// Stops RabbitMQ in an orderly way; Erlang's runtime goes on.
    pub async fn stop_app(&self) -> anyhow::Result<()> {
        self.rabbitmqctl(&["stop_app"]).await.map(drop)
    }

    /// Starts it again after [`stop_app`](Self::stop_app); returns once it answers.
    pub async fn start_app(&self) -> anyhow::Result<()> {
        self.rabbitmqctl(&["start_app"]).await?;
        self.wait_until_broker_answers().await
    }

    /// Lets the broker close the connections whose name, given by the client, begins so (ours are `longshore worker …` and
    /// `longshore relay`); gives how many these were.
    pub async fn close_connections(&self, prefix: &str) -> anyhow::Result<usize> {
        self.management.close_connections(prefix).await
    }

    /// Drops the messages that wait in a queue.
    pub async fn purge(&self, queue: &str) -> anyhow::Result<()> {
        self.management.purge(queue).await
    }

    /// Deletes a queue with everything in it, which cancels its consumers.
    pub async fn delete_queue(&self, queue: &str) -> anyhow::Result<()> {
        self.management.delete_queue(queue).await
    }

    /// Raises or clears the alarm that the broker raises when memory runs out: it reads nothing more from connections that
    /// publish.
    pub async fn memory_alarm(&self, raised: bool) -> anyhow::Result<()> {
        let alarm = "{resource_limit, memory, node()}";
        let change = if raised {
            format!("rabbit_alarm:set_alarm({{{alarm}, []}}).")
        } else {
            format!("rabbit_alarm:clear_alarm({alarm}).")
        };
        self.evaluate(&change).await.map(drop)
    }

    /// How long a message may stay unanswered, on channels that are opened from now on; they are closed within a second
    /// then. Holds until the broker's process ends.
    pub async fn set_consumer_timeout(&self, timeout: Duration) -> anyhow::Result<()> {
        let milliseconds = timeout.as_millis();
        self.evaluate(&format!(
            "application:set_env(rabbit, consumer_timeout, {milliseconds}),
             application:set_env(rabbit, channel_tick_interval, 1000)."
        ))
        .await
        .map(drop)
    }

    /// What a quorum queue holds right now. Asked of the queue itself: what the broker lists is up to five seconds old.
    pub async fn queue(&self, name: &str) -> anyhow::Result<QueueState> {
        let answer = self
            .evaluate(&format!(
                "{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{name}\">>)),
                 {{ok, Counts, _}} = ra:consistent_query(amqqueue:get_pid(Queue), fun rabbit_fifo:overview/1),
                 #{{num_ready_messages := Ready, num_checked_out := Out, num_consumers := Consumers}} = Counts,
                 io_lib:format(\"~b ~b ~b\", [Ready, Out, Consumers])."
            ))
            .await?;
        let counts: Vec<u64> = answer
            .trim()
            .trim_matches('"')
            .split(' ')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .with_context(|| format!("the queue {name} says {answer:?}"))?;
        match counts[..] {
            [ready, unacknowledged, consumers] => Ok(QueueState { ready, unacknowledged, consumers }),
            _ => anyhow::bail!("the queue {name} says {answer:?}"),
        }
    }

    /// Waits until clients can connect, a minute at most.
    pub async fn wait_until_broker_answers(&self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            match self.connect_and_leave(CONNECT_LIMIT).await {
                Ok(()) => return Ok(()),
                Err(error) if tokio::time::Instant::now() > deadline => {
                    return Err(error).context("RabbitMQ does not answer");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// lapin never answers about some connections that were opened while the broker came up.
    pub(super) async fn connect_and_leave(&self, limit: Duration) -> anyhow::Result<()> {
        let there_and_back = async {
            let connection = Connection::connect(&self.amqp_url, ConnectionProperties::default()).await?;
            let _channel = connection.create_channel().await?;
            connection.close(200, "done".into()).await
        };
        within("RabbitMQ", limit, there_and_back).await
    }

    async fn evaluate(&self, expression: &str) -> anyhow::Result<String> {
        self.rabbitmqctl(&["eval", expression]).await
    }

    async fn rabbitmqctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let all = [&["--", "--quiet"], arguments].concat();
        self.stack("rabbitmqctl", &all).await
    }
}
