use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use longshore_common::ledger::{self, SplitError};
use uuid::Uuid;

use crate::{connect::DatabaseArgs, output};

/// For a FAILED batch of which some files are good: each file is tried by itself then. Of more than 1,000 files, 1,000 tasks are made. The
/// scanner service publishes them within its tick; without it, `longshore scan` does.
#[derive(Debug, Args)]
pub(crate) struct SplitArgs {
    /// A FAILED task of several files
    #[arg(value_name = "TASK")]
    task: Uuid,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: DatabaseArgs,
}

pub(crate) async fn run(args: SplitArgs) -> anyhow::Result<ExitCode> {
    let pool = args.servers.pool("longshore split", 1).await?;
    let mut client = pool.get().await?;
    let split = match ledger::split(&mut client, args.task).await {
        Ok(split) => split,
        Err(SplitError::Database(error)) => return Err(error.into()),
        Err(refusal) => bail!("{}: {refusal}", args.task),
    };
    if args.json {
        output::print_json(&split)?;
    } else {
        let files = output::counted(split.files as u64, "file");
        let tasks = output::counted(split.tasks.len() as u64, "task");
        output::print(&format!(
            "{files} in {tasks} now, all of them NEW; the scanner service or the next `longshore scan` publishes"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
