//! One message: claim, load, settle, ack.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::Pool;
use longshore_common::{
    database::{self, Session},
    edge,
    ledger::{self, Claim, ClaimOutcome, Lock},
    queue::Received,
    telemetry,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};
use uuid::Uuid;

use crate::{
    claim,
    config::WorkerConfig,
    failure::{Failure, Verdict},
    heartbeat::RunningLoads,
    load,
    progress::Progress,
    settle, unclaimed,
};

/// What all messages of a worker share.
pub(crate) struct Shared {
    pub(crate) worker_name: String,
    pub(crate) config: WorkerConfig,
    /// Connections that load, one a permit.
    pub(crate) load_pool: Pool,
    /// Connections for everything else.
    pub(crate) books_pool: Pool,
    /// Keeps loads within the concurrency also when a new channel brings a new prefetch.
    pub(crate) permits: Semaphore,
    pub(crate) running: RunningLoads,
    /// Files that FAILED for good.
    pub(crate) failed_files: AtomicU64,
    /// Told to stop: begin nothing new.
    pub(crate) stop: CancellationToken,
    /// The grace is over: give back what is not finished.
    pub(crate) give_up: CancellationToken,
}

impl Shared {
    /// Waits, unless it is told to stop.
    pub(crate) async fn pause(&self, duration: Duration) {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// How the message is answered.
enum Answer {
    /// Whatever there was to do is committed.
    Ack,
    /// Nothing is done yet: the message must come again.
    Requeue,
    /// It names no task of ours.
    DeadLetter,
}

/// What became of a message so far.
enum Dealt {
    With(Answer),
    /// Its task must have the worker to itself.
    NotYetAlone,
}

/// How long a message waits for room before it is given back, so that a worker with room can have it. There is room at once,
/// unless loads of an earlier channel still run.
const ROOM_LIMIT: Duration = Duration::from_secs(5);

/// How often a message that waits to be alone looks whether its task still waits.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Deals with one message, from its receipt to its answer.
pub(crate) async fn handle(shared: Arc<Shared>, received: Received) {
    let span = info_span!("task", task = %received.task_id);
    telemetry::set_parent(&span, received.traceparent.as_deref());
    async {
        if edge::is_sabotaged("sabotage::ack_before_commit") {
            received.receipt.ack_in_advance().await;
        }
        let room = tokio::time::timeout(ROOM_LIMIT, shared.permits.acquire()).await;
        let answer = match room {
            // The permit is held until the answer is known.
            Ok(Ok(permit)) => deal_with(&shared, &received, permit).await,
            _ => Answer::Requeue,
        };
        // Commit, then ack: whatever dies before this line, the message comes again and finds the task as it is.
        let answering = async {
            match answer {
                Answer::Ack if edge::pass("worker::before_ack").is_err() => received.receipt.requeue().await,
                Answer::Ack => received.receipt.ack().await,
                Answer::Requeue => received.receipt.requeue().await,
                Answer::DeadLetter => received.receipt.dead_letter().await,
            }
        };
        answering.instrument(info_span!("ack")).await;
        let _ = edge::pass("worker::after_ack");
    }
    .instrument(span)
    .await;
}

async fn deal_with(shared: &Shared, received: &Received, permit: SemaphorePermit<'_>) -> Answer {
    let everything = u32::from(shared.config.concurrency);
    if let Dealt::With(answer) = work(shared, received, everything == 1).await {
        return answer;
    }
    // The permit goes first: two such tasks that each keep one would wait for each other for ever.
    drop(permit);
    if shared.permits.available_permits() < usize::from(shared.config.concurrency) {
        info!("several workers died of it; waiting until nothing else is loaded beside it");
    }
    let room = shared.permits.acquire_many(everything);
    tokio::pin!(room);
    let all = loop {
        tokio::select! {
            all = &mut room => break all,
            () = shared.stop.cancelled() => return Answer::Requeue,
            // While this worker waits, it begins nothing new: not for a task that another has taken.
            () = tokio::time::sleep(LOOK_AGAIN) => {
                if !unclaimed::still_waits(shared, received.task_id).await {
                    return Answer::Ack;
                }
            }
        }
    };
    match work(shared, received, all.is_ok()).await {
        Dealt::With(answer) => answer,
        Dealt::NotYetAlone => Answer::Requeue,
    }
}

async fn work(shared: &Shared, received: &Received, is_alone: bool) -> Dealt {
    if shared.stop.is_cancelled() {
        return Dealt::With(Answer::Requeue);
    }
    let claimed = claim::claim(shared, received, is_alone).instrument(info_span!("claim")).await;
    let (session, outcome) = match claimed {
        Ok(claimed) => claimed,
        Err(error) => {
            warn!("cannot claim the task, which is tried again later: {error:#}");
            if unclaimed::leave_to_relay(shared, received.task_id, &error).await {
                return Dealt::With(Answer::Ack);
            }
            shared.pause(Duration::from_secs(1)).await;
            return Dealt::With(Answer::Requeue);
        }
    };
    Dealt::With(match outcome {
        ClaimOutcome::Claimed(claim) => {
            run(shared, session, &claim).await;
            Answer::Ack
        }
        ClaimOutcome::NothingToDo(why) => {
            session.give_back();
            debug!("nothing to do for the task: {why}");
            Answer::Ack
        }
        ClaimOutcome::Held(held) => {
            // What it needs, the scanner or its holder does: a task that is NEW is published again.
            session.give_back();
            debug!(?held, "somebody holds the task's lease");
            Answer::Ack
        }
        ClaimOutcome::MustBeAlone => {
            session.give_back();
            return Dealt::NotYetAlone;
        }
        ClaimOutcome::Unknown => {
            say_unknown(&session, received).await;
            session.give_back();
            Answer::DeadLetter
        }
    })
}

/// Says why the message is none of ours, as far as that can be told.
async fn say_unknown(session: &Session, received: &Received) {
    let asking = tokio::time::timeout(SETTLE_TIMEOUT, ledger::installation_id(session)).await;
    match (received.installation, asking) {
        (Some(theirs), Ok(Ok(ours))) if theirs != ours => warn!(
            %theirs, %ours,
            "a message of another installation: two databases share the queues of one prefix, and each needs its own \
             LONGSHORE_AMQP_PREFIX (or the broker still has messages of an earlier database); it goes to the dead-letter queue"
        ),
        _ => warn!("no such task; its message goes to the dead-letter queue"),
    }
}

/// Loads a claimed task and settles it; when this returns, the task is settled or somebody else's.
async fn run(shared: &Shared, mut session: Session, claim: &Claim) {
    let started = Instant::now();
    let dataset = claim.spec.name.as_str();
    info!(%dataset, attempt = claim.attempt, files = claim.files.len(), "claimed");
    let progress = Arc::new(Progress::default());
    let listed = shared.running.list(claim.task_id, claim.attempt, progress.clone());
    let stall_limit = shared.config.limits.stall_limit;
    // The load that is dropped ends its COPY and rolls back; both go ahead of whatever is sent next on the connection.
    let loaded = tokio::select! {
        loaded = load::load(&mut session, claim, progress.clone()) => loaded,
        () = shared.give_up.cancelled() => Err(Failure::Stopped),
        () = progress.stalled(stall_limit) => Err(Failure::Stalled(stall_limit)),
    };
    drop(listed);
    let outcome = match loaded {
        Ok(committed) => {
            shared.failed_files.fetch_add(committed.failed_files as u64, Ordering::Relaxed);
            log_committed(&committed, dataset, started);
            // The task is settled. If its lease cannot be released, the end of the session does that.
            let unlocking = ledger::unlock(&session, Lock::Task(claim.lease_key));
            if let Ok(Ok(())) = tokio::time::timeout(SETTLE_TIMEOUT, unlocking).await {
                session.give_back();
            }
            if committed.is_loaded() { "loaded" } else { "failed" }
        }
        Err(failure) => {
            let outcome = settle_failure(shared, session, claim, &failure).await;
            if failure.is_of_this_machine() {
                // Or a worker without its mount, which fails in a millisecond, would be handed most of the queue.
                shared.pause(BLIND_PAUSE).await;
            }
            outcome
        }
    };
    telemetry::metrics().task_settled(dataset, outcome);
    telemetry::metrics().load_duration(dataset, started.elapsed());
}

async fn settle_failure(shared: &Shared, session: Session, claim: &Claim, failure: &Failure) -> &'static str {
    let verdict = failure.verdict();
    let outcome = match verdict {
        Verdict::Retry | Verdict::RetryRarely | Verdict::SetAside | Verdict::Halve => "retry",
        Verdict::Wait => "wait",
        Verdict::GiveBack => "stopped",
        Verdict::Fail | Verdict::CarveOut => "failed",
        Verdict::LeaveAlone => "fenced",
    };
    match verdict {
        Verdict::GiveBack => info!("giving the task back"),
        Verdict::Fail | Verdict::CarveOut => error!("the task FAILED: {}", failure.for_log()),
        Verdict::Retry
        | Verdict::RetryRarely
        | Verdict::SetAside
        | Verdict::Halve
        | Verdict::Wait
        | Verdict::LeaveAlone => {
            warn!(outcome, "the load ended early: {}", failure.for_log());
        }
    }
    let retry_for = shared.config.retry_for;
    // A connection that stalled may hang in COPY for ever: whatever is sent on it would wait behind that.
    let is_usable =
        !session.is_closed() && !matches!(failure, Failure::Stalled(_) | Failure::CommitUnknown(_));
    let is_usable = is_usable && edge::pass("worker::before_settle").is_ok();
    let settled = is_usable && {
        let settling = settle::settle(&session, claim, failure, retry_for);
        matches!(tokio::time::timeout(SETTLE_TIMEOUT, settling).await, Ok(Ok(())))
    };
    // Closing the connection frees the lease, after the settlement where there was one.
    drop(session);
    if !settled {
        let give_up = &shared.give_up;
        settle::settle_elsewhere(&shared.books_pool, claim, failure, retry_for, give_up).await;
    }
    let has_failed = match verdict {
        Verdict::Fail | Verdict::CarveOut => true,
        // Its time may have been over. Only a worker that ends by itself tells of it.
        Verdict::Retry | Verdict::RetryRarely | Verdict::SetAside | Verdict::Halve => {
            shared.config.drain && has_failed(shared, claim.task_id).await
        }
        Verdict::Wait | Verdict::GiveBack | Verdict::LeaveAlone => false,
    };
    if has_failed {
        shared.failed_files.fetch_add(claim.files.len() as u64, Ordering::Relaxed);
    }
    let _ = edge::pass("worker::after_settle");
    outcome
}

/// How long a place of a worker that does not see a task's files takes no other task.
const BLIND_PAUSE: Duration = Duration::from_secs(1);

async fn has_failed(shared: &Shared, task_id: Uuid) -> bool {
    let look = async {
        let session = database::session(&shared.books_pool).await?;
        let has_failed = ledger::is_failed(&session, task_id).await?;
        session.give_back();
        anyhow::Ok(has_failed)
    };
    matches!(tokio::time::timeout(SETTLE_TIMEOUT, look).await, Ok(Ok(true)))
}

/// Short, so that at a stop there is time left to settle from another connection.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(3);

fn log_committed(committed: &load::Committed, dataset: &str, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    let (totals, failed_files) = (committed.totals, committed.failed_files);
    let (files, rows, rejected) = (totals.files, totals.rows_loaded, totals.rows_rejected);
    info!(%dataset, files, failed_files, rows, rejected, seconds, "committed");
}
