//! Removes the exchange and queues of a run from the broker. Longshore itself never does: it only adds to them.

use lapin::{
    Connection, ConnectionProperties,
    options::{ExchangeDeleteOptions, QueueDeleteOptions},
};

/// Deletes what was declared under the prefix; nothing if nothing was.
pub(crate) async fn delete(amqp_url: &str, prefix: &str) -> anyhow::Result<()> {
    let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for name in ["tasks", "dead"] {
        channel.queue_delete(format!("{prefix}.{name}").into(), QueueDeleteOptions::default()).await?;
    }
    channel.exchange_delete(prefix.into(), ExchangeDeleteOptions::default()).await?;
    connection.close(200, "done".into()).await?;
    Ok(())
}
