//! Advisory locks. They belong to a session: whoever can take one knows that its holder is gone. A holder that is stopped
//! but not dead keeps it until its session is ended.

use std::time::Duration;

use tokio_postgres::{Client, types::Type};

/// What can be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// A task, by its `lease_key`: held by its worker from before the claim until after the settlement.
    Task(i64),
    /// A dataset's scan and batching.
    Scan(i32),
    /// What becomes of a dataset's loaded files.
    AfterLoad(i32),
    /// The relay: one at a time publishes.
    Relay,
    /// One at a time rescues tasks: two would take each other's looks at a lease for its holder.
    Rescue,
}

// First half of our two-part keys; the one-part keys are the tasks' leases.
pub(super) const SCAN_CLASS: i32 = 71_624;
pub(super) const AFTER_LOAD_CLASS: i32 = 71_625;
/// Shared by a step that moves or deletes a dataset's loaded files, exclusive for an apply that may change what it does.
pub(super) const AFTER_LOAD_SPEC_CLASS: i32 = 71_626;
/// Of the locks of which there is one.
pub(crate) const SINGLE_CLASS: i32 = 71_623;
/// Migrations queue.
pub(crate) const MIGRATION_KEY: i32 = 0;
/// So do applied specs.
pub(crate) const APPLY_KEY: i32 = 1;
const RELAY_KEY: i32 = 2;
const RESCUE_KEY: i32 = 3;

impl Lock {
    /// As `pg_locks` shows it: classid, objid, objsubid.
    fn parts(self) -> (i64, i64, i16) {
        match self {
            Self::Task(key) => ((key >> 32) & 0xffff_ffff, key & 0xffff_ffff, 1),
            Self::Scan(dataset_id) => (i64::from(SCAN_CLASS), i64::from(dataset_id), 2),
            Self::AfterLoad(dataset_id) => (i64::from(AFTER_LOAD_CLASS), i64::from(dataset_id), 2),
            Self::Relay => (i64::from(SINGLE_CLASS), i64::from(RELAY_KEY), 2),
            Self::Rescue => (i64::from(SINGLE_CLASS), i64::from(RESCUE_KEY), 2),
        }
    }
}

/// Takes the lock for this session if it is free.
pub async fn try_lock(client: &Client, lock: Lock) -> Result<bool, tokio_postgres::Error> {
    call(client, "pg_try_advisory_lock", lock).await
}

/// Gives the lock back. If this fails, close the connection: that frees it as well.
pub async fn unlock(client: &Client, lock: Lock) -> Result<(), tokio_postgres::Error> {
    call(client, "pg_advisory_unlock", lock).await?;
    Ok(())
}

async fn call(client: &Client, function: &str, lock: Lock) -> Result<bool, tokio_postgres::Error> {
    let row = match lock {
        Lock::Task(key) => {
            client.query_typed_one(&format!("SELECT {function}($1)"), &[(&key, Type::INT8)]).await?
        }
        Lock::Scan(_) | Lock::AfterLoad(_) | Lock::Relay | Lock::Rescue => {
            let (class, key, _) = lock.parts();
            let sql = format!("SELECT {function}($1::integer, $2::integer)");
            client.query_typed_one(&sql, &[(&class, Type::INT8), (&key, Type::INT8)]).await?
        }
    };
    row.try_get(0)
}

/// Takes the lock if it is free, or if its holder has sent nothing for `stall_limit`: such a session is ended first.
///
/// For the locks of scanners, whose sessions speak every few seconds while they hold one. A process that is stopped, or
/// whose host has vanished, would keep it for ever; one that lives after all only has to connect again.
pub async fn try_lock_from_silent(
    client: &Client,
    lock: Lock,
    stall_limit: Duration,
) -> Result<bool, tokio_postgres::Error> {
    if try_lock(client, lock).await? {
        return Ok(true);
    }
    let (class, key, parts) = lock.parts();
    // A session that works on a statement is not silent, unless what it works on is waiting for its client.
    let ended = client
        .query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks JOIN pg_stat_activity USING (pid)
             WHERE locktype = 'advisory' AND granted AND classid::bigint = $1 AND objid::bigint = $2 AND objsubid = $3
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (state <> 'active' OR wait_event_type = 'Client')
               AND state_change < clock_timestamp() - make_interval(secs => $4)",
            &[&class, &key, &parts, &stall_limit.as_secs_f64()],
        )
        .await?;
    if ended.is_empty() {
        return Ok(false);
    }
    tracing::warn!(?lock, ?stall_limit, "ended a session that held a lock and was silent beyond the limit");
    try_lock(client, lock).await
}

/// Ends the backend `pid` if it holds the task's lease, and waits up to five seconds until it is gone.
///
/// Nothing else frees a lease whose session hangs inside COPY: time-outs and cancel do nothing there.
pub async fn end_lease_holder(
    client: &Client,
    lease_key: i64,
    pid: i32,
) -> Result<(), tokio_postgres::Error> {
    let (class, key, parts) = Lock::Task(lease_key).parts();
    client
        .query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks
             WHERE locktype = 'advisory' AND granted AND pid = $4
               AND classid::bigint = $1 AND objid::bigint = $2 AND objsubid = $3
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            &[&class, &key, &parts, &pid],
        )
        .await?;
    Ok(())
}
