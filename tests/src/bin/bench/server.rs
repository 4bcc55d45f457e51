//! The database server: a database of our own, and what we ask of it.

use anyhow::Context;
use tokio_postgres::{Client, NoTls};
use url::Url;
use uuid::Uuid;

/// Settings that the output shows: they decide what a load costs.
const SHOWN_SETTINGS: [&str; 5] =
    ["fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "wal_level"];
/// Settings that must be on: rows that a power cut may take are no rows.
const SAFE_SETTINGS: [&str; 2] = ["fsync", "synchronous_commit"];

/// A database that nobody else uses.
pub(crate) struct ScratchDatabase {
    admin: Client,
    name: String,
    url: Url,
}

impl ScratchDatabase {
    /// Creates it on the server of `server_url`.
    pub(crate) async fn create(server_url: &str) -> anyhow::Result<Self> {
        let mut url = Url::parse(server_url).context("DATABASE_URL")?;
        let admin = connect(&url).await?;
        let random = Uuid::new_v4().simple().to_string();
        let name = format!("longshore_bench_{}", &random[..8]);
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.context("cannot create a database")?;
        url.set_path(&name);
        Ok(Self { admin, name, url })
    }

    /// Its name, which no other run has had.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Holds the password, if there is one.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Drops it, whoever is still connected.
    pub(crate) async fn drop_database(self) -> anyhow::Result<()> {
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        self.admin
            .batch_execute(&statement)
            .await
            .with_context(|| format!("the database {} stays", self.name))
    }
}

/// A connection to the scratch database.
pub(crate) struct Server {
    client: Client,
    version: String,
    settings: Vec<(&'static str, String)>,
}

impl Server {
    /// Connects, and reads the version and settings as the sessions that are measured have them.
    pub(crate) async fn connect(url: &Url) -> anyhow::Result<Self> {
        let client = connect(url).await?;
        let mut settings = Vec::new();
        for name in SHOWN_SETTINGS {
            let row = client.query_one("SELECT current_setting($1)", &[&name]).await?;
            settings.push((name, row.try_get(0)?));
        }
        let version = client.query_one("SELECT current_setting('server_version')", &[]).await?.try_get(0)?;
        Ok(Self { client, version, settings })
    }

    /// The server's version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Names and values of the settings that decide what a load costs.
    pub(crate) fn settings(&self) -> &[(&'static str, String)] {
        &self.settings
    }

    pub(crate) fn refuse_unsafe_settings(&self) -> anyhow::Result<()> {
        for (name, value) in &self.settings {
            if SAFE_SETTINGS.contains(name) && value != "on" {
                anyhow::bail!("the server's {name} is {value}; nothing is measured unless it is on");
            }
        }
        Ok(())
    }

    /// Runs statements that give no rows.
    pub(crate) async fn execute(&self, statements: &str) -> anyhow::Result<()> {
        self.client.batch_execute(statements).await.with_context(|| format!("failed: {statements}"))
    }

    /// The one value of a query of one row, as text.
    pub(crate) async fn value(&self, query: &str) -> anyhow::Result<String> {
        let row = self.client.query_one(&format!("SELECT ({query})::text"), &[]).await;
        Ok(row.with_context(|| format!("failed: {query}"))?.try_get(0)?)
    }

    /// One column of text.
    pub(crate) async fn texts(&self, query: &str) -> anyhow::Result<Vec<String>> {
        let rows = self.client.query(query, &[]).await.with_context(|| format!("failed: {query}"))?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Empties whatever loads fill, and writes what is left in memory: every run finds the server the same, and none
    /// pays for another.
    pub(crate) async fn start_even(&self) -> anyhow::Result<()> {
        let tables = "SELECT concat_ws(', ', 'longshore.reject', string_agg(format('%I.%I', schemaname, tablename), ', '))
             FROM pg_tables WHERE schemaname IN ('reporting', 'peer')";
        let tables = self.value(tables).await?;
        self.execute(&format!("TRUNCATE {tables}")).await?;
        self.execute("CHECKPOINT").await
    }
}

async fn connect(url: &Url) -> anyhow::Result<Client> {
    let connected = tokio_postgres::connect(url.as_str(), NoTls).await;
    let (client, connection) = connected.context("cannot connect to Postgres")?;
    // Its error shows again at the next query.
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}
