//! Tasks whose worker is gone become NEW again.

use longshore_common::ledger::{self, Lock, Rescue};
use tokio_postgres::Client;
use tracing::{error, warn};

/// Tries the lease of every PROCESSING task; where it is free, the worker is gone. Gives the number of tasks rescued.
///
/// After an error the connection must be closed: it may hold a lease.
pub async fn rescue_stranded(client: &Client, max_deaths: i32) -> Result<u64, tokio_postgres::Error> {
    let mut rescued = 0;
    for task in ledger::processing_tasks(client).await? {
        let lease = Lock::Task(task.lease_key);
        if !ledger::try_lock(client, lease).await? {
            continue; // Its worker lives.
        }
        // The task may have been settled, and its lease released, since it was listed: the attempt is the fence.
        let outcome = ledger::rescue(client, task.id, task.attempt, max_deaths).await?;
        ledger::unlock(client, lease).await?;
        match outcome {
            Rescue::New => warn!(task = %task.id, attempt = task.attempt, "its worker is gone; the task is NEW again"),
            Rescue::Poison => error!(task = %task.id, attempt = task.attempt, "too many workers died; the task FAILED"),
            Rescue::NotNeeded => continue,
        }
        rescued += 1;
    }
    Ok(rescued)
}
