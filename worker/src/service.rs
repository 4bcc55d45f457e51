//! The worker service: consumes until told to stop, or until nothing is left.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use deadpool_postgres::Pool;
use longshore_common::{
    backoff::{Backoff, Reminder},
    database, ledger,
    queue::{Queue, TaskConsumer},
};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, warn};

use crate::{
    config::WorkerConfig,
    heartbeat::{self, RunningLoads},
    task::{self, Shared},
};

/// What a worker has done when it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Why it stopped.
    pub reason: StopReason,
    /// Files that FAILED for good in its hands.
    pub failed_files: u64,
}

/// Why a worker stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// By a signal.
    Told,
    /// `--drain`, and the queue has nothing more to give.
    Drained,
}

/// The connections of a worker, by what they are for, so that none waits for another's.
#[derive(Clone)]
pub struct Pools {
    /// One for each load at once.
    pub load: Pool,
    /// [`BOOKS_POOL_SIZE`]: settlements after a lost connection, and a drain's looks.
    pub books: Pool,
    /// One, for the heartbeat: a worker that seems silent loses its tasks.
    pub heartbeat: Pool,
}

/// Connections of [`Pools::books`].
pub const BOOKS_POOL_SIZE: usize = 3;

/// Runs until `stop` is cancelled or, with `drain`, until no published task is left. Loads that run then have the grace
/// to finish; the others are given back.
pub async fn run(pools: Pools, queue: &Queue, config: WorkerConfig, stop: CancellationToken) -> Stopped {
    let shared = Arc::new(Shared {
        worker_name: worker_name(),
        permits: Semaphore::new(usize::from(config.concurrency)),
        load_pool: pools.load,
        books_pool: pools.books,
        running: RunningLoads::default(),
        failed_files: AtomicU64::new(0),
        stop,
        give_up: CancellationToken::new(),
        config,
    });
    let heart = tokio::spawn(heartbeat::beat(pools.heartbeat.clone(), shared.running.clone()));
    info!(worker = %shared.worker_name, concurrency = shared.config.concurrency, "worker started");
    let reason = consume(&shared, queue, &pools.heartbeat).await;
    // Nothing runs any more whose progress it could tell.
    heart.abort();
    let why = match reason {
        StopReason::Told => "told to",
        StopReason::Drained => "the queue is drained",
    };
    info!("worker stopped: {why}");
    Stopped { reason, failed_files: shared.failed_files.load(Ordering::Relaxed) }
}

/// Consumes; a lost consumer is opened again, and loads that run then go on.
async fn consume(shared: &Arc<Shared>, queue: &Queue, heartbeat_pool: &Pool) -> StopReason {
    let mut loads = JoinSet::new();
    let mut backoff = Backoff::up_to(REOPEN_LIMIT);
    let mut reminder = Reminder::default();
    loop {
        let opening = async {
            heartbeat::connect(heartbeat_pool).await?;
            TaskConsumer::open(queue, &shared.worker_name, shared.config.concurrency).await
        };
        let opened = tokio::select! {
            opened = opening => opened,
            () = shared.stop.cancelled() => {
                finish(shared, &mut loads, None).await;
                return StopReason::Told;
            }
        };
        let since = Instant::now();
        let error = match opened {
            Ok(mut consumer) => {
                info!("consuming");
                reminder.clear();
                match receive(shared, &mut consumer, queue, heartbeat_pool, &mut loads).await {
                    Ok(reason) => {
                        finish(shared, &mut loads, Some(consumer)).await;
                        return reason;
                    }
                    Err(error) => {
                        consumer.close().await;
                        error
                    }
                }
            }
            Err(error) => error,
        };
        if reminder.is_due() {
            warn!(loads = loads.len(), "cannot consume, trying again until it works; loads go on: {error:#}");
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_wait_after(since.elapsed())) => {}
            () = shared.stop.cancelled() => {}
        }
    }
}

/// The longest pause between two tries to consume again: the broker may come back right after one.
const REOPEN_LIMIT: Duration = Duration::from_secs(2);

/// Hands messages to loads until told to stop or drained; an error means that a new consumer is needed.
async fn receive(
    shared: &Arc<Shared>,
    consumer: &mut TaskConsumer,
    queue: &Queue,
    heartbeat_pool: &Pool,
    loads: &mut JoinSet<()>,
) -> anyhow::Result<StopReason> {
    let mut drain = DrainCheck::default();
    let mut look = tokio::time::interval(DrainCheck::EVERY);
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Ok(StopReason::Told),
            // A load that panicked has closed its session, so its task will be rescued; its message is unanswered and
            // takes up a place of the prefetch, which only a new channel frees.
            Some(ended) = loads.join_next(), if !loads.is_empty() => ended.context("a load ended abnormally")?,
            received = consumer.next() => {
                let received = received?;
                // Nothing is claimed without it: a load that nobody hears of is taken for hung. What was received goes back to
                // the queue then, with its channel.
                tokio::select! {
                    connected = heartbeat::connect(heartbeat_pool) => connected?,
                    () = shared.stop.cancelled() => return Ok(StopReason::Told),
                }
                loads.spawn(task::handle(shared.clone(), received).in_current_span());
            }
            _ = look.tick(), if shared.config.drain && loads.is_empty() => {
                let ready = consumer.ready(queue).await?;
                if drain.is_drained(&shared.books_pool, ready).await {
                    return Ok(StopReason::Drained);
                }
            }
        }
    }
}

/// Whether no task is left, as far as the broker and Postgres know.
#[derive(Default)]
struct DrainCheck {
    empty_looks: u32,
}

impl DrainCheck {
    const EVERY: Duration = Duration::from_millis(100);
    /// A server that hangs must not keep messages and a stop waiting.
    const LOOK_LIMIT: Duration = Duration::from_secs(10);
    /// Five seconds of an empty queue while Postgres knows of published tasks: their messages are with other workers, or lost.
    const MAX_EMPTY_LOOKS: u32 = 50;

    /// `ready` is the number of messages that wait in the queue.
    async fn is_drained(&mut self, pool: &Pool, ready: u32) -> bool {
        if ready > 0 {
            self.empty_looks = 0;
            return false;
        }
        let asked = tokio::time::timeout(Self::LOOK_LIMIT, open_published_tasks(pool)).await;
        let open = match asked.context("Postgres does not answer").flatten() {
            Ok(0) => return true,
            Ok(open) => open,
            Err(error) => {
                debug!("cannot tell whether a task is left: {error:#}");
                return false;
            }
        };
        self.empty_looks += 1;
        if self.empty_looks >= Self::MAX_EMPTY_LOOKS {
            warn!(
                tasks = open,
                "tasks are published, but the queue is empty: other workers have their messages, or these are lost, which the \
                 scanner or `longshore scan` notices"
            );
            return true;
        }
        false
    }
}

async fn open_published_tasks(pool: &Pool) -> anyhow::Result<i64> {
    let session = database::session(pool).await?;
    let open = ledger::open_published_tasks(&session).await?;
    session.give_back();
    Ok(open)
}

/// How long giving back may take. After that, Postgres or the broker hangs, and the rescue will see to what is left.
const GIVE_BACK_LIMIT: Duration = Duration::from_secs(10);

/// Takes no more messages and waits for the loads: first as long as the grace lasts, then until they are given back.
async fn finish(shared: &Arc<Shared>, loads: &mut JoinSet<()>, consumer: Option<TaskConsumer>) {
    shared.stop.cancel();
    // Beside each other: a broker that does not answer must not take time from the loads.
    let stopping = async {
        if let Some(consumer) = &consumer {
            consumer.stop().await;
        }
    };
    tokio::join!(stopping, finish_loads(shared, loads));
    if let Some(consumer) = consumer {
        consumer.close().await;
    }
}

async fn finish_loads(shared: &Arc<Shared>, loads: &mut JoinSet<()>) {
    if loads.is_empty() {
        return;
    }
    let grace = shared.config.grace;
    info!(loads = loads.len(), "finishing loads within {grace:?}");
    if tokio::time::timeout(grace, join_all(loads)).await.is_err() {
        shared.give_up.cancel();
        if tokio::time::timeout(GIVE_BACK_LIMIT, join_all(loads)).await.is_err() {
            warn!(loads = loads.len(), "could not give every task back; the scanner will rescue the rest");
            loads.abort_all();
        }
    }
}

async fn join_all(loads: &mut JoinSet<()>) {
    while let Some(ended) = loads.join_next().await {
        if let Err(error) = ended {
            error!("a load ended abnormally, its task will be rescued: {error}");
        }
    }
}

/// Host, process and a random part: a name that no other worker has had.
fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "localhost" } else { host.trim() };
    ledger::worker_name(host)
}
