//! What becomes of a task that could not be claimed, as far as this worker knows.

use std::time::Duration;

use anyhow::Context;
use longshore_common::{
    database,
    ledger::{self, Lock, LostClaim},
};
use uuid::Uuid;

use crate::task::Shared;

/// How long the lease of a claim whose answer never came may take to be free.
const MAX_LOOKS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// For all that Postgres is asked in a look.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Leaves the task to the relay, for a later time and with the cause. `false` if that is not certain, because Postgres does
/// not answer: then its message must come again.
///
/// The claim may have been committed though its answer never came. Then nobody works on the task, and left alone it would
/// count as a death.
pub(crate) async fn leave_to_relay(shared: &Shared, task_id: Uuid, cause: &anyhow::Error) -> bool {
    let cause = format!("the task could not be claimed: {cause:#}");
    for _ in 0..MAX_LOOKS {
        let looked = tokio::time::timeout(LOOK_LIMIT, try_to_leave(shared, task_id, &cause)).await;
        match looked.context("Postgres does not answer").flatten() {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => {
                tracing::debug!("cannot leave the task to the relay: {error:#}");
                return false;
            }
        }
        shared.pause(LOOK_EVERY).await;
    }
    // Another message of this worker loads the task; or Postgres has not noticed yet that the lost session is gone, and the
    // rescue sees to the task.
    true
}

/// `false` while somebody holds the lease of a claim of ours.
async fn try_to_leave(shared: &Shared, task_id: Uuid, cause: &str) -> anyhow::Result<bool> {
    let session = database::session(&shared.books_pool).await?;
    let retry_for = shared.config.retry_for;
    let is_left = match ledger::lost_claim(&session, task_id, &shared.worker_name).await? {
        None => {
            ledger::put_off(&session, task_id, cause).await?;
            true
        }
        Some(LostClaim { attempt, is_dead: true, .. }) => {
            ledger::take_death_back(&session, task_id, attempt, cause, retry_for).await?;
            true
        }
        Some(LostClaim { lease_key, attempt, .. }) => {
            let lease = Lock::Task(lease_key);
            // Free only when the old backend is gone: then it is certain that the claim stays as it is seen.
            let is_free = ledger::try_lock(&session, lease).await?;
            if is_free {
                ledger::retry_later(&session, task_id, attempt, cause, retry_for).await?;
                ledger::unlock(&session, lease).await?;
            }
            is_free
        }
    };
    session.give_back();
    Ok(is_left)
}

/// Whether the task still waits for a worker; also where Postgres does not say.
pub(crate) async fn still_waits(shared: &Shared, task_id: Uuid) -> bool {
    let asking = async {
        let session = database::session(&shared.books_pool).await?;
        let is_new = ledger::is_new(&session, task_id).await?;
        session.give_back();
        anyhow::Ok(is_new)
    };
    !matches!(tokio::time::timeout(LOOK_LIMIT, asking).await, Ok(Ok(false)))
}
