//! The threads that read file stores. A mount that hangs keeps each thread that touches it for as long as it hangs, and a
//! process has only so many: one source must not use them up.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::task::{JoinError, JoinHandle};

/// Threads that hang on one source. While there are so many, no more are begun on it.
const MAX_HUNG: usize = 4;
/// So long may a thread take to notice that nobody waits for it any more.
const GRACE: Duration = Duration::from_secs(10);

/// Threads that nobody waits for any more, by source. The whole process shares its threads.
static LEFT_BEHIND: Mutex<BTreeMap<String, Vec<LeftBehind>>> = Mutex::new(BTreeMap::new());

struct LeftBehind {
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
    running: Weak<()>,
    handle: JoinHandle<T>,
}

impl<T: Send + 'static> StoreThread<T> {
    /// Begins `work` on the source with this URI, off the threads that serve connections.
    pub fn start(uri: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<Self, StoreHangs> {
        let hung = hung(uri, GRACE);
        if hung >= MAX_HUNG {
            return Err(StoreHangs { uri: uri.to_owned(), hung });
        }
        let token = Arc::new(());
        let running = Arc::downgrade(&token);
        let handle = tokio::task::spawn_blocking(move || {
            // Moved in here, so that a panic frees it as well.
            let _token = token;
            work()
        });
        Ok(Self { uri: uri.to_owned(), running, handle })
    }

    /// Waits for its end. May be dropped and called again.
    pub async fn ended(&mut self) -> Result<T, JoinError> {
        (&mut self.handle).await
    }
}

impl<T> Drop for StoreThread<T> {
    fn drop(&mut self) {
        let left = LeftBehind { since: Instant::now(), running: self.running.clone() };
        if left.is_running() {
            let mut all = LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(std::mem::take(&mut self.uri)).or_default().push(left);
        }
    }
}

/// How many threads of this source were left behind longer than `grace` ago and still run.
fn hung(uri: &str, grace: Duration) -> usize {
    let mut all = LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(left) = all.get_mut(uri) else { return 0 };
    left.retain(LeftBehind::is_running);
    let hung = left.iter().filter(|thread| thread.since.elapsed() >= grace).count();
    if left.is_empty() {
        all.remove(uri);
    }
    hung
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_was_left_behind_counts_until_it_comes_back() {
        let uri = "file:///left-behind/";
        let (release, released) = mpsc::channel::<()>();
        let hanging = StoreThread::start(uri, move || released.recv()).unwrap();
        assert_eq!(hung(uri, Duration::ZERO), 0, "somebody waits for it");
        drop(hanging);
        assert_eq!((hung(uri, Duration::ZERO), hung(uri, GRACE)), (1, 0));
        assert_eq!(hung("file:///another/", Duration::ZERO), 0);
        release.send(()).unwrap();
        while hung(uri, Duration::ZERO) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_source_on_which_threads_hang_gets_no_more_of_them() {
        let uri = "file:///hangs/";
        let long_ago = Instant::now().checked_sub(GRACE).unwrap();
        let token = Arc::new(());
        let left = || LeftBehind { since: long_ago, running: Arc::downgrade(&token) };
        LEFT_BEHIND.lock().unwrap().insert(uri.to_owned(), (0..MAX_HUNG).map(|_| left()).collect());
        let error = StoreThread::start(uri, || ()).unwrap_err().to_string();
        assert!(error.starts_with("4 earlier attempts to read file:///hangs/ have not come back"), "{error}");
        let mut other = StoreThread::start("file:///works/", || 7).unwrap();
        assert_eq!(other.ended().await.unwrap(), 7);
        drop(token);
        StoreThread::start(uri, || ()).unwrap().ended().await.unwrap();
    }
}
