//! Connections to Postgres: URL and TLS, pools, what a session is given, migrations.

use std::{
    ops::{Deref, DerefMut},
    str::FromStr,
    time::Duration,
};

use anyhow::anyhow;
use clap::Args;
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, QueueMode,
    RecyclingMethod, Runtime, Timeouts,
};
use futures_util::TryFutureExt;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{NoTls, config::SslMode, error::SqlState};

use crate::{backoff, edge, error::chain, tls};

mod error_kinds;
mod fitness;
mod listener;
mod migration;
mod opening;
#[cfg(test)]
mod tests;

pub use error_kinds::{is_of_another_schema, is_transient};
pub use fitness::ConnectionCounts;
pub use listener::Listener;
pub use migration::{Migrated, migrate};
use opening::{Opening, SILENT};

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

/// Postgres answers, but is not to be used by this program: waiting helps only if somebody mends it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub(crate) String);

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
            .map_err(|error| refuse(format!("not understood: {}", chain(&error))))?;
        config
            .ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable })
            .application_name(application_name)
            .connect_timeout(Duration::from_secs(10))
            // A host that vanishes is noticed in half a minute. Without a limit on unanswered data: that would end a COPY which
            // Postgres does not read for a while, because it waits for a lock; loads have the stall limit.
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        Ok(Self { config, tls })
    }

    /// A pool of at most `size` connections, each made when it is first needed and closed when it was not used for a minute.
    pub fn pool(&self, size: usize) -> anyhow::Result<Pool> {
        self.pool_of(size, OPEN_LIMIT, Opening { settings: "", checks_schema: true })
    }

    /// One connection for signs of life. They need not survive a crash, and must not wait for a disk or a standby.
    pub fn heartbeat_pool(&self) -> anyhow::Result<Pool> {
        self.pool_of(1, OPEN_LIMIT, Opening { settings: "SET synchronous_commit = off", checks_schema: true })
    }

    /// One connection, whatever schema the database has.
    pub fn unchecked_pool(&self) -> anyhow::Result<Pool> {
        self.pool_of(1, OPEN_LIMIT, Opening { settings: "", checks_schema: false })
    }

    fn pool_of(&self, size: usize, limit: Duration, opening: Opening) -> anyhow::Result<Pool> {
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
        let pool = Pool::builder(manager)
            .max_size(size)
            // Those that are not needed stay unused, and are closed.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: Some(limit), create: Some(limit), recycle: Some(limit) })
            .post_create(Hook::async_fn(move |client, _| {
                // The pool's own limits do not hold for its hooks.
                Box::pin(opening::open_within(limit, client, opening).map_err(hook_error))
            }))
            .build()?;
        close_unused(&pool);
        Ok(pool)
    }

    /// A pool whose server has answered once and is fit for this program; waits for the server up to `timeout`.
    pub async fn connected_pool(&self, size: usize, timeout: Duration) -> anyhow::Result<Pool> {
        self.connected(self.pool(size)?, timeout).await
    }

    /// Waits up to `timeout` until the pool's server has answered.
    pub async fn connected(&self, pool: Pool, timeout: Duration) -> anyhow::Result<Pool> {
        let what = format!("Postgres at {}", self.address());
        let waiting = backoff::wait_for(&what, timeout, is_final, async || match pool.get().await {
            Ok(_) => Ok(()),
            Err(error) => Err(pool_error(error)),
        });
        match waiting.await {
            Ok(()) => Ok(pool),
            // The server has answered: it says all itself.
            Err(error) => Err(error.downcast::<Refused>().map_or_else(|error| error, Into::into)),
        }
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
        refused_by_server || bad_certificate || cause.is::<Refused>()
    })
}

/// How long a connection may be unused: idle workers must leave room for a scanner that starts.
const UNUSED_LIMIT: Duration = Duration::from_secs(50);
const LOOK_FOR_UNUSED_EVERY: Duration = Duration::from_secs(10);

/// How old a connection may become: one that is always used would never hear of a schema that does not fit any more.
const AGE_LIMIT: Duration = Duration::from_secs(300);

fn close_unused(pool: &Pool) {
    let pool = pool.weak();
    let hurry = if edge::is_hurried("hurry::unused_connections") { 25 } else { 1 };
    let (limit, every) = (UNUSED_LIMIT / hurry, LOOK_FOR_UNUSED_EVERY / hurry);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            let Some(pool) = pool.upgrade() else { break };
            // Those that are in use are not looked at.
            pool.retain(|_, metrics| metrics.last_used() < limit && metrics.age() < AGE_LIMIT);
        }
    });
}

/// How long a pool may take for a connection: to have a place for it, to make it, and to prepare its session, each.
const OPEN_LIMIT: Duration = Duration::from_secs(15);

/// A hook takes text or an error of the driver; only what is refused, or [`SILENT`], is text.
fn hook_error(error: anyhow::Error) -> HookError {
    match error.downcast::<tokio_postgres::Error>() {
        Ok(error) => HookError::Backend(error),
        Err(error) => HookError::Message(chain(error.as_ref()).into()),
    }
}

/// The pool's error in our words, with what Postgres said as its cause.
fn pool_error(error: PoolError) -> anyhow::Error {
    match error {
        PoolError::PostCreateHook(HookError::Message(text)) if text == SILENT => anyhow!(SILENT),
        PoolError::PostCreateHook(HookError::Message(text)) => Refused(text.into_owned()).into(),
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => error.into(),
        PoolError::Timeout(_) => anyhow!("no connection to Postgres within 15 s"),
        error => error.into(),
    }
}

/// A pooled connection that is closed when it is dropped, unless it is given back.
///
/// Whatever ends early (an error, a cancelled future, a panic) leaves a session in an unknown state: inside a
/// transaction, or with an advisory lock that only the end of the session frees.
pub struct Session(Option<Object>);

/// Takes a connection out of the pool.
pub async fn session(pool: &Pool) -> anyhow::Result<Session> {
    Ok(Session(Some(pool.get().await.map_err(pool_error)?)))
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
