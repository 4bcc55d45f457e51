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
    store::{AfterLoadOutcome, AfterLoadStep, Grant, Permission},
};
use serde::Serialize;
use tokio::{task::JoinSet, time::Instant};
use tokio_postgres::{Client, IsolationLevel, Transaction};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::answer::answered;

/// Files whose outcomes are recorded together.
const BATCH_LEN: i64 = 100;

/// For how long at most the next file of a batch is begun: others wait for the batch's locks.
const BATCH_TIME: Duration = Duration::from_secs(2);

/// After so many a dataset gives its place to the next one.
const BATCHES_PER_TURN: usize = 10;

/// Files that are on their way at once: a store answers several sooner than one after the other.
const AT_ONCE: usize = 8;

/// How often the session that holds the lock speaks while a store keeps it waiting: others end one that is silent.
const SPEAK_EVERY: Duration = Duration::from_millis(500);

/// Of the stall limit, after which others may end the session: so much is left to them of a permission that was not renewed. It is
/// renewed several times in that.
const PARTS_OF_STALL_LIMIT: u32 = 2;

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

/// How a turn on a dataset's files ended.
#[derive(Default)]
pub(crate) struct Ended {
    pub(crate) report: AfterLoadReport,
    /// The turn is over, and more is due: other datasets come first.
    pub(crate) has_more: bool,
    /// Something has failed and is still to be tried again.
    pub(crate) is_failing: bool,
    /// Not one file of a whole batch could be moved or deleted.
    pub(crate) is_blocked: bool,
    /// Files that a store which gives no answer still has; nothing else of the dataset is to be tried before, for an hour at least: the
    /// one step of each that hangs may still take effect.
    pub(crate) hung: JoinSet<Tried>,
}

type Tried = (i64, Result<AfterLoadOutcome, String>);

/// Works off what is due for a dataset's files, until nothing is or nothing works, the turn is over, or until `deadline`. If another
/// scanner is at it, nothing is left to do here.
///
/// After an error the connection must be closed: it may hold the lock.
pub(crate) async fn work_off(
    client: &mut Client,
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
        // What was said of them is not to be said anew.
        ended.is_failing = answered(ledger::has_failing_after_loads(client, dataset_id)).await?;
        return Ok(ended);
    }
    for batch in 0.. {
        if stop.is_cancelled() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
        let due = answered(ledger::due_after_loads(client, dataset_id, BATCH_LEN)).await?;
        if due.is_empty() {
            break;
        }
        if batch == BATCHES_PER_TURN {
            ended.has_more = true;
            break;
        }
        // Before the first removal, and after the loads were seen: rows must outlast a crash that their files do not.
        answered(ledger::flush_commits(client)).await?;
        edge::pass("after_load::after_flush")?;
        let Batch { tried, hung } = take_batch(client, dataset_id, &due, stall_limit).await?;
        let uris: BTreeMap<i64, String> = due.into_iter().collect();
        tried.iter().for_each(|(_, outcome)| ended.report.count(outcome));
        said.tell(&tried, &uris);
        if !hung.is_empty() {
            (ended.hung, ended.is_blocked) = (hung, true);
            break;
        }
        // What keeps a whole batch from working would keep the next one, too; so would somebody who has locked all of it.
        if tried.iter().all(|(_, outcome)| outcome.is_err()) {
            ended.is_blocked = tried.len() == BATCH_LEN as usize;
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

/// What became of a batch.
#[derive(Default)]
struct Batch {
    tried: Vec<Tried>,
    hung: JoinSet<Tried>,
}

/// Decides what is done with files, does it and records it, under the locks of their objects and of the spec: no `unload`, `reload`
/// or `apply` comes in between. They wait no longer than [`BATCH_TIME`] and the stall limit.
async fn take_batch(
    client: &mut Client,
    dataset_id: i32,
    files: &[(i64, String)],
    stall_limit: Duration,
) -> anyhow::Result<Batch> {
    // A role's default may be another isolation, in which what is read after a lock was had is older than the lock.
    let beginning = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start();
    let transaction = answered(beginning).await?;
    // Read only now: who has changed `delete` to `keep` means the rest of these files, too.
    let Some(spec) = answered(ledger::hold_spec(&transaction, dataset_id)).await? else {
        return Ok(Batch::default());
    };
    let step = AfterLoadStep::of(&spec)?;
    let asked = Instant::now();
    let due = answered(ledger::lock_due_after_loads(&transaction, dataset_id, files)).await?;
    edge::pass("after_load::after_lock")?;
    let grant = Grant::new(asked.into_std(), stall_limit / PARTS_OF_STALL_LIMIT);
    let batch = try_all(&transaction, &step, due, stall_limit, grant).await?;
    edge::pass("after_load::before_record")?;
    answered(ledger::record_after_loads(&transaction, &batch.tried)).await?;
    answered(transaction.commit()).await?;
    Ok(batch)
}

async fn current_dataset(client: &Client, name: &str) -> anyhow::Result<StoredDataset> {
    let dataset = answered(ledger::current_dataset(client, name)).await;
    dataset.and_then(|dataset| dataset.context("it is gone")).with_context(|| format!("dataset {name}"))
}

/// Gives what became of each file, and those that the store still has after it gave no answer for `stall_limit`. What a slow store
/// leaves no time for is not tried.
///
/// The locks go with the transaction, if not sooner with its session; what hangs must not rest on them when it wakes. So the grant
/// ends with this function, whichever way that ends, and by itself if Postgres does not answer in time or the process is stopped.
async fn try_all(
    transaction: &Transaction<'_>,
    step: &AfterLoadStep,
    due: Vec<DueAfterLoad>,
    stall_limit: Duration,
    grant: Grant,
) -> anyhow::Result<Batch> {
    let mut open = BTreeSet::new();
    let mut waiting = VecDeque::from(due);
    let (mut running, mut tried) = (JoinSet::new(), Vec::with_capacity(waiting.len()));
    let began = Instant::now();
    let mut last_answer = began;
    // Also while files come back in a steady flow: a session that says nothing is ended, however busy its scanner is.
    let speak_every = SPEAK_EVERY.min(stall_limit / (4 * PARTS_OF_STALL_LIMIT));
    let mut next_word = began + speak_every;
    loop {
        while running.len() < AT_ONCE
            && began.elapsed() < BATCH_TIME
            && let Some(due) = waiting.pop_front()
        {
            open.insert(due.file.id);
            running.spawn(try_one(step.clone(), due, grant.permission()));
        }
        if open.is_empty() || last_answer.elapsed() >= stall_limit {
            break;
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(next_word) => {
                let asked = Instant::now();
                answered(transaction.batch_execute("")).await?;
                grant.renew(asked.into_std());
                next_word = Instant::now() + speak_every;
            }
            ended = running.join_next() => {
                let ended = ended.context("no file is on its way")?.context("a step ended abnormally")?;
                open.remove(&ended.0);
                tried.push(ended);
                last_answer = Instant::now();
            }
        }
    }
    let no_answer = format!("the store gave no answer for {}", humantime::format_duration(stall_limit));
    tried.extend(open.into_iter().map(|file_id| (file_id, Err(no_answer.clone()))));
    Ok(Batch { tried, hung: running })
}

async fn try_one(step: AfterLoadStep, due: DueAfterLoad, permission: Permission) -> Tried {
    let DueAfterLoad { file, is_loaded, has_rejects } = due;
    let reason = match is_loaded {
        false => Some("its rows are no longer in the table, or about to be replaced"),
        true => step.reason_to_leave(has_rejects),
    };
    let file_id = file.id;
    let outcome = match reason {
        // An earlier try may have begun it.
        Some(reason) => step.leave(file, reason, permission).await,
        None => step.take(file, permission).await,
    };
    (file_id, outcome.map_err(|error| format!("{error:#}")))
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
