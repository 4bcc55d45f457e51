//! The settings of connections that commands share.

use std::time::Duration;

use clap::Args;
use deadpool_postgres::Pool;
use longshore_common::{
    database::{Database, DatabaseConfig, secret},
    queue::{Queue, QueueConfig},
};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::output::WrongCall;

/// A command that talks to Postgres.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseConfig,

    /// How long a start waits for its servers, such as 60s
    #[arg(long, env = "LONGSHORE_CONNECT_TIMEOUT", default_value = "60s", value_parser = timeout, value_name = "DURATION", help_heading = "Servers")]
    pub(crate) connect_timeout: Duration,
}

/// A command that talks to Postgres only where it has to.
#[derive(Debug, Clone, Args)]
pub(crate) struct OptionalDatabaseArgs {
    /// Postgres, for example postgres://user:password@host/name?sslmode=require
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret, value_name = "URL", help_heading = "Servers")]
    database_url: Option<SecretString>,

    /// How long a start waits for its servers, such as 60s
    #[arg(long, env = "LONGSHORE_CONNECT_TIMEOUT", default_value = "60s", value_parser = timeout, value_name = "DURATION", help_heading = "Servers")]
    connect_timeout: Duration,
}

/// A command that talks to Postgres and RabbitMQ.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    #[command(flatten)]
    pub(crate) queue: QueueConfig,
}

fn timeout(text: &str) -> Result<Duration, String> {
    let allowed = "allowed is 0s to 1h";
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; {allowed}"))?;
    if duration <= Duration::from_secs(3600) { Ok(duration) } else { Err(allowed.to_owned()) }
}

/// Waits for a start's connections, unless a signal ends the wait first.
pub(crate) async fn unless_stopped<T>(
    stop: &CancellationToken,
    connecting: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<Option<T>> {
    tokio::select! {
        connected = connecting => connected.map(Some),
        () = stop.cancelled() => Ok(None),
    }
}

impl OptionalDatabaseArgs {
    /// The database is needed after all; `otherwise` says when it is not.
    pub(crate) fn required(self, otherwise: &str) -> Result<DatabaseArgs, WrongCall> {
        let database_url = self.database_url.ok_or_else(|| {
            WrongCall(format!("an applied dataset needs DATABASE_URL or --database-url; {otherwise}"))
        })?;
        Ok(DatabaseArgs { database: DatabaseConfig { database_url }, connect_timeout: self.connect_timeout })
    }
}

impl DatabaseArgs {
    pub(crate) fn checked(&self, application_name: &str) -> anyhow::Result<Database> {
        Ok(Database::new(&self.database, application_name)?)
    }

    /// A pool whose server has answered.
    pub(crate) async fn pool(&self, application_name: &str, size: usize) -> anyhow::Result<Pool> {
        self.checked(application_name)?.connected_pool(size, self.connect_timeout).await
    }
}

impl ServerArgs {
    /// Checks the settings of both servers before it waits for either.
    pub(crate) fn checked(&self, application_name: &str) -> anyhow::Result<(Database, Queue)> {
        Ok((self.database.checked(application_name)?, Queue::new(&self.queue)?))
    }
}
