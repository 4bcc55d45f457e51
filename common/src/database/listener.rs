//! Hearing Postgres' notifications, on a connection of its own: those of a pool throw them away.

use std::time::Duration;

use anyhow::Context;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{AsyncMessage, Client, Connection, Error, NoTls};

use super::{
    Database,
    opening::{self, Opening},
};

/// A connection that listens on one channel. After an error it is of no more use: drop it and open another, and look for what
/// was missed in between.
pub struct Listener {
    /// The server is told farewell when this is dropped.
    _client: Client,
    messages: BoxStream<'static, Result<AsyncMessage, Error>>,
}

/// How long opening may take.
const OPEN_LIMIT: Duration = Duration::from_secs(15);

impl Database {
    /// Connects and listens on `channel`.
    pub async fn listen(&self, channel: &str) -> anyhow::Result<Listener> {
        let opening = tokio::time::timeout(OPEN_LIMIT, self.open_listener(channel));
        opening.await.context("Postgres does not answer")?
    }

    async fn open_listener(&self, channel: &str) -> anyhow::Result<Listener> {
        let (client, mut messages) = match &self.tls {
            Some(tls) => {
                let connector = tokio_postgres_rustls::MakeRustlsConnect::new(tls.clone());
                let (client, connection) = self.config.connect(connector).await?;
                (client, messages(connection))
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                (client, messages(connection))
            }
        };
        let listening = async {
            opening::open(&client, Opening { settings: "", checks_schema: false }).await?;
            anyhow::Ok(client.batch_execute(&format!("LISTEN {channel}")).await?)
        };
        tokio::select! {
            listening = listening => listening?,
            // The connection moves only while its messages are awaited.
            error = until_lost(&mut messages) => return Err(error),
        }
        Ok(Listener { _client: client, messages })
    }
}

impl Listener {
    /// Waits for the next notification. An error means that the connection is lost.
    pub async fn heard(&mut self) -> anyhow::Result<()> {
        loop {
            if let AsyncMessage::Notification(_) = next(&mut self.messages).await? {
                return Ok(());
            }
        }
    }
}

async fn until_lost(messages: &mut BoxStream<'static, Result<AsyncMessage, Error>>) -> anyhow::Error {
    loop {
        if let Err(error) = next(messages).await {
            return error;
        }
    }
}

async fn next(
    messages: &mut BoxStream<'static, Result<AsyncMessage, Error>>,
) -> anyhow::Result<AsyncMessage> {
    Ok(messages.next().await.context("Postgres closed the connection")??)
}

fn messages<S, T>(mut connection: Connection<S, T>) -> BoxStream<'static, Result<AsyncMessage, Error>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    stream::poll_fn(move |context| connection.poll_message(context)).boxed()
}
