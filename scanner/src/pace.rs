//! How often to look at what every look reads whole.

use std::time::{Duration, Instant};

/// What a look may take without consequences.
const FREE: Duration = Duration::from_millis(100);

/// How many times as long as a slow look took, beyond that, nothing is looked at.
const PAUSE: u32 = 20;

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Keeps looks that have become slow from taking more than some hundredths of the time. While a long load is open, the entries of all tasks that
/// went through since stay in the indexes, and a look at what is open now reads them all.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    paused_until: Option<Instant>,
}

impl Pace {
    /// Whether no pause is left.
    pub(crate) fn is_due(&self) -> bool {
        self.paused_until.is_none_or(|until| until <= Instant::now())
    }

    /// Awaits the look, and pauses afterwards if that took long.
    pub(crate) async fn look<T>(&mut self, look: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let result = look.await;
        let pause = (started.elapsed().saturating_sub(FREE) * PAUSE).min(MAX_PAUSE);
        self.paused_until = Some(Instant::now() + pause);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_slow_look_is_followed_by_a_pause() {
        let mut pace = Pace::default();
        assert!(pace.is_due());
        pace.look(async {}).await;
        assert!(pace.is_due());
        pace.look(tokio::time::sleep(FREE + Duration::from_millis(500))).await;
        assert!(!pace.is_due());
    }
}
