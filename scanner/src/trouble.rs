//! A loop that goes on through outages.

use std::time::Duration;

use longshore_common::backoff::{Backoff, Reminder};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Says that something fails, at once and then every minute, and that it works again; waits longer while it fails.
pub(crate) struct Trouble {
    what: &'static str,
    backoff: Backoff,
    wait: Option<Duration>,
    reminder: Reminder,
}

impl Trouble {
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            backoff: Backoff::up_to(Duration::from_secs(2)),
            wait: None,
            reminder: Reminder::default(),
        }
    }

    pub(crate) fn note(&mut self, outcome: anyhow::Result<()>) {
        match outcome {
            Ok(()) => {
                if self.reminder.clear() {
                    self.wait = None;
                    info!("{} works again", self.what);
                    self.backoff.reset();
                }
            }
            Err(error) => {
                if self.reminder.is_due() {
                    warn!("{} fails, trying again until it works: {error:#}", self.what);
                }
                self.wait = Some(self.backoff.next_wait());
            }
        }
    }

    /// Waits for the next tick, or as long as trouble asks for; `false` when it is time to stop.
    pub(crate) async fn pause(&self, tick: Duration, stop: &CancellationToken) -> bool {
        let wait = self.wait.unwrap_or(tick);
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }

    /// The same, but `woken` ends it early: not in trouble, where it might do so all the time.
    pub(crate) async fn pause_unless(
        &self,
        woken: impl Future<Output = ()>,
        tick: Duration,
        stop: &CancellationToken,
    ) -> bool {
        tokio::select! {
            biased;
            go_on = self.pause(tick, stop) => go_on,
            () = woken, if self.wait.is_none() => true,
        }
    }
}
