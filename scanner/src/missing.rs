//! Files that a worker has missed are looked for here, too: what worker and scanner miss ten minutes apart is gone.

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
/// For the files of a dataset: a mount may hang.
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
        match missing_here(&dataset, files).await {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => {
                let files = answered(ledger::missed_by_scanner(&session, &missing)).await?;
                info!(dataset = %dataset.spec.name, files, "files that workers have missed are not here either");
            }
            Err(error) => warn!(dataset = %dataset.spec.name, "cannot look for missed files: {error:#}"),
        }
    }
    session.give_back();
    Ok(())
}

/// Those of the files that are missing to this process, too.
async fn missing_here(dataset: &StoredDataset, files: Vec<MissedFile>) -> anyhow::Result<Vec<i64>> {
    let mark = files.first().and_then(|file| file.source_mark.clone());
    let store = Store::to_open(&dataset.spec, mark.as_deref())?;
    let source = store.folder_uri("");
    let looking = move || {
        let is_missing = |file: &MissedFile| matches!(store.open(&file.stored), Err(StoreError::Gone));
        files.iter().filter(|file| is_missing(file)).map(|file| file.id).collect()
    };
    let mut looking = StoreThread::start(&source, "missed files", looking)?;
    tokio::time::timeout(STORE_LIMIT, looking.ended())
        .await
        .with_context(|| format!("{source} does not answer"))?
        .context("the look ended abnormally")
}
