//! What a new session is given before it is used, and which sessions are refused.

use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage, error::SqlState};
use uuid::Uuid;

use super::{Refused, migration};
use crate::ledger;

/// How the sessions of a pool are opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    /// Settings beside [`SETTINGS`].
    pub(super) settings: &'static str,
    /// Whether a schema that this program does not work with refuses the session.
    pub(super) checks_schema: bool,
}

/// What Longshore relies on, whatever the defaults of server, database and role are. Sent after the connection is made: PgBouncer
/// refuses the start-up parameter `options`.
///
/// - Higher isolation would have healthy statements fail, and be repeated, for ever.
/// - Rows that row security hides would count as removed; with `off`, Postgres refuses the statement instead.
/// - Longshore has limits of its own for everything that it waits for. A role's time limits would end what is only slow.
///   lock_timeout: a load that waits for a lock ends after `LONGSHORE_STALL_LIMIT`.
/// - The server ends a session whose host has vanished, which frees the lease that it holds.
/// - A kept plan that was made while the tables were small would scan them whole when they are not.
/// - random_page_cost = 1.1: the default assumes spinning disks, and the planner would read whole tables for each page of
///   a listing.
const SETTINGS: &str = "SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off; \
    SET TimeZone = 'UTC'; SET row_security = off; \
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0; \
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 30000; \
    SET plan_cache_mode = force_custom_plan; SET random_page_cost = 1.1";

/// Settings that not every server has: transaction_timeout came with Postgres 17. A search path that names `pg_catalog` behind
/// another schema would let that schema's functions stand in for those that our statements mean; the rest of the path stays,
/// because triggers on target tables may need it.
const SETTINGS_BY_SERVER: &str = "SELECT set_config('transaction_timeout', '0', FALSE) \
    WHERE current_setting('server_version_num')::integer >= 170000; \
    SELECT set_config('search_path', 'pg_catalog, ' || current_setting('search_path'), FALSE) \
    WHERE current_setting('search_path') LIKE '%pg_catalog%'";

/// Not every platform of the server has it, and without it the stall limit does the same later.
const CONNECTION_CHECK: &str = "SET client_connection_check_interval = 2000";

/// A setting that no server knows: it tells a session that was opened before from a new one.
const MARK: &str = "current_setting('longshore.session', TRUE)";

/// What is said of a server that has taken a connection, and nothing more came.
pub(super) const SILENT: &str = "Postgres takes connections and answers nothing";

/// Prepares a new session, but not for ever: one that is silent gives [`SILENT`].
pub(super) async fn open_within(limit: Duration, client: &Client, opening: Opening) -> anyhow::Result<()> {
    let opened = tokio::time::timeout(limit, open(client, opening)).await;
    opened.unwrap_or_else(|_| Err(anyhow::anyhow!(SILENT)))
}

/// Prepares a new session, in one round trip. A [`Refused`] says why it is not to be used.
pub(super) async fn open(client: &Client, opening: Opening) -> anyhow::Result<()> {
    let mark = Uuid::new_v4().simple();
    let more = if opening.settings.is_empty() { "" } else { "; " };
    let settings = format!(
        "SELECT {MARK}; SET longshore.session = '{mark}'; {SETTINGS}{more}{}; {SETTINGS_BY_SERVER}",
        opening.settings
    );
    let (seen, _, version) =
        tokio::join!(client.simple_query(&settings), client.batch_execute(CONNECTION_CHECK), async {
            if opening.checks_schema { ledger::schema_version(client).await.map(Some) } else { Ok(None) }
        },);
    // A pooler in session mode resets what a client has set before it gives the session to another one.
    if first_value(&seen?).is_some_and(|mark| !mark.is_empty()) {
        return Err(Refused(TRANSACTION_POOLER.to_owned()).into());
    }
    match version {
        Ok(Some(found)) => migration::check_schema(client, found).await,
        Ok(None) => Ok(()),
        // A role that may not read the history: what it may not do says Postgres, statement by statement.
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether consecutive transactions of the session run on one and the same session of the server, while another one is opened.
pub(super) async fn is_kept<T>(client: &Client, other: impl Future<Output = T>) -> anyhow::Result<(bool, T)> {
    let sql = format!("SELECT pg_backend_pid() || ' ' || {MARK}");
    let before = client.simple_query(&sql).await?;
    let other = other.await;
    let after = client.simple_query(&sql).await?;
    Ok((first_value(&before) == first_value(&after), other))
}

/// Why a session is refused whose settings and locks would end up with others.
pub(super) const TRANSACTION_POOLER: &str = "a pooler in transaction mode stands between Longshore and Postgres, and would \
    give its locks to strangers; connect directly, or set the pooler to session mode (PgBouncer: pool_mode = session, with \
    server_reset_query = DISCARD ALL)";

/// The first column of the first row.
fn first_value(messages: &[SimpleQueryMessage]) -> Option<&str> {
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row.and_then(|row| row.get(0))
}
