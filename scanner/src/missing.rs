//! Files that a worker has missed are looked for here, too: what worker and scanner miss ten minutes apart is gone, and what is seen
//! here was never missed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context;
use deadpool_postgres::Pool;
use longshore_common::{
    database,
    ledger::{self, MissedFile, StoredDataset},
    store::{Store, StoreError, StoreThread},
};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::answer::answered;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(60);
/// Files of a look; the next one goes on.
const MAX_FILES: i64 = 1000;
/// For the files of a dataset; what was found until then counts.
const LOOK_LIMIT: Duration = Duration::from_secs(45);
/// A mount may hang in the midst of a file.
const STORE_LIMIT: Duration = Duration::from_secs(60);

/// The looks of a scanner, one at a time, beside everything else that it does.
pub(crate) struct MissedFiles {
    pool: Pool,
    looked: Option<Instant>,
    running: Option<JoinHandle<()>>,
}

impl MissedFiles {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, looked: None, running: None }
    }

    /// Begins a look if one is due.
    pub(crate) fn look_if_due(&mut self, datasets: &[&StoredDataset]) {
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= EVERY);
        if !is_due || self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        self.looked = Some(Instant::now());
        let (pool, datasets) = (self.pool.clone(), datasets.iter().copied().cloned().collect::<Vec<_>>());
        self.running = Some(tokio::spawn(async move {
            if let Err(error) = look(&pool, datasets).await {
                warn!("cannot look for files that workers have missed, trying again in a minute: {error:#}");
            }
        }));
    }
}

async fn look(pool: &Pool, datasets: Vec<StoredDataset>) -> anyhow::Result<()> {
    let session = database::session(pool).await?;
    let mut by_dataset: BTreeMap<i32, Vec<MissedFile>> = BTreeMap::new();
    for file in answered(ledger::missed_files(&session, MAX_FILES)).await? {
        by_dataset.entry(file.dataset_id).or_default().push(file);
    }
    for dataset in datasets {
        let Some(files) = by_dataset.remove(&dataset.id) else { continue };
        // A store that hangs or is away tells nothing about its files.
        match found_here(&dataset, files).await {
            Ok(found) => {
                let files = answered(ledger::seen_by_scanner(&session, &found.seen)).await?;
                if files > 0 {
                    info!(dataset = %dataset.spec.name, files, "files that a worker has missed are here");
                }
                let files = answered(ledger::missed_by_scanner(&session, &found.missing)).await?;
                if files > 0 {
                    info!(dataset = %dataset.spec.name, files, "files that workers have missed are not here either");
                }
            }
            Err(error) => warn!(dataset = %dataset.spec.name, "cannot look for missed files: {error:#}"),
        }
    }
    session.give_back();
    Ok(())
}

/// The ids of the files that a look has told apart.
#[derive(Debug, Default, PartialEq)]
struct Found {
    seen: Vec<i64>,
    missing: Vec<i64>,
}

/// What this process sees of the files. One that it cannot look at, or does not come to in time, tells nothing.
async fn found_here(dataset: &StoredDataset, files: Vec<MissedFile>) -> anyhow::Result<Found> {
    let mark = files.first().and_then(|file| file.source_mark.clone());
    let store = Store::to_open(&dataset.spec, mark.as_deref())?;
    let source = store.folder_uri("");
    let deadline = Instant::now() + LOOK_LIMIT;
    let looking = move || {
        told_apart(&files, deadline, |file| match store.open(&file.stored) {
            Ok(_) => Some(true),
            Err(StoreError::Gone) => Some(false),
            Err(_) => None,
        })
    };
    let mut looking = StoreThread::start(&source, "missed files", looking)?;
    tokio::time::timeout(STORE_LIMIT, looking.ended())
        .await
        .with_context(|| format!("{source} does not answer"))?
        .context("the look ended abnormally")
}

/// Looks at one file after the other until the deadline. `is_here` says nothing of a file that it cannot look at.
fn told_apart(
    files: &[MissedFile],
    deadline: Instant,
    is_here: impl Fn(&MissedFile) -> Option<bool>,
) -> Found {
    let mut found = Found::default();
    for file in files.iter().take_while(|_| Instant::now() < deadline) {
        match is_here(file) {
            Some(true) => found.seen.push(file.id),
            Some(false) => found.missing.push(file.id),
            None => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use longshore_common::store::StoredFile;

    use super::*;

    #[test]
    fn a_slow_look_gives_what_it_has_found_until_its_deadline() {
        let stored = || StoredFile {
            uri: String::new(),
            modified_time: chrono::DateTime::UNIX_EPOCH,
            size_in_bytes: 1,
            etag: String::new(),
        };
        let file = |id| MissedFile { id, dataset_id: 1, source_mark: None, stored: stored() };
        let files: Vec<MissedFile> = (0..5).map(file).collect();
        let deadline = Instant::now() + Duration::from_secs(1);
        let found = told_apart(&files, deadline, |file| {
            if file.id == 3 {
                std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
            }
            [Some(true), Some(false), None, Some(true), Some(true)][file.id as usize]
        });
        assert_eq!(found, Found { seen: vec![0, 3], missing: vec![1] });
    }
}
