use std::{path::Path, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};
use longshore_common::{
    dataset::{Dataset, parse_spec},
    ledger,
};
use longshore_worker::rows::RowPlan;

use super::{
    apply::{self, ApplyArgs},
    infer::{self, InferArgs},
};
use crate::{
    connect::DatabaseArgs,
    input,
    output::{self, Table, WrongCall},
};

/// More is no spec: that of the widest table has some 100 KiB.
const MAX_SPEC_BYTES: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub(crate) enum DatasetCommand {
    Apply(ApplyArgs),
    /// List the datasets
    List(ListArgs),
    /// Print a dataset's current spec
    Show(ShowArgs),
    Infer(InferArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: DatabaseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The dataset
    name: String,
    /// Print one JSON value instead of TOML
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: DatabaseArgs,
}

pub(crate) async fn run(command: DatasetCommand) -> anyhow::Result<ExitCode> {
    match command {
        DatasetCommand::Apply(args) => apply::run(args).await,
        DatasetCommand::List(args) => list(args).await,
        DatasetCommand::Show(args) => show(args).await,
        DatasetCommand::Infer(args) => infer::run(&args),
    }
}

/// Reads a spec file and checks it as far as that goes without a database.
pub(super) fn read_spec(path: &Path) -> anyhow::Result<Dataset> {
    let name = path.display().to_string();
    let text = input::read_text(path, MAX_SPEC_BYTES)
        .map_err(|error| WrongCall(format!("cannot read the spec {name}: {error}")))?;
    let spec = parse_spec(&name, &text, |variable| std::env::var(variable).ok())?;
    RowPlan::compile(&spec).with_context(|| name)?;
    Ok(spec)
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let pool = args.servers.pool("longshore dataset list", 1).await?;
    let summaries = ledger::dataset_summaries(&*pool.get().await?).await?;
    if args.json {
        output::print_json(&summaries)?;
        return Ok(ExitCode::SUCCESS);
    }
    if summaries.is_empty() {
        output::print("no datasets yet; store one with `longshore dataset apply FILE`")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table =
        Table::new(&["DATASET", "VERSION", "TABLE", "SCHEDULE", "FILES", "LAST SCAN", "SOURCE"], &[1, 4]);
    for summary in summaries {
        table.add_row([
            summary.name,
            summary.version.to_string(),
            summary.target_table,
            summary.schedule,
            output::thousands(summary.files),
            summary.last_scan.map_or_else(|| "never".to_owned(), output::time),
            summary.source,
        ]);
    }
    output::print(&table.to_string())?;
    Ok(ExitCode::SUCCESS)
}

async fn show(args: ShowArgs) -> anyhow::Result<ExitCode> {
    let pool = args.servers.pool("longshore dataset show", 1).await?;
    let stored = ledger::current_dataset(&*pool.get().await?, &args.name).await?;
    let stored = stored.ok_or_else(|| WrongCall::unknown_dataset(&args.name))?;
    if args.json {
        output::print_json(&stored.spec)?;
    } else {
        output::print(&format!(
            "# version {}\n{}",
            stored.version,
            toml::to_string(&stored.spec)?.trim_end()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
