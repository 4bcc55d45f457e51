//! The threads that read file stores. A mount that hangs keeps each thread that touches it for as long as it hangs, and a
//! process has only so many: one source must not use them up.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::task::{JoinError, JoinHandle};

/// Threads that may hang on one piece of work before the next try has to wait. It is counted for each by itself, because one
/// file may hang where its neighbours do not.
const MAX_HUNG_OF_WORK: usize = 4;
/// Threads that may hang in all, of the 512 that the runtime has: after that each source on which one hangs has to wait.
const MAX_HUNG: usize = 256;
/// How long the next try waits then; twice as long after each that hangs as well. It is never given up for good: the threads
/// of a mount that was replaced may never come back.
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// So long may a thread take to notice that nobody waits for it any more.
const GRACE: Duration = Duration::from_secs(10);

/// Threads that nobody waits for any more, by source. The whole process shares its threads.
static LEFT_BEHIND: Mutex<BTreeMap<String, Vec<LeftBehind>>> = Mutex::new(BTreeMap::new());

struct LeftBehind {
    work: String,
    since: Instant,
    running: Weak<()>,
}

impl LeftBehind {
    fn is_running(&self) -> bool {
        self.running.strong_count() > 0
    }
}

/// Too many threads hang on a source already.
#[derive(Debug, Error)]
#[error("{hung} earlier attempts to read {uri} have not come back: the file system behind it hangs")]
pub struct StoreHangs {
    uri: String,
    hung: usize,
}

/// A thread that reads a file store. Dropped before it has ended, it counts as hung until it does.
#[derive(Debug)]
pub struct StoreThread<T> {
    uri: String,
    work: String,
    running: Weak<()>,
    handle: JoinHandle<T>,
}

impl<T: Send + 'static> StoreThread<T> {
    /// Runs `function` off the threads that serve connections, on the source with this URI. `work` names what it does there:
    /// tries of the same are counted together.
    pub fn start(
        uri: &str,
        work: &str,
        function: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Self, StoreHangs> {
        if let Some(hung) = too_many_hung(uri, work) {
            return Err(StoreHangs { uri: uri.to_owned(), hung });
        }
        let token = Arc::new(());
        let running = Arc::downgrade(&token);
        let handle = tokio::task::spawn_blocking(move || {
            // Moved in here, so that a panic frees it as well.
            let _token = token;
            function()
        });
        Ok(Self { uri: uri.to_owned(), work: work.to_owned(), running, handle })
    }

    /// Waits for its end. May be dropped and called again.
    pub async fn ended(&mut self) -> Result<T, JoinError> {
        (&mut self.handle).await
    }
}

impl<T> Drop for StoreThread<T> {
    fn drop(&mut self) {
        let work = std::mem::take(&mut self.work);
        let left = LeftBehind { work, since: Instant::now(), running: self.running.clone() };
        if left.is_running() {
            let mut all = LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(std::mem::take(&mut self.uri)).or_default().push(left);
        }
    }
}

/// How many hang, if the next try has to wait.
fn too_many_hung(uri: &str, work: &str) -> Option<usize> {
    let mut all = LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, left| {
        left.retain(LeftBehind::is_running);
        !left.is_empty()
    });
    let hung_in_all: usize = all.values().map(|left| hung(left.iter()).count()).sum();
    let of_source = all.get(uri)?;
    let of_work: Vec<Duration> = hung(of_source.iter().filter(|left| left.work == work)).collect();
    let of_source: Vec<Duration> = hung(of_source.iter()).collect();
    let must_wait = (of_work.len() >= MAX_HUNG_OF_WORK && is_too_soon(&of_work, MAX_HUNG_OF_WORK))
        || (hung_in_all >= MAX_HUNG && of_source.iter().any(|hung_for| *hung_for < LONGEST_WAIT));
    must_wait.then_some(of_source.len())
}

/// For how long those have hung that do.
fn hung<'a>(left: impl Iterator<Item = &'a LeftBehind>) -> impl Iterator<Item = Duration> {
    left.map(|left| left.since.elapsed()).filter(|hung_for| *hung_for >= GRACE)
}

/// Whether it is too soon for another try, by how long ago each one hung.
fn is_too_soon(hung_for: &[Duration], free: usize) -> bool {
    let mut newest_first = hung_for.to_vec();
    newest_first.sort_unstable();
    let Some(newest) = newest_first.first() else { return false };
    // What was tried at the same time is one try.
    let tries = 1 + newest_first.windows(2).filter(|pair| pair[1] - pair[0] >= GRACE).count();
    let doubled = u32::try_from(tries.saturating_sub(free)).unwrap_or(u32::MAX);
    *newest < FIRST_WAIT.saturating_mul(2_u32.saturating_pow(doubled)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn left_behind(uri: &str) -> usize {
        LEFT_BEHIND
            .lock()
            .unwrap()
            .get(uri)
            .map_or(0, |left| left.iter().filter(|left| left.is_running()).count())
    }

    #[tokio::test]
    async fn what_was_left_behind_counts_until_it_comes_back() {
        let uri = "file:///left-behind/";
        let (release, released) = mpsc::channel::<()>();
        let hanging = StoreThread::start(uri, "list", move || released.recv()).unwrap();
        assert_eq!(left_behind(uri), 0, "somebody waits for it");
        drop(hanging);
        assert_eq!((left_behind(uri), left_behind("file:///another/")), (1, 0));
        release.send(()).unwrap();
        while left_behind(uri) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn work_on_which_threads_hang_gets_no_more_of_them_and_other_work_does() {
        let uri = "file:///hangs/";
        let long_ago = Instant::now().checked_sub(GRACE).unwrap();
        let token = Arc::new(());
        let left = || LeftBehind { work: "a".to_owned(), since: long_ago, running: Arc::downgrade(&token) };
        LEFT_BEHIND.lock().unwrap().insert(uri.to_owned(), (0..MAX_HUNG_OF_WORK).map(|_| left()).collect());
        let error = StoreThread::start(uri, "a", || ()).unwrap_err().to_string();
        assert!(error.starts_with("4 earlier attempts to read file:///hangs/ have not come back"), "{error}");
        assert_eq!(StoreThread::start(uri, "b", || 7).unwrap().ended().await.unwrap(), 7);
        drop(token);
        StoreThread::start(uri, "a", || ()).unwrap().ended().await.unwrap();
    }

    #[test]
    fn the_next_try_waits_the_longer_the_more_have_hung_and_comes_at_last() {
        // How many seconds ago tries hung, and whether it is too soon for another.
        let cases: [(&[u64], bool); 7] = [
            (&[110, 90, 70, 50], true),
            (&[120, 100, 80, 60], false),
            (&[140, 120, 100, 80, 60], true),
            (&[300, 280, 260, 240, 120], false),
            // Five at once are one try.
            (&[63, 62, 61, 60, 60], false),
            (&[9000, 8000, 7000, 6000, 5000, 4000, 3900, 3800, 3700, 3650, 3620, 3590], true),
            (&[9000, 8000, 7000, 6000, 5000, 4000, 3900, 3800, 3700, 3650, 3620, 3600], false),
        ];
        for (seconds, expected) in cases {
            let hung_for: Vec<Duration> =
                seconds.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
            assert_eq!(is_too_soon(&hung_for, 4), expected, "{seconds:?}");
        }
    }
}
