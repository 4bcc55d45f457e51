//! Advisory locks. They belong to a session: whoever can take one knows that its holder is gone.

use tokio_postgres::Client;

/// What can be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// A task, by its `lease_key`: held by its worker from before the claim until after the settlement.
    Task(i64),
    /// A dataset's scan and batching.
    Scan(i32),
    /// The relay: one at a time publishes.
    Relay,
}

// First half of our two-part keys; the one-part keys are the tasks' leases.
const SCAN_CLASS: i32 = 71_624;
/// Of the locks of which there is one.
pub(crate) const SINGLE_CLASS: i32 = 71_623;
/// Migrations queue.
pub(crate) const MIGRATION_KEY: i32 = 0;
/// So do applied specs.
pub(crate) const APPLY_KEY: i32 = 1;
const RELAY_KEY: i32 = 2;

/// Takes the lock for this session if it is free.
pub async fn try_lock(client: &Client, lock: Lock) -> Result<bool, tokio_postgres::Error> {
    let row = match lock {
        Lock::Task(key) => client.query_one("SELECT pg_try_advisory_lock($1)", &[&key]).await?,
        Lock::Scan(dataset_id) => {
            two_part(client, "SELECT pg_try_advisory_lock($1, $2)", SCAN_CLASS, dataset_id).await?
        }
        Lock::Relay => {
            two_part(client, "SELECT pg_try_advisory_lock($1, $2)", SINGLE_CLASS, RELAY_KEY).await?
        }
    };
    row.try_get(0)
}

/// Gives the lock back. If this fails, close the connection: that frees it as well.
pub async fn unlock(client: &Client, lock: Lock) -> Result<(), tokio_postgres::Error> {
    match lock {
        Lock::Task(key) => client.query_one("SELECT pg_advisory_unlock($1)", &[&key]).await?,
        Lock::Scan(dataset_id) => {
            two_part(client, "SELECT pg_advisory_unlock($1, $2)", SCAN_CLASS, dataset_id).await?
        }
        Lock::Relay => two_part(client, "SELECT pg_advisory_unlock($1, $2)", SINGLE_CLASS, RELAY_KEY).await?,
    };
    Ok(())
}

async fn two_part(
    client: &Client,
    sql: &str,
    class: i32,
    key: i32,
) -> Result<tokio_postgres::Row, tokio_postgres::Error> {
    client.query_one(sql, &[&class, &key]).await
}

/// Ends the backend `pid` if it holds the task's lease, and waits up to five seconds until it is gone.
///
/// Nothing else frees a lease whose session hangs inside COPY: time-outs and cancel do nothing there.
pub async fn end_lease_holder(
    client: &Client,
    lease_key: i64,
    pid: i32,
) -> Result<(), tokio_postgres::Error> {
    client
        .query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks
             WHERE locktype = 'advisory' AND granted AND pid = $2 AND objsubid = 1
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND ((classid::bigint << 32) | objid::bigint) = $1",
            &[&lease_key, &pid],
        )
        .await?;
    Ok(())
}
