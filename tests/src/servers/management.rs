//! RabbitMQ's management interface, for what needs no control over the server's processes.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;

use super::variable;

pub(super) struct Management {
    url: String,
    user: String,
    password: String,
    client: Client,
}

#[derive(Deserialize)]
struct ListedConnection {
    /// The broker's own name for it.
    name: String,
    /// The name that the client gave.
    #[serde(default)]
    user_provided_name: String,
}

impl Management {
    pub(super) fn from_environment() -> anyhow::Result<Self> {
        // Not used, but the client wants to know by what it would encrypt.
        let tls =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()?;
        Ok(Self {
            url: variable("RABBITMQ_MANAGEMENT_URL")?,
            user: variable("RABBITMQ_MANAGEMENT_USER")?,
            password: variable("RABBITMQ_MANAGEMENT_PASSWORD")?,
            client,
        })
    }

    pub(super) async fn close_connections(&self, prefix: &str) -> anyhow::Result<usize> {
        let listed = self.call(Method::GET, &["connections"]).await?;
        let listed: Vec<ListedConnection> = serde_json::from_slice(&listed)?;
        let mut closed = 0;
        for connection in listed.iter().filter(|connection| connection.user_provided_name.starts_with(prefix))
        {
            self.call(Method::DELETE, &["connections", &connection.name]).await?;
            closed += 1;
        }
        Ok(closed)
    }

    pub(super) async fn purge(&self, queue: &str) -> anyhow::Result<()> {
        self.call(Method::DELETE, &["queues", "/", queue, "contents"]).await.map(drop)
    }

    pub(super) async fn delete_queue(&self, queue: &str) -> anyhow::Result<()> {
        self.call(Method::DELETE, &["queues", "/", queue]).await.map(drop)
    }

    /// One call; something that is gone already needs no deleting.
    async fn call(&self, method: Method, path: &[&str]) -> anyhow::Result<Vec<u8>> {
        let what = format!("{method} {}", path.join(" "));
        let mut url = url::Url::parse(&self.url).context("RABBITMQ_MANAGEMENT_URL is no URL")?;
        url.path_segments_mut().ok().context("RABBITMQ_MANAGEMENT_URL is no URL")?.push("api").extend(path);
        let is_deletion = method == Method::DELETE;
        let request = self.client.request(method, url).basic_auth(&self.user, Some(&self.password));
        let answer = request.send().await.with_context(|| format!("RabbitMQ's management: {what}"))?;
        let status = answer.status();
        let is_done = status.is_success() || (is_deletion && status == StatusCode::NOT_FOUND);
        ensure!(is_done, "RabbitMQ's management: {what}: {status}");
        Ok(answer.bytes().await?.to_vec())
    }
}
