//! Waiting for a server, a process or a thread, but not for ever.

use std::time::Duration;

/// How long a server may take for one answer, on a machine that has much to do.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// How long a command that ends may take.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(600);

/// Waits so long at most; the error says what was waited for.
pub async fn within<T, E: Into<anyhow::Error>>(
    what: &str,
    limit: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answered) => answered.map_err(Into::into),
        Err(_) => Err(anyhow::anyhow!("{what}: no answer within {limit:?}")),
    }
}
