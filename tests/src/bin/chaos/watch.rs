//! A round in which nothing moves for two minutes hangs, whatever it waits for: it fails, with a picture of what waits.
//!
//! What moves: the steps of the rounds themselves, and the tasks, attempts and files of their sites. Rounds that run side by side
//! count as one.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{findings::Findings, picture};

/// Longer than any wait of a healthy round, which gives up by itself.
pub(crate) const STILL: Duration = Duration::from_secs(120);

/// How often somebody looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

static STEPS: AtomicU64 = AtomicU64::new(0);
static SITES: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

/// What is needed to look at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
    pub(crate) prefix: String,
}

/// A site that is looked at until this is dropped.
pub(crate) struct Watch(Watched);

impl Watched {
    pub(crate) fn watch(self) -> Watch {
        sites().push(self.clone());
        Watch(self)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        sites().retain(|site| *site != self.0);
    }
}

fn sites() -> MutexGuard<'static, Vec<Watched>> {
    SITES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that a round waited for has happened.
pub(crate) fn step() {
    STEPS.fetch_add(1, Ordering::Relaxed);
}

/// Runs a round to its end, or until nothing has moved for so long.
pub(crate) async fn over(
    still: Duration,
    round: impl Future<Output = anyhow::Result<Findings>>,
) -> anyhow::Result<Findings> {
    // A task of its own: a round that blocks its thread is told of, too.
    let mut watching = tokio::spawn(stands_still(still));
    let found = tokio::select! {
        found = round => found,
        picture = &mut watching => {
            return Err(anyhow::anyhow!("nothing moved for {still:?}\n{}", picture?));
        }
    };
    watching.abort();
    found
}

/// Waits until nothing has moved for so long, shows the picture and gives it.
async fn stands_still(still: Duration) -> String {
    let (mut seen, mut since) = ((0, Vec::new()), Instant::now());
    loop {
        sleep(LOOK_EVERY.min(still / 4)).await;
        let steps = STEPS.load(Ordering::Relaxed);
        // The servers are asked only once the rounds themselves have stopped.
        let now = if steps == seen.0 { (steps, states().await) } else { (steps, Vec::new()) };
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() >= still {
            let sites = sites().clone();
            let picture = picture::of(&sites).await;
            eprintln!("chaos: nothing moved for {still:?}\n{picture}");
            return picture;
        }
    }
}

/// How far the work of each site is; of one that does not answer nothing is known, which is no movement.
async fn states() -> Vec<Option<String>> {
    let sites = sites().clone();
    let mut states = Vec::new();
    for site in sites {
        states.push(picture::state(&site).await.ok());
    }
    states
}

#[cfg(test)]
mod tests;
