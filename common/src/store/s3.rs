//! The client of a bucket: settings from the standard `AWS_…` variables, and limits, so that no call hangs.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use object_store::{
    BackoffConfig, ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
};

use super::listed_keys::EncodedKeys;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For the next bytes of an answer, its first ones included. A whole object may take as long as it does.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// No further try begins later than this after the first.
const RETRY_FOR: Duration = Duration::from_secs(6);

/// Clients by bucket: their connections and temporary credentials are used again by the next scan or load.
static CLIENTS: LazyLock<Mutex<HashMap<String, Arc<AmazonS3>>>> = LazyLock::new(Mutex::default);

/// The client of a bucket, by this process's environment.
pub(super) fn client(bucket: &str) -> anyhow::Result<Arc<AmazonS3>> {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = clients.get(bucket) {
        return Ok(client.clone());
    }
    let variables = std::env::vars_os();
    let client = Arc::new(connect(
        bucket,
        variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    )?);
    clients.insert(bucket.to_owned(), client.clone());
    Ok(client)
}

/// Where this process's clients look for their buckets.
pub(super) fn endpoint() -> String {
    let given = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    let given = given.into_iter().filter_map(|name| std::env::var(name).ok()).find(|url| !url.is_empty());
    match given.and_then(|url| url::Url::parse(&url).ok()) {
        // Without a password that it may hold.
        Some(url) => format!(
            "endpoint {}:{}",
            url.host_str().unwrap_or_default(),
            url.port_or_known_default().unwrap_or(0)
        ),
        None => "endpoint of AWS".to_owned(),
    }
}

/// A client by these variables. What an installation sets counts more than our limits.
pub(super) fn connect(
    bucket: &str,
    variables: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<AmazonS3> {
    let options = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT);
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(2),
        base: 2.0,
    };
    let mut builder = AmazonS3Builder::new()
        .with_client_options(options)
        .with_retry(RetryConfig { backoff, max_retries: 10, retry_timeout: RETRY_FOR })
        // Objects are deleted one by one, and not every store knows the request for several.
        .with_disable_bulk_delete(true)
        .with_http_connector(EncodedKeys::default());
    // Compose passes variables on that are empty.
    for (name, value) in variables.filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty()) {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    let client = builder.with_bucket_name(bucket).build();
    client.with_context(|| format!("the AWS_… settings for s3://{bucket} cannot be used"))
}
