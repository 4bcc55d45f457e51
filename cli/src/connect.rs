//! The settings of connections that commands share.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use deadpool_postgres::Pool;
use longshore_common::{
    database::{self, Database, DatabaseConfig, Refused},
    ledger,
    queue::{Queue, QueueConfig},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::output::WrongCall;

/// A command that talks to Postgres.
#[derive(Debug, Clone, Args)]
pub(crate) struct DatabaseArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseConfig,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// A command that talks to Postgres only where it has to.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("database_url", |arg| arg.required(false)))]
pub(crate) struct OptionalDatabaseArgs {
    #[command(flatten)]
    database: Option<DatabaseConfig>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// How long a command waits for its servers.
#[derive(Debug, Clone, Args)]
pub(crate) struct WaitArgs {
    /// How long a start waits for its servers, such as 60s
    #[arg(long, env = "LONGSHORE_CONNECT_TIMEOUT", default_value = "60s", value_parser = timeout, value_name = "DURATION", help_heading = "Servers")]
    pub(crate) connect_timeout: Duration,
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

/// How long it may take to record the queues' prefix.
const RECORD_LIMIT: Duration = Duration::from_secs(20);

/// How often a service that waits looks whether the database is fit.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

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
        let database = self.database.ok_or_else(|| {
            WrongCall(format!("an applied dataset needs DATABASE_URL or --database-url; {otherwise}"))
        })?;
        Ok(DatabaseArgs { database, wait: self.wait })
    }
}

impl DatabaseArgs {
    pub(crate) fn checked(&self, application_name: &str) -> anyhow::Result<Database> {
        Ok(Database::new(&self.database, application_name)?)
    }

    /// A pool whose server has answered.
    pub(crate) async fn pool(&self, application_name: &str, size: usize) -> anyhow::Result<Pool> {
        self.checked(application_name)?.connected_pool(size, self.wait.connect_timeout).await
    }
}

impl ServerArgs {
    /// Checks the settings of both servers before it waits for either.
    pub(crate) fn checked(&self, application_name: &str) -> anyhow::Result<(Database, Queue)> {
        Ok((self.database.checked(application_name)?, Queue::new(&self.queue)?))
    }

    /// A pool of a command that publishes or loads: the database must be fit for it.
    pub(crate) async fn working_pool(&self, database: &Database, size: usize) -> anyhow::Result<Pool> {
        let pool = database.connected_pool(size, self.database.wait.connect_timeout).await?;
        let prefix = &self.queue.amqp_prefix;
        database.check_fitness(&pool, prefix).await?;
        let session = database::session(&pool).await?;
        let recording = ledger::record_amqp_prefix(&session, prefix);
        let recorded = tokio::time::timeout(RECORD_LIMIT, recording).await;
        let recorded =
            recorded.context("Postgres does not answer, or somebody has locked longshore.installation")??;
        session.give_back();
        if recorded != *prefix {
            // Another service was quicker.
            database.check_fitness(&pool, prefix).await?;
        }
        Ok(pool)
    }

    /// The same for a service, which waits for as long as the database is not fit: until it is migrated, say.
    pub(crate) async fn service_pool(&self, database: &Database, size: usize) -> anyhow::Result<Pool> {
        let mut said = None;
        loop {
            let error = match self.working_pool(database, size).await {
                Ok(pool) => {
                    if said.is_some() {
                        info!("the database is fit to be worked with now");
                    }
                    return Ok(pool);
                }
                Err(error) => error.downcast::<Refused>()?.to_string(),
            };
            if said.as_ref() != Some(&error) {
                warn!("waiting until this is mended: {error}");
                said = Some(error);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Call {
        #[command(flatten)]
        servers: OptionalDatabaseArgs,
    }

    #[test]
    fn a_command_that_may_need_the_database_takes_its_settings_and_does_without() {
        let url = "--database-url=postgres://host/name";
        let cases: [(&[&str], bool, u64); 4] = [
            (&[], false, 60),
            (&["--connect-timeout=3s"], false, 3),
            (&[url], true, 60),
            (&[url, "--connect-timeout=3s"], true, 3),
        ];
        for (arguments, has_database, seconds) in cases {
            // The environment of the tests may name a database.
            let command = <Call as clap::CommandFactory>::command().mut_args(|arg| arg.env(None::<&str>));
            let matches = command.get_matches_from([&["validate"], arguments].concat());
            let call = <Call as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
            assert_eq!(call.servers.wait.connect_timeout, Duration::from_secs(seconds));
            match call.servers.required("otherwise") {
                Ok(_) => assert!(has_database, "{arguments:?}"),
                Err(error) => assert!(!has_database && error.to_string().contains("otherwise"), "{error}"),
            }
        }
    }
}
