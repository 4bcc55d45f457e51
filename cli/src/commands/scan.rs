use std::{io::IsTerminal, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args;
use deadpool_postgres::Pool;
use indicatif::{ProgressBar, ProgressStyle};
use longshore_common::{
    database,
    ledger::{self, ScanCounts},
    limits::Limits,
    queue::Queue,
    shutdown,
};
use longshore_scanner::{
    AfterLoadReport, Relay, Rescuer, ScanMode, ScanOptions, ScanReport, is_audit_due, scan_dataset,
    work_off_all,
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    connect::ServerArgs,
    output::{self, WrongCall},
};

/// Scan once: find new files, make tasks, publish them, then exit (for an external cron)
///
/// A dataset whose last audit is older than `discovery.audit` allows, because no scanner service runs, is audited instead: an audit
/// does all that a scan does. Exit code 1: a scan failed.
#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// The dataset to scan; all if none is named
    dataset: Option<String>,
    /// Send partial batches too, without waiting for more files
    #[arg(long)]
    flush: bool,
    /// Compare everything that the store lists, not only what is newer than watermark − lookback
    #[arg(long)]
    all: bool,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    servers: ServerArgs,
}

/// What became of the scans, and of the tasks that wait for a publish or a rescue.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) scans: Vec<ScanReport>,
    pub(super) failed: Vec<FailedScan>,
    rescued: u64,
    published: u64,
    after_load: AfterLoadReport,
}

#[derive(Debug, Serialize)]
pub(super) struct FailedScan {
    dataset: String,
    error: String,
}

pub(crate) async fn run(args: ScanArgs) -> anyhow::Result<ExitCode> {
    let mode = if args.all { ScanMode::Everything } else { ScanMode::Recent };
    let options = ScanOptions { flush: args.flush, mode, stall_limit: args.limits.stall_limit };
    let report = scan_all(&args.servers, args.dataset.as_deref(), options, args.limits, args.json).await?;
    if args.json {
        output::print_json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Scans or audits the datasets one after the other, then rescues and publishes.
pub(super) async fn scan_all(
    servers: &ServerArgs,
    dataset: Option<&str>,
    options: ScanOptions,
    limits: Limits,
    quiet: bool,
) -> anyhow::Result<Report> {
    let command = if options.mode == ScanMode::Audit { "longshore audit" } else { "longshore scan" };
    let (database, queue) = servers.checked(command)?;
    let stop = shutdown::on_signal()?;
    let pool = servers.working_pool(&database, 1).await?;
    let (mut scans, mut failed) = (Vec::new(), Vec::new());
    for dataset in chosen(&pool, dataset).await? {
        let chosen = if options.mode == ScanMode::Audit { Chosen::Audit } else { Chosen::Scan };
        match scan_one(&pool, &dataset, options, chosen, &stop, quiet).await {
            Ok(report) => scans.push(report),
            Err(error) => {
                error!(%dataset, "the scan failed: {error:#}");
                failed.push(FailedScan { dataset, error: format!("{error:#}") });
            }
        }
        if stop.is_cancelled() {
            break;
        }
    }
    let (rescued, published, after_load) = if stop.is_cancelled() {
        (0, 0, AfterLoadReport::default())
    } else {
        queue.wait_until_ready(servers.database.wait.connect_timeout).await?;
        let stall_limit = limits.stall_limit;
        let (rescued, published) = relay(&pool, queue, limits, &stop).await?;
        let after_load = work_off_all(&pool, stall_limit, AFTER_LOAD_LIMIT, &stop).await?;
        (rescued, published, after_load)
    };
    Ok(Report { scans, failed, rescued, published, after_load })
}

/// What a scan spends at most on files that were loaded before.
const AFTER_LOAD_LIMIT: Duration = Duration::from_secs(30);

async fn chosen(pool: &Pool, name: Option<&str>) -> anyhow::Result<Vec<String>> {
    let all = ledger::dataset_names(&*pool.get().await?).await?;
    match name {
        None => Ok(all),
        Some(name) if all.iter().any(|known| known == name) => Ok(vec![name.to_owned()]),
        Some(name) => Err(WrongCall::unknown_dataset(name).into()),
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chosen {
    /// It is an audit where one is due.
    Scan,
    Audit,
}

async fn scan_one(
    pool: &Pool,
    name: &str,
    options: ScanOptions,
    chosen: Chosen,
    stop: &CancellationToken,
    quiet: bool,
) -> anyhow::Result<ScanReport> {
    let mut session = database::session(pool).await?;
    // Read right before its scan: a spec may have been applied while another dataset was scanned.
    let dataset = ledger::current_dataset(&session, name).await?.context("the dataset is gone")?;
    let is_audit = chosen == Chosen::Audit || is_audit_due(&session, &dataset).await?;
    let options = if is_audit { ScanOptions { mode: ScanMode::Audit, ..options } } else { options };
    let spinner =
        if quiet || !std::io::stderr().is_terminal() { ProgressBar::hidden() } else { spinner(name) };
    let show = |counts: &ScanCounts| {
        spinner.set_message(format!(
            "{} listed, {} new",
            output::thousands(counts.listed),
            output::thousands(counts.new)
        ));
    };
    let outcome = loop {
        let outcome = scan_dataset(&mut session, &dataset, options, stop, &show).await;
        // A scan that another one does is done; an audit is not.
        let waits = chosen == Chosen::Audit && outcome.as_ref().is_ok_and(|report| report.counts.is_none());
        if !waits || stop.is_cancelled() {
            break outcome;
        }
        spinner.set_message("waits for the scan that runs");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    spinner.finish_and_clear();
    let report = outcome?;
    session.give_back();
    Ok(report)
}

fn spinner(name: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_prefix(name.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} scanning {prefix}: {msg} ({elapsed})") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

async fn relay(
    pool: &Pool,
    queue: Queue,
    limits: Limits,
    stop: &CancellationToken,
) -> anyhow::Result<(u64, u64)> {
    // The connection is closed with the process, so nothing that it holds outlives an error.
    let client = pool.get().await?;
    let rescued = Rescuer::new(limits).look_until_sure(&client).await?;
    let mut relay = Relay::new(queue, limits.stall_limit);
    let published = relay.publish_until_sure(&client, stop).await?;
    relay.close().await;
    Ok((rescued, published))
}

pub(super) fn print(report: &Report) -> anyhow::Result<()> {
    if report.scans.is_empty() && report.failed.is_empty() {
        output::print("no datasets yet; store one with `longshore dataset apply FILE`")?;
    }
    for scan in &report.scans {
        print_scan(scan)?;
    }
    for failed in &report.failed {
        output::print(&format!("{}: failed: {}", failed.dataset, output::one_line(&failed.error)))?;
    }
    let published = output::counted(report.published, "task");
    output::print(&format!("published {published}, rescued {}", report.rescued))?;
    print_after_load(&report.after_load)
}

/// Nothing where nothing was to do.
fn print_after_load(report: &AfterLoadReport) -> anyhow::Result<()> {
    let AfterLoadReport { moved, deleted, gone, left, failed } = *report;
    let done = [
        (moved, "moved"),
        (deleted, "deleted"),
        (gone, "gone already"),
        (left, "left in place"),
        (failed, "to be tried again"),
    ];
    let done: Vec<String> = done
        .into_iter()
        .filter(|(files, _)| *files > 0)
        .map(|(files, what)| format!("{} {what}", output::thousands(files)))
        .collect();
    match done.is_empty() {
        true => Ok(()),
        false => output::print(&format!("loaded files: {}", done.join(", "))),
    }
}

fn print_scan(scan: &ScanReport) -> anyhow::Result<()> {
    let Some(counts) = &scan.counts else {
        return output::print(&format!("{}: another scanner is scanning it right now", scan.dataset));
    };
    let skipped: u64 = counts.skipped.values().sum();
    output::print(&format!(
        "{}: {} listed = {} new + {} known + {} skipped",
        scan.dataset,
        output::thousands(counts.listed),
        output::thousands(counts.new),
        output::thousands(counts.known),
        output::thousands(skipped)
    ))?;
    for (reason, files) in &counts.skipped {
        output::print(&format!("  skipped {}: {}", output::thousands(*files), reason.replace('_', " ")))?;
        print_names(*files, counts.skipped_uris.get(reason).map(Vec::as_slice).unwrap_or_default())?;
    }
    if counts.names_postponed > 0 {
        output::print(&format!(
            "  {} could not be read or had not settled for more than a day; scans go on and look at each by its name",
            output::counted(counts.names_postponed, "name")
        ))?;
    }
    if let Some(before) = counts.listed_before {
        output::print(&format!(
            "  an earlier one listed {}: is the source mounted, and are its files still there?",
            output::thousands(before)
        ))?;
    }
    if let Some(audit) = &scan.audit {
        let findings = [
            ("missed until now, and recorded", &audit.missed),
            ("gone from the store before they were loaded", &audit.gone.not_loaded),
            ("gone from the store, and loaded", &audit.gone.loaded),
        ];
        for (what, found) in findings {
            output::print(&format!("  {} {what}", output::thousands(found.files)))?;
            print_names(found.files, &found.uris)?;
        }
    }
    let batches = &scan.batches;
    let (tasks, files) = (batches.tasks as u64, batches.files as u64);
    output::print(&format!(
        "  made {} of {}",
        output::counted(tasks, "task"),
        output::counted(files, "file")
    ))?;
    if let Some(held) = &batches.held_back {
        let (files, until) = (output::counted(held.files as u64, "file"), output::time(held.until));
        output::print(&format!("  holds back {files} until {until}; --flush sends them now"))?;
    }
    Ok(())
}

/// The first names of a number of files.
fn print_names(files: u64, uris: &[String]) -> anyhow::Result<()> {
    for uri in uris {
        output::print(&format!("    {}", output::one_line(uri)))?;
    }
    let more = files.saturating_sub(uris.len() as u64);
    if !uris.is_empty() && more > 0 {
        output::print(&format!("    … and {} more", output::thousands(more)))?;
    }
    Ok(())
}
