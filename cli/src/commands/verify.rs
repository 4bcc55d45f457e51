use std::{io::IsTerminal, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use longshore_common::ledger::{self, DifferingFile, DifferingFiles, StoredDataset, Verified};
use serde::Serialize;
use tokio_postgres::Client;

use crate::{
    connect::DatabaseArgs,
    output::{self, WrongCall, counted, one_line, thousands},
};

/// Hold the target tables against the ledger: of which files are rows missing, too many, or there although they are not loaded
///
/// Reads each table once, in one snapshot: loads that run meanwhile are no difference. It changes nothing, unless
/// --missing-rows-are-gone. Until it ends, nobody can alter or truncate the table, and vacuum cannot remove newer dead rows.
///
/// Exit code 0: the tables are as the ledger says, but for rows that you say are gone. 1: something else differs, or a table could
/// not be read.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The dataset to verify; all if none is named
    dataset: Option<String>,
    /// The rows that are missing were deleted or truncated, and do not come back: the ledger does not expect them any more
    #[arg(long, requires = "dataset")]
    missing_rows_are_gone: bool,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: DatabaseArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    datasets: Vec<Compared>,
    failed: Vec<Failed>,
}

#[derive(Debug, Serialize)]
struct Compared {
    dataset: String,
    table: String,
    #[serde(flatten)]
    verified: Verified,
}

#[derive(Debug, Serialize)]
struct Failed {
    dataset: String,
    error: String,
}

pub(crate) async fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let pool = args.servers.pool("longshore verify", 1).await?;
    let mut client = pool.get().await?;
    let mut report = Report { datasets: Vec::new(), failed: Vec::new() };
    for name in chosen(&client, args.dataset.as_deref()).await? {
        match verify(&mut client, &name, &args).await {
            Ok(compared) => report.datasets.push(compared),
            Err(error) => report.failed.push(Failed { dataset: name, error: format!("{error:#}") }),
        }
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        print(&report, args.missing_rows_are_gone)?;
    }
    let agrees = |verified: &Verified| match args.missing_rows_are_gone {
        true => verified.more.files + verified.not_loaded.files == 0,
        false => verified.agrees(),
    };
    let agree = report.datasets.iter().all(|compared| agrees(&compared.verified));
    Ok(if agree && report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn chosen(client: &Client, name: Option<&str>) -> anyhow::Result<Vec<String>> {
    output::refuse_unknown_dataset(client, name).await?;
    match name {
        Some(name) => Ok(vec![name.to_owned()]),
        None => Ok(ledger::dataset_names(client).await?),
    }
}

async fn verify(client: &mut Client, name: &str, args: &VerifyArgs) -> anyhow::Result<Compared> {
    let dataset = ledger::current_dataset(client, name).await?;
    let StoredDataset { id, spec, .. } = dataset.ok_or_else(|| WrongCall::unknown_dataset(name))?;
    let (quoted, table) = (ledger::quoted_table(&spec), spec.target.table);
    if !ledger::has_table(client, &quoted).await? {
        anyhow::bail!(
            "there is no table {table}: was it renamed? Then put it back; if it is gone for good, `longshore dataset apply FILE --new-table` \
             makes an empty one"
        );
    }
    let bar = if args.json || !std::io::stderr().is_terminal() { ProgressBar::hidden() } else { bar(name) };
    let show = |blocks: u64, of: u64| {
        bar.set_length(of);
        bar.set_position(blocks);
    };
    let verified = ledger::verify(client, id, &quoted, args.missing_rows_are_gone, &show).await;
    bar.finish_and_clear();
    let verified = verified.with_context(|| format!("{table} cannot be read"))?;
    Ok(Compared { dataset: name.to_owned(), table, verified })
}

/// Of the table's blocks.
fn bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_prefix(name.to_owned());
    if let Ok(style) = ProgressStyle::with_template("verifying {prefix} {bar:20} {percent}% ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn print(report: &Report, missing_rows_are_gone: bool) -> anyhow::Result<()> {
    if report.datasets.is_empty() && report.failed.is_empty() {
        output::print("no datasets yet; store one with `longshore dataset apply FILE`")?;
    }
    for Compared { dataset, table, verified } in &report.datasets {
        let (rows, files) = (counted_rows(verified.rows), counted(verified.files.unsigned_abs(), "file"));
        let agrees = if verified.agrees() { ", as the ledger says" } else { "" };
        output::print(&format!("{dataset}: {rows} in {table}, {files} loaded{agrees}"))?;
        print_differing(&verified.fewer, "with fewer rows than were loaded")?;
        print_differing(&verified.more, "with more rows than were loaded")?;
        print_differing(&verified.not_loaded, "with rows although they are not loaded")?;
        if missing_rows_are_gone && verified.fewer.files > 0 {
            output::print("  the ledger does not expect the missing rows any more")?;
        } else if verified.fewer.files > 0 {
            output::print(&format!(
                "  if the missing rows are gone for good: `longshore reload FILE --missing-rows-are-gone` loads a file again, \
                 `longshore verify {dataset} --missing-rows-are-gone` leaves the table as it is"
            ))?;
        }
    }
    for Failed { dataset, error } in &report.failed {
        output::print(&format!("{dataset}: failed: {}", one_line(error)))?;
    }
    Ok(())
}

/// Files that are named on a screen.
const SHOWN_FILES: usize = 20;

fn print_differing(differing: &DifferingFiles, how: &str) -> anyhow::Result<()> {
    if differing.files == 0 {
        return Ok(());
    }
    let (found, expected) = (thousands(differing.rows_found), counted_rows(differing.rows_expected));
    let files = counted(differing.files.unsigned_abs(), "file");
    output::print(&format!("  {files} {how}: {found} of {expected}"))?;
    for file in differing.first.iter().take(SHOWN_FILES) {
        output::print(&format!("    {}", shown(file)))?;
    }
    let more = differing.files - differing.first.len().min(SHOWN_FILES) as i64;
    if more > 0 {
        output::print(&format!("    … and {} more; --json names up to a thousand", thousands(more)))?;
    }
    Ok(())
}

fn shown(file: &DifferingFile) -> String {
    let name = file.file_name.as_deref().map_or_else(|| "no known file".to_owned(), one_line);
    let id = file.file_id.map_or_else(|| "null".to_owned(), |id| id.to_string());
    let (found, expected) = (thousands(file.rows_found), thousands(file.rows_expected));
    format!("{found} of {expected}: {name} (_file_id {id})")
}

fn counted_rows(rows: i64) -> String {
    counted(rows.unsigned_abs(), "row")
}
