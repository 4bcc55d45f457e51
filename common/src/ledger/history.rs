//! Everything that is recorded about one task or one file: the facts of `longshore why`.

mod file;
mod task;
mod unknown;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::{Client, IsolationLevel, Transaction};
use uuid::Uuid;

pub use file::{FileVersion, WaitingBatch};
pub use task::{AttemptRecord, NewerVersion, TableWait, TaskHistory};
pub use unknown::{LastLook, last_looks, moved_from};

/// Everything that is recorded, as of one moment.
#[derive(Debug, Serialize)]
pub struct History {
    /// The database's time at which it was read.
    pub now: DateTime<Utc>,
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
}

/// What a history is about.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// One task.
    Task(Box<TaskHistory>),
    /// One file: all its versions, of every dataset that has it, the newest first; at least one.
    Versions(Vec<FileVersion>),
}

/// The history of a task; `None` if it is not known.
pub async fn task_history(client: &mut Client, id: Uuid) -> Result<Option<History>, tokio_postgres::Error> {
    let snapshot = snapshot(client).await?;
    let Some(task) = task::read(&snapshot, id).await? else { return Ok(None) };
    Ok(Some(History { now: now(&snapshot).await?, subject: Subject::Task(Box::new(task)) }))
}

/// The history of a file by its full URI; `None` if no scan has found it.
pub async fn file_history(client: &mut Client, uri: &str) -> Result<Option<History>, tokio_postgres::Error> {
    let snapshot = snapshot(client).await?;
    let versions = file::read(&snapshot, uri).await?;
    if versions.is_empty() {
        return Ok(None);
    }
    Ok(Some(History { now: now(&snapshot).await?, subject: Subject::Versions(versions) }))
}

/// Several statements tell one story only if none of them sees what the one before could not.
async fn snapshot(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await
}

async fn now(snapshot: &Transaction<'_>) -> Result<DateTime<Utc>, tokio_postgres::Error> {
    snapshot.query_one("SELECT now()", &[]).await?.try_get(0)
}
