//! Waiting longer after each failure, and starting only once the servers answer.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use crate::error::chain;

/// Doubles from 100 ms to a ceiling; starts again after a success. Each wait is a random part of that, between half and all
/// of it, so that those whom one outage hit do not come back all at once.
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
        wait.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// How long to wait after something that worked for `lived`. Only what lived a while is a success: what opens and dies
    /// at once must not be opened again and again without a pause.
    pub fn next_wait_after(&mut self, lived: Duration) -> Duration {
        if lived >= STEADY {
            self.reset();
        }
        self.next_wait()
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.next = Duration::from_millis(100);
    }
}

/// How long a connection must have lived to count as a success.
const STEADY: Duration = Duration::from_secs(5);

/// Says when to tell of something that fails for long: at once, and then every minute.
#[derive(Debug, Default)]
pub struct Reminder(Option<Instant>);

impl Reminder {
    /// Whether to tell now.
    pub fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|said| said.elapsed() >= Duration::from_secs(60));
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }

    /// It works; whether its failing was told before.
    pub fn clear(&mut self) -> bool {
        self.0.take().is_some()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_ceiling_and_begin_again_after_a_success() {
        let mut backoff = Backoff::up_to(Duration::from_secs(2));
        for full in [100, 200, 400, 800, 1600, 2000, 2000] {
            let (wait, full) = (backoff.next_wait(), Duration::from_millis(full));
            assert!(full / 2 <= wait && wait <= full, "{wait:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }

    #[test]
    fn what_dies_at_once_is_no_success() {
        let mut backoff = Backoff::up_to(Duration::from_secs(2));
        for _ in 0..10 {
            backoff.next_wait_after(Duration::from_millis(50));
        }
        assert!(backoff.next_wait_after(Duration::from_millis(50)) >= Duration::from_secs(1));
        assert!(backoff.next_wait_after(STEADY) <= Duration::from_millis(100));
    }
}
