//! Waiting longer after each failure, and starting only once the servers answer.

use std::{future::Future, time::Duration};

use tracing::{info, warn};

use crate::error::chain;

/// Doubles from 100 ms to a ceiling; starts again after a success.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// A backoff that never waits longer than `ceiling`.
    pub fn up_to(ceiling: Duration) -> Self {
        Self { next: Duration::from_millis(100), ceiling }
    }

    /// How long to wait now.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.next.min(self.ceiling);
        self.next = wait * 2;
        wait
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.next = Duration::from_millis(100);
    }
}

/// Calls `connect` until it succeeds, says once that it waits, and gives up after `timeout` with the last error.
///
/// `is_final` tells errors that waiting does not mend, such as a wrong password or a certificate that does not verify.
pub async fn wait_for<T, F>(
    what: &str,
    timeout: Duration,
    is_final: impl Fn(&anyhow::Error) -> bool,
    mut connect: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let deadline = tokio::time::Instant::now() + timeout;
    let mut backoff = Backoff::up_to(Duration::from_secs(2));
    let mut said = false;
    loop {
        let remaining = deadline.saturating_duration_since(tokio::time::Instant::now());
        let attempt = tokio::time::timeout(remaining.max(Duration::from_secs(1)), connect()).await;
        let error = match attempt {
            Ok(Ok(connected)) => {
                if said {
                    info!("{what} answers");
                }
                return Ok(connected);
            }
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("no answer"),
        };
        if is_final(&error) {
            return Err(error.context(format!("{what} refused the connection")));
        }
        let wait = backoff.next_wait();
        if tokio::time::Instant::now() + wait >= deadline {
            let seconds = timeout.as_secs_f32();
            return Err(error.context(format!(
                "{what} did not answer within {seconds} s (LONGSHORE_CONNECT_TIMEOUT); is it running, and is the address right?"
            )));
        }
        if !said {
            warn!("waiting for {what}: {}", chain(error.as_ref()));
            said = true;
        }
        tokio::time::sleep(wait).await;
    }
}
