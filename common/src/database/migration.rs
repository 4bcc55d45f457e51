//! Migrations, and whether the schema of a database and this program belong together.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use deadpool_postgres::{Object, Pool};
use tokio_postgres::{Client, error::SqlState};
use tracing::warn;

use super::Refused;
use crate::ledger::{self, MIGRATION_KEY, SINGLE_CLASS};

mod migrations {
    refinery::embed_migrations!("../migrations");
}

/// What the migration did.
#[derive(Debug)]
pub struct Migrated {
    /// Versions applied now, as `V1__name`.
    pub applied: Vec<String>,
    /// The schema is newer than this program, and works with it.
    pub is_newer: bool,
}

/// How long a migration waits for a table. Whatever else needs the table queues behind it for as long.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '2s'";

/// Between two tries to get the tables.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(3);

/// How long a migration is tried while others hold its tables, and how long it waits for another `migrate`.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long Postgres may take for what is asked before the first migration. A migration itself may have to rewrite a large table.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Creates or upgrades schema and views. Safe to repeat, and by several at once: an advisory lock makes them queue.
///
/// `pool` must take sessions as they are: [`super::Database::unchecked_pool`].
pub async fn migrate(pool: &Pool) -> anyhow::Result<Migrated> {
    let mut connection = Object::take(pool.get().await?);
    let client: &mut Client = &mut connection;
    answered(refuse_other_encodings(client)).await?;
    let sql = "SELECT pg_advisory_lock($1, $2)";
    let locking = client.execute(sql, &[&SINGLE_CLASS, &MIGRATION_KEY]);
    let locked = tokio::time::timeout(PATIENCE, locking).await;
    locked.context("another `longshore migrate` does not end")?.context("waiting for the migration lock")?;
    let Some(before) = answered(prepare(client)).await? else {
        return Ok(Migrated { applied: Vec::new(), is_newer: true });
    };
    let applied = run_patiently(client, before).await?;
    // The lock goes with the session, which is dropped here.
    Ok(Migrated { applied, is_newer: false })
}

/// Waits for Postgres, but not for ever: a server may hang, and a stranger may hold a lock on the history.
async fn answered<T>(answer: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let answered = tokio::time::timeout(ANSWER_LIMIT, answer).await;
    answered.context("Postgres does not answer, or somebody has locked the schema longshore")?
}

/// Makes the session and the database ready for migrations, and gives the version from which they go on, 0 without any; `None`
/// where the schema is newer and works with this program.
async fn prepare(client: &Client) -> anyhow::Result<Option<i32>> {
    let found = ledger::schema_version(client).await?;
    if found.is_some_and(|found| found > newest_known()) {
        check_schema(client, found).await?;
        return Ok(None);
    }
    make_schema(client).await?;
    client.batch_execute(LOCK_TIMEOUT).await?;
    Ok(Some(found.unwrap_or_default()))
}

/// A text that the database's encoding lacks would fail the reject that holds it, and its whole task.
async fn refuse_other_encodings(client: &Client) -> anyhow::Result<()> {
    let encoding: String = client.query_one("SHOW server_encoding", &[]).await?.try_get(0)?;
    ensure!(
        encoding == "UTF8",
        "the database has the encoding {encoding}, which lacks characters that files have; make one with \
         CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
    );
    Ok(())
}

/// The history lives with what it describes; the schema is made first, so that the table can be in it. Not where it is there
/// already: that would need the right to make schemas all the same.
async fn make_schema(client: &Client) -> anyhow::Result<()> {
    let sql = "SELECT to_regnamespace('longshore') IS NOT NULL";
    let is_there: bool = client.query_one(sql, &[]).await?.try_get(0)?;
    if !is_there {
        client.batch_execute("CREATE SCHEMA IF NOT EXISTS longshore").await.context(
            "cannot make the schema `longshore`; the role needs CREATE on the database for the first migration",
        )?;
    }
    Ok(client.batch_execute("SET search_path = longshore").await?)
}

/// In short tries, between which whoever waits for the tables goes on: a migration that waits for a long load would keep every
/// claim waiting behind it.
async fn run_patiently(client: &mut Client, before: i32) -> anyhow::Result<Vec<String>> {
    let mut runner = migrations::migrations::runner();
    runner.set_migration_table_name("schema_history");
    let (began, mut said) = (Instant::now(), false);
    // Each migration is a transaction of its own, so that a try goes on where the last one ended.
    while let Err(error) = runner.run_async(client).await {
        if !is_lock_timeout(&error) || began.elapsed() >= PATIENCE {
            return Err(error).context("a migration failed; the database is as it was before it");
        }
        if !said {
            warn!(
                "the migration waits for tables that others use: stop the services, or let their loads end"
            );
            said = true;
        }
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
    let mut migrations: Vec<_> = runner.get_migrations().iter().filter(|m| m.version() > before).collect();
    migrations.sort();
    Ok(migrations.iter().map(ToString::to_string).collect())
}

fn is_lock_timeout(error: &refinery::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            return error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
        }
        cause = error.source();
    }
    false
}

/// The newest migration that this program brings, and so the schema that it needs.
fn newest_known() -> i32 {
    let runner = migrations::migrations::runner();
    runner.get_migrations().iter().map(|migration| migration.version()).max().unwrap_or_default()
}

/// Refuses a database whose schema this program does not work with.
pub(super) async fn check_schema(client: &Client, found: Option<i32>) -> anyhow::Result<()> {
    let needed = newest_known();
    let refused = match found {
        None => "the database has no schema of Longshore; run `longshore migrate` first".to_owned(),
        Some(found) if found < needed => format!(
            "the schema is older than this program (version {found}, and {needed} is needed); run `longshore migrate` first"
        ),
        Some(found) if found == needed || ledger::works_with(client, found, needed).await? => return Ok(()),
        Some(found) => format!(
            "the schema is newer than this program (version {found}, and {needed} is known) and does not work with it; start \
             the program that migrated it, or a newer one"
        ),
    };
    Err(Refused(refused).into())
}
