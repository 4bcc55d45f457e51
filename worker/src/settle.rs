//! What becomes of a task whose load failed.

use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::Pool;
use longshore_common::{
    backoff::Backoff,
    database,
    ledger::{self, Claim, Lock},
};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::failure::{Failure, Verdict};

/// Settles on the load's own connection, which still holds the lease. An error means that the connection is gone.
pub(crate) async fn settle(
    client: &Client,
    claim: &Claim,
    failure: &Failure,
    retry_for: Duration,
) -> Result<(), tokio_postgres::Error> {
    let (task_id, attempt) = (claim.task_id, claim.attempt);
    let reason = failure.for_operators();
    let is_ours = match failure.verdict() {
        Verdict::Retry => ledger::retry_later(client, task_id, attempt, &reason, retry_for).await?,
        Verdict::SetAside if failure.is_missing() && claim.files.len() == 1 => {
            ledger::miss(client, task_id, attempt, &reason, retry_for).await?
        }
        Verdict::SetAside => ledger::retry_later(client, task_id, attempt, &reason, retry_for).await?,
        Verdict::RetryRarely => ledger::retry_full_disk(client, task_id, attempt, &reason).await?,
        Verdict::Halve if claim.files.len() > 1 => {
            let others: Vec<i64> =
                claim.files[claim.files.len().div_ceil(2)..].iter().map(|file| file.id).collect();
            ledger::halve(client, task_id, attempt, &reason, &others).await?
        }
        Verdict::Wait => ledger::wait_for_table(client, task_id, attempt, &reason).await?,
        Verdict::GiveBack => ledger::give_back(client, task_id, attempt).await?,
        // A file's failure that reaches the task is one that no savepoint could contain.
        Verdict::Fail | Verdict::CarveOut | Verdict::Halve => {
            ledger::fail(client, task_id, attempt, &reason).await?
        }
        Verdict::LeaveAlone => true,
    };
    if !is_ours {
        info!("the attempt was settled already");
    }
    Ok(())
}

/// How long one try may take: a server that hangs answers a new connection later, or never.
const TRY_LIMIT: Duration = Duration::from_secs(30);

/// Settles from another connection after the load's own one is lost.
///
/// The fenced update runs under the lease, and the lease is free only when the old backend is gone: only then it is
/// certain whether its COMMIT happened. Tries until it succeeds or `give_up` is cancelled; then the scanner's rescue
/// will settle the task.
pub(crate) async fn settle_elsewhere(
    pool: &Pool,
    claim: &Claim,
    failure: &Failure,
    retry_for: Duration,
    give_up: &CancellationToken,
) {
    // Quick, so that it comes before the scanner takes this worker for dead: see its rescue.
    let mut backoff = Backoff::up_to(Duration::from_millis(500));
    let mut said = false;
    loop {
        let tried = tokio::time::timeout(TRY_LIMIT, try_elsewhere(pool, claim, failure, retry_for)).await;
        match tried.context("Postgres does not answer").flatten() {
            Ok(true) => {
                if said {
                    info!("the task is settled now");
                }
                return;
            }
            Ok(false) => {}
            Err(error) if !said => {
                warn!("cannot settle the task yet, trying until it works: {error:#}");
                said = true;
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_wait()) => {}
            () = give_up.cancelled() => {
                warn!("leaving the task to the scanner's rescue");
                return;
            }
        }
    }
}

/// `false` while the lease is not free.
async fn try_elsewhere(
    pool: &Pool,
    claim: &Claim,
    failure: &Failure,
    retry_for: Duration,
) -> anyhow::Result<bool> {
    let session = database::session(pool).await?;
    // Settled already, or taken over: then the lease, and the backend that holds it, are somebody else's.
    if !ledger::is_running(&session, claim.task_id, claim.attempt).await? {
        let reason = format!(
            "its worker was silent or cut off from Postgres, and the task was given to others; the load ended with: {}",
            failure.for_operators()
        );
        if ledger::take_death_back(&session, claim.task_id, claim.attempt, &reason, retry_for).await? {
            info!(
                "the task was given to others meanwhile; this worker lives, and that is not held against the task"
            );
        }
        session.give_back();
        return Ok(true);
    }
    // A backend that waits for a lock or for a vanished client holds the lease until it is ended.
    ledger::end_lease_holder(&session, claim.lease_key, claim.backend_pid).await?;
    let lease = Lock::Task(claim.lease_key);
    let is_free = ledger::try_lock(&session, lease).await?;
    if is_free {
        settle(&session, claim, failure, retry_for).await?;
        ledger::unlock(&session, lease).await?;
    }
    session.give_back();
    Ok(is_free)
}
