use std::process::ExitCode;

use clap::Args;
use longshore_common::limits::Limits;
use longshore_scanner::{ScanMode, ScanOptions, ScanReport};

use crate::{
    commands::scan::{self, Report},
    connect::ServerArgs,
    output,
};

/// Compare the whole store with the ledger: record what scans had missed, name what is skipped and what is gone
///
/// An audit does what a scan does, but looks at everything, however old and wherever it lies, and names the first 20 files of
/// each kind that it reports. It removes nothing. It waits for a scan of the same dataset that runs.
///
/// Exit code 0: all is well. 1: an audit failed, or found files that scans had missed (they are recorded now and will be
/// loaded), or files that are gone from the store before they were loaded.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The dataset to audit; all if none is named
    dataset: Option<String>,
    /// Send partial batches too, without waiting for more files
    #[arg(long)]
    flush: bool,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    servers: ServerArgs,
}

pub(crate) async fn run(args: AuditArgs) -> anyhow::Result<ExitCode> {
    let options =
        ScanOptions { flush: args.flush, mode: ScanMode::Audit, stall_limit: args.limits.stall_limit };
    let report =
        scan::scan_all(&args.servers, args.dataset.as_deref(), options, args.limits, args.json).await?;
    if args.json {
        output::print_json(&report)?;
    } else {
        scan::print(&report)?;
    }
    Ok(if is_well(&report) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_well(report: &Report) -> bool {
    let found_nothing = |scan: &ScanReport| {
        scan.audit.as_ref().is_some_and(|audit| audit.missed.files == 0 && audit.gone.not_loaded.files == 0)
    };
    report.failed.is_empty() && report.scans.iter().all(found_nothing)
}
