//! Waiting for conditions, with a deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::watch;

const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `look` gives something; `None` after `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let deadline = Instant::now() + limit;
    loop {
        let found = look().await?;
        if found.is_some() {
            watch::step();
        }
        if found.is_some() || Instant::now() >= deadline {
            return Ok(found);
        }
        sleep(INTERVAL).await;
    }
}

/// The same; an error after `limit`, which says what was waited for.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let found = within(limit, look).await?;
    found.ok_or_else(|| anyhow::anyhow!("waited {limit:?} in vain for {what}"))
}
