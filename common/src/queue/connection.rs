//! Settings, TLS and connections.

use std::{str::FromStr, time::Duration};

use anyhow::Context;
use clap::Args;
use lapin::{
    Channel, ConnectionProperties, ErrorKind,
    tcp::OwnedTLSConfig,
    uri::{AMQPScheme, AMQPUri},
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    link::Link,
    topology::{self, Names, QueueCounts},
};
use crate::{
    backoff,
    database::{SettingError, secret},
};

/// Where the broker is and what our queues are called.
#[derive(Debug, Clone, Args)]
pub struct QueueConfig {
    /// RabbitMQ, for example amqp://user:password@host:5672/%2f
    ///
    /// amqps:// verifies the certificate and the host name, against the machine's certificates and the PEM file
    /// given as cacertfile in the query.
    #[arg(long, env = "AMQP_URL", hide_env_values = true, value_parser = secret, value_name = "URL", help_heading = "Servers")]
    pub amqp_url: SecretString,

    /// Name of the exchange and first part of the queues' names; several installations can share a broker.
    #[arg(long, env = "LONGSHORE_AMQP_PREFIX", default_value = "longshore", value_parser = prefix, value_name = "PREFIX", help_heading = "Servers")]
    pub amqp_prefix: String,
}

fn prefix(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.is_empty() || text.len() > 100 || !text.chars().all(plain) || text.starts_with("amq.") {
        return Err(
            "allowed are 1 to 100 letters, digits, `_`, `-` and `.`, not beginning with `amq.`".to_owned()
        );
    }
    Ok(text.to_owned())
}

/// A checked configuration from which connections are made.
#[derive(Clone)]
pub struct Queue {
    uri: AMQPUri,
    root_certificates: Option<String>,
    pub(super) names: Names,
}

impl Queue {
    /// Checks the settings; connects to nothing.
    pub fn new(config: &QueueConfig) -> Result<Self, SettingError> {
        let refuse = |message: String| SettingError { setting: "AMQP_URL", message };
        let example = "write amqp://user:password@host:5672/%2f";
        let text = config.amqp_url.expose_secret();
        // Neither parser's own message is shown: it may repeat the URL with its password.
        let url = url::Url::parse(text).map_err(|error| refuse(format!("not a URL ({error}); {example}")))?;
        let mut uri = AMQPUri::from_str(text).map_err(|_| refuse(format!("not an AMQP URL; {example}")))?;
        if url.host().is_none() {
            return Err(refuse(format!("has no host; {example}")));
        }
        if uri.vhost.is_empty() {
            // A URL without a path means the default virtual host.
            uri.vhost = "/".to_owned();
        }
        // A dead peer is noticed after two of these.
        uri.query.heartbeat.get_or_insert(10);
        let root_certificates = match url.query_pairs().find(|(key, _)| key == "cacertfile") {
            Some((_, path)) => Some(
                std::fs::read_to_string(path.as_ref())
                    .map_err(|error| refuse(format!("cannot read cacertfile {path}: {error}")))?,
            ),
            None => None,
        };
        Ok(Self { uri, root_certificates, names: Names::new(&config.amqp_prefix) })
    }

    /// Host and port, without user or password.
    pub fn address(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }

    /// Connects and opens a channel on which everything is declared, within [`OPEN_LIMIT`].
    pub(super) async fn open(&self, name: &str) -> anyhow::Result<(Link, Channel, QueueCounts)> {
        let opening = async {
            let link = self.connect(name).await?;
            let channel = link.connection.create_channel().await?;
            let declared = topology::declare(&channel, &self.names).await;
            let counts = declared.context("cannot declare the task queue")?;
            Ok((link, channel, counts))
        };
        within(OPEN_LIMIT, opening).await
    }

    /// Connects once. `name` is what the management page calls the connection.
    async fn connect(&self, name: &str) -> anyhow::Result<Link> {
        // Auto-recovery stays off: with it, a channel that was closed leaves a consumer that waits for ever.
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let tls = OwnedTLSConfig { identity: None, cert_chain: self.root_certificates.clone() };
        let connecting = Link::connect(self.uri.clone(), properties, tls, CONNECT_LIMIT);
        let link = within(CONNECT_LIMIT, async { Ok(connecting.await?) }).await;
        link.with_context(|| {
            let tls = if self.uri.scheme == AMQPScheme::AMQPS { " with TLS" } else { "" };
            format!("cannot connect to RabbitMQ at {}{tls}", self.address())
        })
    }

    /// Waits until the broker answers, and declares exchange and queues.
    pub async fn wait_until_ready(&self, timeout: Duration) -> anyhow::Result<()> {
        let what = format!("RabbitMQ at {}", self.address());
        backoff::wait_for(&what, timeout, is_final, || self.declare()).await?;
        Ok(())
    }

    async fn declare(&self) -> anyhow::Result<QueueCounts> {
        let (link, _channel, counts) = self.open("longshore start").await?;
        link.say_farewell().await;
        Ok(counts)
    }

    /// Waits until the broker answers; declares only what no service has declared yet.
    pub async fn wait_until_answering(&self, timeout: Duration) -> anyhow::Result<()> {
        let what = format!("RabbitMQ at {}", self.address());
        backoff::wait_for(&what, timeout, is_final, || self.counts()).await?;
        Ok(())
    }

    /// Connects and reads how many messages and consumers the task queue has.
    pub async fn counts(&self) -> anyhow::Result<QueueCounts> {
        let asking = async {
            let link = self.connect("longshore status").await?;
            let channel = link.connection.create_channel().await?;
            let counts = topology::counts(&channel, &self.names).await;
            link.say_farewell().await;
            Ok(counts)
        };
        match within(OPEN_LIMIT, asking).await? {
            Ok(counts) => Ok(counts),
            Err(error) if is_missing(&error) => self.declare().await,
            Err(error) => Err(error.into()),
        }
    }
}

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long connecting and declaring may take together.
const OPEN_LIMIT: Duration = Duration::from_secs(15);

/// How long the broker may take for one answer.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Waits for the broker, but not for ever.
pub(super) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let answered = tokio::time::timeout(limit, answer).await;
    answered.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", limit.as_secs())))
}

/// Whether the broker has no such queue.
fn is_missing(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == 404)
}

/// Whether waiting would not mend this: wrong credentials or virtual host, a queue of other arguments, a bad certificate.
fn is_final(error: &anyhow::Error) -> bool {
    let Some(error) = error.chain().find_map(|cause| cause.downcast_ref::<lapin::Error>()) else {
        return false;
    };
    match error.kind() {
        // 403 access refused, 406 precondition failed, 530 not allowed (no such virtual host).
        ErrorKind::ProtocolError(error) => [403, 406, 530].contains(&error.get_id()),
        ErrorKind::IOError(error) => {
            let mut source: Option<&(dyn std::error::Error + 'static)> =
                error.get_ref().map(|inner| inner as _);
            while let Some(cause) = source {
                if cause.is::<rustls::Error>() {
                    return true;
                }
                source = match cause.downcast_ref::<std::io::Error>() {
                    Some(inner) => inner.get_ref().map(|inner| inner as _),
                    None => cause.source(),
                };
            }
            false
        }
        _ => false,
    }
}
