//! Connections to Postgres: settings, TLS, pools, migrations.

use std::{
    ops::{Deref, DerefMut},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, anyhow};
use clap::Args;
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod,
    Runtime, Timeouts,
};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{NoTls, config::SslMode, error::SqlState};

use crate::{
    backoff,
    ledger::{MIGRATION_KEY, SINGLE_CLASS},
    tls,
};

mod listener;

pub use listener::Listener;

mod migrations {
    refinery::embed_migrations!("../migrations");
}

/// Where the database is and how long a start waits for it.
#[derive(Debug, Clone, Args)]
pub struct DatabaseConfig {
    /// Postgres, for example postgres://user:password@host/name?sslmode=require
    ///
    /// sslmode is disable (the default), require or verify-full; the last two verify the certificate and the
    /// host name, against the machine's certificates or the PEM file given as sslrootcert.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret, value_name = "URL", help_heading = "Servers")]
    pub database_url: SecretString,
}

/// A value parser for settings that are never shown.
pub(crate) fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// A checked configuration from which pools are made.
#[derive(Clone)]
pub struct Database {
    config: tokio_postgres::Config,
    tls: Option<rustls::ClientConfig>,
}

/// A setting that is not allowed: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {message}")]
pub struct SettingError {
    /// The setting's name in the environment.
    pub setting: &'static str,
    /// What is wrong and what is allowed; never the value, which may hold a password.
    pub message: String,
}

impl Database {
    /// Checks the URL; connects to nothing.
    pub fn new(config: &DatabaseConfig, application_name: &str) -> Result<Self, SettingError> {
        let refuse = |message: String| SettingError { setting: "DATABASE_URL", message };
        let text = config.database_url.expose_secret();
        let mut url = url::Url::parse(text).map_err(|error| {
            refuse(format!("not a URL ({error}); write postgres://user:password@host/name"))
        })?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(refuse("the scheme must be postgres://".to_owned()));
        }
        let tls = take_tls(&mut url).map_err(|error| refuse(format!("{error:#}")))?;
        let mut config = tokio_postgres::Config::from_str(url.as_str())
            .map_err(|error| refuse(format!("not understood: {}", crate::error::chain(&error))))?;
        let options = format!("{} -c TimeZone=UTC", config.get_options().unwrap_or_default());
        config
            .ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable })
            .application_name(application_name)
            .options(options.trim())
            .connect_timeout(Duration::from_secs(10))
            // A host that vanishes is noticed in half a minute. Without a limit on unanswered data: that would end a COPY which
            // Postgres does not read for a while, because it waits for a lock; loads have the stall limit.
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        Ok(Self { config, tls })
    }

    /// A pool of at most `size` connections, each made when it is first needed.
    pub fn pool(&self, size: usize) -> anyhow::Result<Pool> {
        // Fast checks only whether the connection is closed. It need not do more, though no recycling method rolls a
        // transaction back: a `Session` on which anything failed does not come back to the pool.
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Some(tls) => {
                let connector = tokio_postgres_rustls::MakeRustlsConnect::new(tls.clone());
                Manager::from_config(self.config.clone(), connector, manager_config)
            }
            None => Manager::from_config(self.config.clone(), NoTls, manager_config),
        };
        let timeout = Some(Duration::from_secs(15));
        let pool = Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: timeout, create: timeout, recycle: timeout })
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move {
                    // The server ends a session whose host has vanished, and one whose client is gone while it waits for
                    // a lock: that frees the lease which it holds. A plan that was kept from when the tables were small would
                    // read them whole after a flood of files, until they are analyzed. The same would the default price of a random
                    // read, that of a disk's arm, for each page of a listing that is looked up in a hundred thousand files.
                    // Rows that a policy hides from this role must be an error, not rows that are not there.
                    let settings = "SET row_security = off; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
                                    SET tcp_keepalives_count = 3; SET tcp_user_timeout = 30000; \
                                    SET plan_cache_mode = force_custom_plan; SET random_page_cost = 1.1";
                    client.batch_execute(settings).await.map_err(HookError::Backend)?;
                    // Not every platform of the server has it, and without it the stall limit does the same later.
                    let _ = client.batch_execute("SET client_connection_check_interval = 2000").await;
                    Ok(())
                })
            }))
            .build()?;
        Ok(pool)
    }

    /// A pool whose server has answered once; waits for it up to `timeout`.
    pub async fn connected_pool(&self, size: usize, timeout: Duration) -> anyhow::Result<Pool> {
        let pool = self.pool(size)?;
        let what = format!("Postgres at {}", self.address());
        backoff::wait_for(&what, timeout, is_final, || async {
            match pool.get().await {
                Ok(_) => Ok(()),
                Err(PoolError::Backend(error)) => Err(error.into()),
                Err(error) => Err(error.into()),
            }
        })
        .await?;
        Ok(pool)
    }

    /// Host and port, without user or password.
    pub fn address(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            Some(tokio_postgres::config::Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        format!("{host}:{}", self.config.get_ports().first().unwrap_or(&5432))
    }
}

/// Takes what tokio-postgres does not know out of the URL: how TLS is verified.
fn take_tls(url: &mut url::Url) -> anyhow::Result<Option<rustls::ClientConfig>> {
    let (mut mode, mut root_certificate_file) = ("disable".to_owned(), None);
    for (key, value) in url.query_pairs().into_owned() {
        match key.as_str() {
            "sslmode" => mode = value,
            "sslrootcert" => root_certificate_file = Some(value),
            _ => {}
        }
    }
    // The rest stays as it was written: encoded anew, a space would become a `+`, which Postgres takes for one.
    let is_ours =
        |pair: &&str| !["sslmode", "sslrootcert"].contains(&pair.split('=').next().unwrap_or_default());
    let rest: Vec<&str> = url.query().unwrap_or_default().split('&').filter(is_ours).collect();
    let rest = rest.join("&");
    url.set_query((!rest.is_empty()).then_some(rest.as_str()));
    match mode.as_str() {
        "disable" => Ok(None),
        "require" | "verify-full" => Ok(Some(tls::verifying_client(root_certificate_file.as_deref())?)),
        other => Err(anyhow!(
            "sslmode `{other}` is not allowed: disable, require or verify-full (prefer and allow fall back in silence)"
        )),
    }
}

/// Whether waiting would not mend this: the server answered and said no, or is not who it should be.
fn is_final(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let refused_by_server = cause
            .downcast_ref::<tokio_postgres::Error>()
            .and_then(tokio_postgres::Error::code)
            .is_some_and(|code| code.code().starts_with("28") || *code == SqlState::INVALID_CATALOG_NAME);
        let bad_certificate = cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .is_some_and(|inner| inner.is::<rustls::Error>());
        refused_by_server || bad_certificate
    })
}

/// What the migration did.
#[derive(Debug)]
pub struct Migrated {
    /// Versions applied now, as `V1__name`.
    pub applied: Vec<String>,
}

/// Creates or upgrades schema and views. Safe to repeat, and by several at once: an advisory lock makes them queue.
pub async fn migrate(pool: &Pool) -> anyhow::Result<Migrated> {
    let mut connection = Object::take(pool.get().await?);
    let client: &mut tokio_postgres::Client = &mut connection;
    client
        .execute("SELECT pg_advisory_lock($1, $2)", &[&SINGLE_CLASS, &MIGRATION_KEY])
        .await
        .context("waiting for the migration lock")?;
    // The history lives with what it describes; the schema is made first, so that the table can be in it.
    client.batch_execute("CREATE SCHEMA IF NOT EXISTS longshore; SET search_path = longshore").await?;
    let mut runner = migrations::migrations::runner();
    runner.set_migration_table_name("schema_history");
    let report =
        runner.run_async(client).await.context("a migration failed; the database is as it was before it")?;
    // The lock goes with the session, which is dropped here.
    Ok(Migrated { applied: report.applied_migrations().iter().map(ToString::to_string).collect() })
}

/// A pooled connection that is closed when it is dropped, unless it is given back.
///
/// Whatever ends early (an error, a cancelled future, a panic) leaves a session in an unknown state: inside a
/// transaction, or with an advisory lock that only the end of the session frees.
pub struct Session(Option<Object>);

/// Takes a connection out of the pool.
pub async fn session(pool: &Pool) -> Result<Session, PoolError> {
    Ok(Session(Some(pool.get().await?)))
}

impl Session {
    /// Gives the connection back to its pool: it is outside any transaction and holds no lock.
    pub fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

impl Deref for Session {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        match &self.0 {
            Some(connection) => connection,
            None => unreachable!("only give_back and drop take it, and both end the session"),
        }
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        match &mut self.0 {
            Some(connection) => connection,
            None => unreachable!("only give_back and drop take it, and both end the session"),
        }
    }
}

/// Whether an error of this SQLSTATE may be gone the next time: lost connections, serialization failures, deadlocks, a lack of
/// resources, an operator's intervention, and locks that were not to be had.
pub fn is_transient(state: &SqlState) -> bool {
    matches!(&state.code()[..2], "08" | "40" | "53" | "57") || *state == SqlState::LOCK_NOT_AVAILABLE
}
