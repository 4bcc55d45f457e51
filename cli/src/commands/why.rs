mod after_load;
mod changes;
mod moments;
mod state;
mod story;
#[cfg(test)]
mod tests;
mod unknown;
mod unsettled;

use std::{
    ffi::{OsStr, OsString},
    process::ExitCode,
};

use clap::Args;
use deadpool_postgres::ClientWrapper;
use longshore_common::ledger::{self, History};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    connect::DatabaseArgs,
    input,
    output::{self, WrongCall},
};

/// Say in plain words where a file or a task is, how it came there, and what happens next and when
///
/// Told from what is recorded in the database; nothing is changed and no file is looked at. Exit code 0 if the file or
/// the task is known, whatever its state, and 2 if it is not; of a file it then says which dataset leaves it out, and why.
///
/// --json prints the facts: {"now", "versions": […]} for a file, the newest version first, each with its "task";
/// {"now", "task": {…}} for a task. A task has its "attempts" in their order.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// A file's URI as `longshore files` shows it, or its local path, or a task's id
    #[arg(value_name = "URI|TASK")]
    subject: OsString,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: DatabaseArgs,
}

pub(crate) async fn run(args: WhyArgs) -> anyhow::Result<ExitCode> {
    let named = Named::read(&args.subject)?;
    let pool = args.servers.pool("longshore why", 1).await?;
    let mut client = pool.get().await?;
    let Some(history) = named.history(&mut client).await? else {
        return Err(named.unknown(&client).await?.into());
    };
    if args.json {
        output::print_json(&history)?;
    } else {
        output::print(&story::tell(&history))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the caller asks about.
#[derive(Debug, PartialEq)]
enum Named {
    Task(Uuid),
    File(String),
}

impl Named {
    fn read(name: &OsStr) -> Result<Self, WrongCall> {
        let text = name.to_str();
        if let Some(id) = text.and_then(|text| Uuid::try_parse(text).ok()) {
            return Ok(Self::Task(id));
        }
        input::uri(name).map(Self::File)
    }

    async fn history(&self, client: &mut Client) -> Result<Option<History>, tokio_postgres::Error> {
        match self {
            Self::Task(id) => ledger::task_history(client, *id).await,
            Self::File(uri) => ledger::file_history(client, uri).await,
        }
    }

    async fn unknown(&self, client: &ClientWrapper) -> anyhow::Result<WrongCall> {
        Ok(WrongCall(match self {
            Self::Task(id) => format!("there is no task {id}; `longshore tasks` lists those that exist"),
            Self::File(uri) => unknown::told(client, uri).await?,
        }))
    }
}
