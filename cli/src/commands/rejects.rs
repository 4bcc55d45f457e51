use std::process::ExitCode;

use clap::Args;
use futures_util::TryStreamExt;
use longshore_common::ledger::{self, RejectRow};

use crate::{
    connect::DatabaseArgs,
    output::{self, WrongCall},
};

#[derive(Debug, Args)]
pub(crate) struct RejectsArgs {
    /// A dataset's name, or a file's URI as `longshore files` shows it
    #[arg(value_name = "DATASET|URI")]
    scope: String,
    /// The first ones, at most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: DatabaseArgs,
}

pub(crate) async fn run(args: RejectsArgs) -> anyhow::Result<ExitCode> {
    let pool = args.servers.pool("longshore rejects", 1).await?;
    let client = pool.get().await?;
    let scope = ledger::find_reject_scope(&client, &args.scope).await?;
    let scope = scope.ok_or_else(|| {
        WrongCall(format!("`{}` is no dataset and no known file; see `longshore files`", args.scope))
    })?;
    let rows: Vec<RejectRow> = ledger::read_rejects(&client, &scope, args.limit).await?.try_collect().await?;
    if args.json {
        output::print_json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        output::print("no rejects")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = output::table(&["FILE", "LINE", "BYTE", "COLUMN", "RULE", "REASON", "TEXT"], &[1, 2]);
    for row in &rows {
        table.add_row([
            output::file_name(&row.file_name),
            row.line.to_string(),
            row.byte_offset.to_string(),
            row.column.clone().unwrap_or_default(),
            row.rule.clone(),
            output::shortened(&row.reason, 60),
            output::shortened(&row.raw, 40),
        ]);
    }
    output::print(&table.trim_fmt())?;
    if rows.len() as i64 == args.limit {
        output::print(&format!("the first {}; --limit shows more", args.limit))?;
    }
    Ok(ExitCode::SUCCESS)
}
