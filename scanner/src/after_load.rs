//! After the load: files whose rows are committed are moved or deleted, if their dataset's spec says so. A step of its own,
//! which is worked off from what the loads have left in the ledger: it holds up nothing, and is repeated until it is done.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use anyhow::Context;
use longshore_common::{
    edge,
    ledger::{self, DueAfterLoad, Lock, StoredDataset},
    store::{AfterLoadOutcome, AfterLoadStep},
};
use serde::Serialize;
use tokio::{task::JoinSet, time::Instant};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::answer::answered;

/// Files whose outcomes are recorded together.
const BATCH_LEN: i64 = 100;

/// Files that are on their way at once: a store answers several sooner than one after the other.
const AT_ONCE: usize = 8;

/// How often the session that holds the lock speaks while a store keeps it waiting: others end one that is silent.
const SPEAK_EVERY: Duration = Duration::from_millis(500);

/// What has become of files.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct AfterLoadReport {
    /// Moved.
    pub moved: u64,
    /// Deleted.
    pub deleted: u64,
    /// Gone before anything was done.
    pub gone: u64,
    /// Left where they are, for good.
    pub left: u64,
    /// To be tried again.
    pub failed: u64,
}

impl AfterLoadReport {
    fn count(&mut self, outcome: &Result<AfterLoadOutcome, String>) {
        *match outcome {
            Ok(AfterLoadOutcome::Moved(_)) => &mut self.moved,
            Ok(AfterLoadOutcome::Deleted) => &mut self.deleted,
            Ok(AfterLoadOutcome::Gone) => &mut self.gone,
            Ok(AfterLoadOutcome::Left(_)) => &mut self.left,
            Err(_) => &mut self.failed,
        } += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.moved += other.moved;
        self.deleted += other.deleted;
        self.gone += other.gone;
        self.left += other.left;
        self.failed += other.failed;
    }
}

/// How work on a dataset's files ended.
#[derive(Default)]
pub(crate) struct Ended {
    pub(crate) report: AfterLoadReport,
    /// Something has failed and is still to be tried again.
    pub(crate) is_failing: bool,
    /// Not one file of a whole batch could be moved or deleted.
    pub(crate) is_blocked: bool,
    /// Files that a store which gives no answer still has; nothing else of the dataset is to be tried before, for an hour at least: what
    /// hangs may still take effect.
    pub(crate) hung: JoinSet<Tried>,
}

type Tried = (i64, Result<AfterLoadOutcome, String>);

/// Works off what is due for a dataset's files, until nothing is or nothing works, or until `deadline`. If another scanner is
/// at it, nothing is left to do here.
///
/// After an error the connection must be closed: it may hold the lock.
pub(crate) async fn work_off(
    client: &Client,
    name: &str,
    stall_limit: Duration,
    deadline: Option<Instant>,
    stop: &CancellationToken,
    said: &mut Said,
) -> anyhow::Result<Ended> {
    let mut ended = Ended::default();
    let dataset_id = current_dataset(client, name).await?.id;
    let lock = Lock::AfterLoad(dataset_id);
    if !answered(ledger::try_lock_from_silent(client, lock, stall_limit)).await? {
        return Ok(ended);
    }
    while !stop.is_cancelled() && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        // Read again each time: who changes `delete` to `keep` means the rest of these files, too.
        let step = AfterLoadStep::of(&current_dataset(client, name).await?.spec)?;
        let due = answered(ledger::due_after_loads(client, dataset_id, BATCH_LEN)).await?;
        if due.is_empty() {
            break;
        }
        let uris = due.iter().map(|due| (due.file.id, due.file.stored.uri.clone())).collect();
        let (tried, hung) = try_all(client, &step, due, stall_limit).await?;
        edge::pass("after_load::before_record")?;
        answered(ledger::record_after_loads(client, &tried)).await?;
        tried.iter().for_each(|(_, outcome)| ended.report.count(outcome));
        said.tell(&tried, &uris);
        ended.hung = hung;
        if tried.iter().all(|(_, outcome)| outcome.is_err()) {
            // What keeps a whole batch from working would keep the next one, too.
            ended.is_blocked = tried.len() == BATCH_LEN as usize || !ended.hung.is_empty();
            break;
        }
    }
    ended.is_failing = answered(ledger::has_failing_after_loads(client, dataset_id)).await?;
    if !ended.is_failing {
        said.forget();
    }
    answered(ledger::unlock(client, lock)).await?;
    let AfterLoadReport { moved, deleted, gone, left, .. } = ended.report;
    if moved + deleted + gone + left > 0 {
        info!(moved, deleted, gone, left, "after the load");
    }
    Ok(ended)
}

async fn current_dataset(client: &Client, name: &str) -> anyhow::Result<StoredDataset> {
    let dataset = answered(ledger::current_dataset(client, name)).await;
    dataset.and_then(|dataset| dataset.context("it is gone")).with_context(|| format!("dataset {name}"))
}

/// Gives what became of each file, and those that the store still has after it gave no answer for `stall_limit`.
async fn try_all(
    client: &Client,
    step: &AfterLoadStep,
    due: Vec<DueAfterLoad>,
    stall_limit: Duration,
) -> anyhow::Result<(Vec<Tried>, JoinSet<Tried>)> {
    let mut open: BTreeSet<i64> = due.iter().map(|due| due.file.id).collect();
    let mut waiting = VecDeque::from(due);
    let (mut running, mut tried) = (JoinSet::new(), Vec::with_capacity(open.len()));
    let mut last_answer = Instant::now();
    while !open.is_empty() && last_answer.elapsed() < stall_limit {
        while running.len() < AT_ONCE
            && let Some(due) = waiting.pop_front()
        {
            running.spawn(try_one(step.clone(), due));
        }
        match tokio::time::timeout(SPEAK_EVERY, running.join_next()).await {
            Ok(ended) => {
                let ended = ended.context("no file is on its way")?.context("a step ended abnormally")?;
                open.remove(&ended.0);
                tried.push(ended);
                last_answer = Instant::now();
            }
            Err(_) => answered(client.batch_execute("")).await?,
        }
    }
    let no_answer = format!("the store gave no answer for {}", humantime::format_duration(stall_limit));
    tried.extend(open.into_iter().map(|file_id| (file_id, Err(no_answer.clone()))));
    Ok((tried, running))
}

async fn try_one(step: AfterLoadStep, DueAfterLoad { file, is_loaded }: DueAfterLoad) -> Tried {
    if !is_loaded {
        return (
            file.id,
            Ok(AfterLoadOutcome::Left(
                "its rows are no longer in the table, or about to be replaced".to_owned(),
            )),
        );
    }
    let file_id = file.id;
    (file_id, step.take(file).await.map_err(|error| format!("{error:#}")))
}

/// Reasons that were said in the log, so that a thousand files with one trouble are one line.
#[derive(Debug, Default)]
pub(crate) struct Said(BTreeSet<String>);

/// Reasons that differ from file to file after all are not said without end.
const MAX_SAID: usize = 20;

impl Said {
    fn tell(&mut self, tried: &[Tried], uris: &BTreeMap<i64, String>) {
        for (file_id, outcome) in tried {
            if let Err(reason) = outcome
                && self.0.len() < MAX_SAID
                && self.0.insert(reason.clone())
            {
                warn!(
                    file = uris.get(file_id),
                    file_id, "a loaded file cannot be moved or deleted, trying again until it can: {reason}"
                );
            }
        }
    }

    fn forget(&mut self) {
        if !self.0.is_empty() {
            info!("loaded files can be moved and deleted again");
            self.0.clear();
        }
    }
}
