//! `longshore unload` and `longshore reload`: a file is the unit of undo.

use std::{ffi::OsString, process::ExitCode};

use clap::Args;
use longshore_common::ledger::{self, Reloading, RemovalFrom, UndoError, Unloaded};
use tokio_postgres::Client;

use crate::{
    connect::DatabaseArgs,
    input,
    output::{self, WrongCall, counted, one_line, thousands},
};

#[derive(Debug, Args)]
struct FileArgs {
    /// A file's URI as `longshore files` shows it, or its local path
    #[arg(value_name = "URI|FILE")]
    file: OsString,
    /// The dataset, if several have this file
    #[arg(long)]
    dataset: Option<String>,
    /// Rows of it that are missing in the table were deleted or truncated, and do not come back
    #[arg(long)]
    missing_rows_are_gone: bool,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: DatabaseArgs,
}

/// Remove the rows of one file from its table, and its rejects, in one transaction
///
/// All versions of the file that are in the table go. The file stays known, so that no scan loads it again: `longshore
/// reload` does, and so does new content under its name. Refused while a version of the file is on its way, and where the
/// table has not as many rows of it as were loaded: they may only be hidden, in a partition that is detached, say. Exit code 1
/// if it is refused, 2 if the file is not known.
#[derive(Debug, Args)]
pub(crate) struct UnloadArgs {
    #[command(flatten)]
    file: FileArgs,
}

/// Load one file anew, with the spec that is current
///
/// Its newest known version gets a task of its own, whether it was loaded, unloaded, FAILED or ignored. The new rows replace
/// those of the file in one transaction, whatever discovery.on_change says; with "append" they replace those of the same
/// version, and the rows of its other versions stay. If the load fails, because the file is gone, say, the old rows stay; it
/// fails, too, where the table has not as many of them as were loaded, unless --missing-rows-are-gone. A reload may have fewer
/// rows than discovery.min_rows_ratio allows.
/// Refused while a version of the file is on its way. Exit code 1 if it is refused, 2 if the file is not known.
#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    file: FileArgs,
}

pub(crate) async fn unload(UnloadArgs { file: args }: UnloadArgs) -> anyhow::Result<ExitCode> {
    let uri = input::uri(&args.file)?;
    let pool = args.servers.pool("longshore unload", 1).await?;
    let mut client = pool.get().await?;
    let dataset = Dataset::of(&client, &uri, args.dataset.as_deref()).await?;
    let removal = RemovalFrom { table: &dataset.table, on_step: &|| {} };
    let unloaded = ledger::unload(&mut client, dataset.id, &uri, args.missing_rows_are_gone, &removal).await;
    let Unloaded { rows_removed, rows_loaded, file_ids } = match unloaded {
        Ok(unloaded) if args.json => {
            output::print_json(&unloaded)?;
            return Ok(ExitCode::SUCCESS);
        }
        unloaded => unloaded.map_err(|error| refusal("unloaded", &uri, error))?,
    };
    let versions = counted(file_ids.len() as u64, "version");
    let rows = match rows_removed == rows_loaded {
        true => counted(rows_removed, "row"),
        false => format!("{} of {}", thousands(rows_removed), counted(rows_loaded, "row")),
    };
    output::print(&format!(
        "unloaded {}: {rows} removed, of {versions}; no scan loads it again, `longshore reload` or new content does",
        one_line(&uri)
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn reload(ReloadArgs { file: args }: ReloadArgs) -> anyhow::Result<ExitCode> {
    let uri = input::uri(&args.file)?;
    let pool = args.servers.pool("longshore reload", 1).await?;
    let mut client = pool.get().await?;
    let dataset = Dataset::of(&client, &uri, args.dataset.as_deref()).await?;
    let reloading = ledger::reload(&mut client, dataset.id, &uri, args.missing_rows_are_gone).await;
    let Reloading { task_id, is_loaded, after_load, moved_to, .. } = match reloading {
        Ok(reloading) if args.json => {
            output::print_json(&reloading)?;
            return Ok(ExitCode::SUCCESS);
        }
        reloading => reloading.map_err(|error| refusal("reloaded", &uri, error))?,
    };
    let uri = one_line(&uri);
    let rows = match is_loaded {
        true => "its rows are replaced when the task is LOADED, and stay if it FAILED",
        false => "its rows are there when the task is LOADED",
    };
    output::print(&format!("reloading {uri} in task {task_id}, which is NEW: {rows}"))?;
    if let Some(outcome) = after_load {
        let moved_to = moved_to.map(|place| format!(" to {}", one_line(&place))).unwrap_or_default();
        eprintln!(
            "note: after its last load the file was {}{moved_to}; unless it is back under its name, the task fails",
            outcome.to_lowercase()
        );
    }
    output::print(&format!(
        "The scanner service publishes it, or the next `longshore scan`; `longshore why {task_id}` shows how it goes on."
    ))?;
    Ok(ExitCode::SUCCESS)
}

struct Dataset {
    id: i32,
    /// Quoted for SQL.
    table: String,
}

impl Dataset {
    /// The one that has the file.
    async fn of(client: &Client, uri: &str, name: Option<&str>) -> anyhow::Result<Self> {
        output::refuse_unknown_dataset(client, name).await?;
        let mut found = ledger::datasets_of_uri(client, uri).await?;
        found.retain(|(_, found)| name.is_none_or(|name| name == found));
        let shown = one_line(uri);
        let name = match found.as_slice() {
            [(_, only)] => only,
            [] => {
                let message =
                    format!("no scan has found {shown}; `longshore files` lists the files that are known");
                return Err(WrongCall(message).into());
            }
            several => {
                let names: Vec<&str> = several.iter().map(|(_, name)| name.as_str()).collect();
                let names = names.join(", ");
                let message = format!("{shown} is in several datasets ({names}): name one by --dataset");
                return Err(WrongCall(message).into());
            }
        };
        let dataset = ledger::current_dataset(client, name).await?;
        let dataset = dataset.ok_or_else(|| WrongCall::unknown_dataset(name))?;
        Ok(Self { id: dataset.id, table: ledger::quoted_table(&dataset.spec) })
    }
}

fn refusal(what: &str, uri: &str, error: UndoError) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("{} is not {what}", one_line(uri)))
}
