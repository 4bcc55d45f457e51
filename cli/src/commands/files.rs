use std::process::ExitCode;

use clap::{Args, ValueEnum};
use longshore_common::ledger;

use crate::{
    connect::DatabaseArgs,
    output::{self, Table},
};

#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    /// Only files in this state: waiting for a batch (SCANNED), the state of their task, loaded once and removed again
    /// (REPLACED by a newer version, UNLOADED by an operator), or IGNORED by discovery.on_change
    #[arg(long, ignore_case = true)]
    status: Option<FileStatus>,
    /// Only files of this dataset
    #[arg(long)]
    dataset: Option<String>,
    /// The newest ones, at most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: DatabaseArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPER")]
enum FileStatus {
    Scanned,
    New,
    Processing,
    Loaded,
    Failed,
    Replaced,
    Unloaded,
    Ignored,
}

impl FileStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Scanned => "SCANNED",
            Self::New => "NEW",
            Self::Processing => "PROCESSING",
            Self::Loaded => "LOADED",
            Self::Failed => "FAILED",
            Self::Replaced => "REPLACED",
            Self::Unloaded => "UNLOADED",
            Self::Ignored => "IGNORED",
        }
    }
}

pub(crate) async fn run(args: FilesArgs) -> anyhow::Result<ExitCode> {
    let pool = args.servers.pool("longshore files", 1).await?;
    let client = pool.get().await?;
    output::refuse_unknown_dataset(&client, args.dataset.as_deref()).await?;
    let status = args.status.map(FileStatus::name);
    let files = ledger::list_files(&client, status, args.dataset.as_deref(), args.limit).await?;
    if args.json {
        output::print_json(&files)?;
        return Ok(ExitCode::SUCCESS);
    }
    let header = ["FILE ID", "DATASET", "STATUS", "BYTES", "MODIFIED", "LOADED", "REJECTED", "FILE"];
    let mut table = Table::new(&header, &[0, 3, 5, 6]);
    for file in &files {
        let count = |rows: Option<i64>| rows.map(output::thousands).unwrap_or_default();
        table.add_row([
            file.id.to_string(),
            file.dataset.clone(),
            file.status.clone(),
            output::thousands(file.size_in_bytes),
            output::time(file.file_modified_time),
            count(file.rows_loaded),
            count(file.rows_rejected),
            file.file_name.clone(),
        ]);
    }
    output::print(&if files.is_empty() { "no files".to_owned() } else { table.to_string() })?;
    Ok(ExitCode::SUCCESS)
}
