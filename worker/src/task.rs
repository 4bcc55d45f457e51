//! One message: claim, load, settle, ack.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::Pool;
use longshore_common::{
    database::{self, Session},
    edge,
    ledger::{self, Claim, ClaimOutcome, Lock},
    queue::Received,
    telemetry,
};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::{
    config::WorkerConfig,
    failure::{Failure, Verdict},
    heartbeat::RunningLoads,
    load,
    progress::Progress,
    settle,
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
    /// Told to stop: begin nothing new.
    pub(crate) stop: CancellationToken,
    /// The grace is over: give back what is not finished.
    pub(crate) give_up: CancellationToken,
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

/// Deals with one message, from its receipt to its answer.
pub(crate) async fn handle(shared: Arc<Shared>, received: Received) {
    let span = info_span!("task", task = %received.task_id);
    telemetry::set_parent(&span, received.traceparent.as_deref());
    async {
        if edge::is_sabotaged("sabotage::ack_before_commit") {
            received.receipt.ack_in_advance().await;
        }
        // Held until the answer is sent.
        let permit = shared.permits.acquire().await;
        let answer = match permit {
            Ok(_) if !shared.stop.is_cancelled() => work(&shared, &received).await,
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

async fn work(shared: &Shared, received: &Received) -> Answer {
    let claimed = claim(shared, received).instrument(info_span!("claim")).await;
    let (session, outcome) = match claimed {
        Ok(claimed) => claimed,
        Err(error) => {
            warn!("cannot claim the task, giving its message back: {error:#}");
            pause(shared, Duration::from_secs(1)).await;
            return Answer::Requeue;
        }
    };
    match outcome {
        ClaimOutcome::Claimed(claim) => {
            run(shared, session, &claim).await;
            Answer::Ack
        }
        ClaimOutcome::NothingToDo(why) => {
            session.give_back();
            debug!("nothing to do for the task: {why}");
            Answer::Ack
        }
        ClaimOutcome::LeaseNotFree => {
            session.give_back();
            debug!("the lease is not free yet, giving the message back");
            pause(shared, Duration::from_millis(50)).await;
            Answer::Requeue
        }
        ClaimOutcome::Unknown => {
            session.give_back();
            warn!("no such task; its message goes to the dead-letter queue");
            Answer::DeadLetter
        }
    }
}

async fn claim(shared: &Shared, received: &Received) -> anyhow::Result<(Session, ClaimOutcome)> {
    edge::pass("worker::before_claim")?;
    let mut session = database::session(&shared.load_pool).await?;
    let (worker, max_deaths) = (&shared.worker_name, shared.config.max_deaths);
    let outcome = ledger::claim(&mut session, received.task_id, worker, max_deaths).await?;
    edge::pass("worker::after_claim")?;
    Ok((session, outcome))
}

async fn pause(shared: &Shared, duration: Duration) {
    tokio::select! {
        () = tokio::time::sleep(duration) => {}
        () = shared.stop.cancelled() => {}
    }
}

/// Loads a claimed task and settles it; when this returns, the task is settled or somebody else's.
async fn run(shared: &Shared, mut session: Session, claim: &Claim) {
    let started = Instant::now();
    let dataset = claim.spec.name.as_str();
    info!(%dataset, attempt = claim.attempt, files = claim.files.len(), "claimed");
    let progress = Arc::new(Progress::default());
    let listed = shared.running.list(claim.task_id, claim.attempt, progress.clone());
    let stall_limit = shared.config.stall_limit;
    // The load that is dropped ends its COPY and rolls back; both go ahead of whatever is sent next on the connection.
    let loaded = tokio::select! {
        loaded = load::load(&mut session, claim, progress.clone()) => loaded,
        () = shared.give_up.cancelled() => Err(Failure::Stopped),
        () = progress.stalled(stall_limit) => Err(Failure::Stalled(stall_limit)),
    };
    drop(listed);
    let outcome = match loaded {
        Ok(committed) => {
            log_committed(&committed, dataset, started);
            // The task is settled. If its lease cannot be released, the end of the session does that.
            if ledger::unlock(&session, Lock::Task(claim.lease_key)).await.is_ok() {
                session.give_back();
            }
            if committed.is_loaded() { "loaded" } else { "failed" }
        }
        Err(failure) => settle_failure(shared, session, claim, &failure).await,
    };
    telemetry::metrics().task_settled(dataset, outcome);
    telemetry::metrics().load_duration(dataset, started.elapsed());
}

async fn settle_failure(shared: &Shared, session: Session, claim: &Claim, failure: &Failure) -> &'static str {
    let verdict = failure.verdict();
    let outcome = match verdict {
        Verdict::Retry => "retry",
        Verdict::GiveBack => "stopped",
        Verdict::Fail | Verdict::CarveOut => "failed",
        Verdict::LeaveAlone => "fenced",
    };
    match verdict {
        Verdict::GiveBack => info!("giving the task back"),
        Verdict::Fail | Verdict::CarveOut => error!("the task FAILED: {}", failure.for_log()),
        Verdict::Retry | Verdict::LeaveAlone => warn!(outcome, "the load ended early: {}", failure.for_log()),
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
    let _ = edge::pass("worker::after_settle");
    outcome
}

const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

fn log_committed(committed: &load::Committed, dataset: &str, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    let (totals, failed_files) = (committed.totals, committed.failed_files);
    let (files, rows, rejected) = (totals.files, totals.rows_loaded, totals.rows_rejected);
    info!(%dataset, files, failed_files, rows, rejected, seconds, "committed");
}
