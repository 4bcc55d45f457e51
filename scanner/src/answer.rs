//! Waiting for Postgres, with an end.

use std::time::Duration;

/// How long Postgres may take for one answer: a server that hangs must hang neither relay nor scans.
const DATABASE_LIMIT: Duration = Duration::from_secs(30);

/// Waits for Postgres, but not for ever. After an error the connection must be closed.
pub(crate) async fn answered<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(DATABASE_LIMIT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => anyhow::bail!("Postgres did not answer within {} s", DATABASE_LIMIT.as_secs()),
    }
}
