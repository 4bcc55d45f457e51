//! Whether a service can work with this server: what would otherwise show only as tasks that do not load.

use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::Pool;
use serde::Serialize;

use super::{Database, Refused, opening, pool_error, session};
use crate::ledger;

const CHECK_LIMIT: Duration = Duration::from_secs(20);
const SECOND_LIMIT: Duration = Duration::from_secs(5);

/// How many connections the server has, and how many it can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ConnectionCounts {
    /// Of all programs, this one's included.
    pub connections_in_use: i64,
    /// For roles without a reserved connection.
    pub connection_limit: i64,
}

impl Database {
    /// Whether services can work here, with queues of this prefix. A [`Refused`] says why not.
    ///
    /// Writes nothing: also what is read-only is told in words of ours.
    pub async fn check_fitness(&self, pool: &Pool, amqp_prefix: &str) -> anyhow::Result<ConnectionCounts> {
        let checking = self.check(pool, amqp_prefix);
        let checked = tokio::time::timeout(CHECK_LIMIT, checking).await;
        checked.context("Postgres does not answer")?
    }

    async fn check(&self, pool: &Pool, amqp_prefix: &str) -> anyhow::Result<ConnectionCounts> {
        let session = session(pool).await?;
        let sql = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on',
                   (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                   current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
                   - coalesce(current_setting('reserved_connections', TRUE)::bigint, 0)";
        let row = session.query_one(sql, &[]).await?;
        if row.try_get(0)? {
            return refuse(format!(
                "Postgres at {} is a replica, or still recovering: nothing can be written; DATABASE_URL must lead to the primary",
                self.address()
            ));
        }
        if row.try_get(1)? {
            return refuse(format!(
                "Postgres at {} lets this role or database only read (default_transaction_read_only is on)",
                self.address()
            ));
        }
        let other_pool = self.pool(1)?;
        let opening_another = tokio::time::timeout(SECOND_LIMIT, other_pool.get());
        let (is_kept, other) = opening::is_kept(&session, opening_another).await?;
        if !is_kept {
            return refuse(opening::TRANSACTION_POOLER.to_owned());
        }
        // A server that has no room for a second connection says nothing about a pooler.
        if let Ok(Err(error)) = other {
            let error = pool_error(error);
            if error.is::<Refused>() {
                return Err(error);
            }
        }
        match ledger::amqp_prefix(&session).await? {
            Some(recorded) if recorded != amqp_prefix => {
                return refuse(format!(
                    "the queues of this database have the prefix `{recorded}`, and LONGSHORE_AMQP_PREFIX says `{amqp_prefix}`: \
                     messages would go to a queue that nobody reads (to change the prefix, stop all services and set \
                     longshore.installation.amqp_prefix to NULL)"
                ));
            }
            Some(_) | None => {}
        }
        session.give_back();
        Ok(ConnectionCounts { connections_in_use: row.try_get(2)?, connection_limit: row.try_get(3)? })
    }
}

fn refuse<T>(why: String) -> anyhow::Result<T> {
    Err(Refused(why).into())
}
