use std::{io::IsTerminal, process::ExitCode, time::Duration};

use clap::Args;
use deadpool_postgres::Pool;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use longshore_common::{
    ledger::{self, ScanRow},
    shutdown,
};

use crate::{
    connect::DatabaseArgs,
    output::{self, Table},
};

/// List scans and audits, the newest first: what each found and skipped, and how it ended
///
/// One that runs shows how far it is: a bar of what it has listed, against what the dataset's last complete one listed.
#[derive(Debug, Args)]
pub(crate) struct ScansArgs {
    /// Only scans of this dataset
    dataset: Option<String>,
    /// The newest ones, at most this many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    /// Show the list live until interrupted
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    #[command(flatten)]
    servers: DatabaseArgs,
}

pub(crate) async fn run(args: ScansArgs) -> anyhow::Result<ExitCode> {
    let pool = args.servers.pool("longshore scans", 1).await?;
    output::refuse_unknown_dataset(&*pool.get().await?, args.dataset.as_deref()).await?;
    if args.watch {
        return watch(&pool, &args).await;
    }
    let scans = scans(&pool, &args).await?;
    if args.json {
        output::print_json(&scans)?;
    } else {
        output::print(&table(&scans))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn scans(pool: &Pool, args: &ScansArgs) -> anyhow::Result<Vec<ScanRow>> {
    Ok(ledger::list_scans(&*pool.get().await?, args.dataset.as_deref(), args.limit).await?)
}

/// On a terminal a list that moves; elsewhere a list whenever a scan has begun or ended.
async fn watch(pool: &Pool, args: &ScansArgs) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal()?;
    let is_terminal = std::io::stderr().is_terminal();
    let list = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    list.set_style(ProgressStyle::with_template("{msg}")?);
    let mut last = Vec::new();
    loop {
        let is_last_look = stop.is_cancelled();
        let scans = scans(pool, args).await?;
        list.set_message(table(&scans));
        let states: Vec<(i64, String)> = scans.iter().map(|scan| (scan.id, scan.state.clone())).collect();
        if !is_terminal && states != last {
            output::print(&table(&scans))?;
            last = states;
        }
        if is_last_look {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            () = stop.cancelled() => {}
        }
    }
    list.abandon();
    Ok(ExitCode::SUCCESS)
}

fn table(scans: &[ScanRow]) -> String {
    if scans.is_empty() {
        return "no scans".to_owned();
    }
    let header =
        ["STARTED", "DURATION", "DATASET", "KIND", "LISTED", "NEW", "KNOWN", "SKIPPED", "BYTES", "STATE", ""];
    let mut table = Table::new(&header, &[1, 4, 5, 6, 7, 8]);
    for scan in scans {
        table.add_row([
            output::time(scan.started_time),
            duration(scan.seconds),
            scan.dataset.clone(),
            scan.kind.clone(),
            output::thousands(scan.listed),
            output::thousands(scan.new),
            output::thousands(scan.known),
            output::thousands(scan.skipped.values().sum::<i64>()),
            output::thousands(scan.new_bytes),
            scan.state.clone(),
            remarks(scan),
        ]);
    }
    table.fit();
    table.to_string()
}

fn duration(seconds: f64) -> String {
    // As much as one wants to compare: tenths of short ones, seconds of long ones.
    if seconds < 60.0 {
        return format!("{seconds:.1}s");
    }
    humantime::format_duration(Duration::from_secs(seconds as u64)).to_string()
}

/// A bar while it runs; then why it ended early, what it skipped and what an audit found.
fn remarks(scan: &ScanRow) -> String {
    let mut remarks: Vec<String> = Vec::new();
    match scan.state.as_str() {
        "RUNNING" => remarks.extend(scan.last_listed.map(|last| bar(scan.listed, last))),
        "DIED" => remarks.push("ended abnormally".to_owned()),
        _ => remarks.extend(scan.error.clone()),
    }
    if let Some(before) = scan.listed_before {
        remarks.push(format!("an earlier one listed {}", output::thousands(before)));
    }
    if scan.names_postponed > 0 {
        remarks.push(format!(
            "{} not readable or not settled for more than a day",
            output::thousands(scan.names_postponed)
        ));
    }
    if let Some(audit) = &scan.audit {
        let findings = [
            ("missed until now", audit.missed.files),
            ("gone before they were loaded", audit.gone.not_loaded.files),
            ("gone and loaded", audit.gone.loaded.files),
        ];
        let found = findings.into_iter().filter(|(_, files)| *files > 0);
        remarks.extend(found.map(|(what, files)| format!("{} {what}", output::thousands(files))));
    }
    if !scan.skipped.is_empty() {
        let reasons = scan
            .skipped
            .iter()
            .map(|(reason, files)| format!("{} {}", output::thousands(*files), reason.replace('_', " ")));
        remarks.push(format!("skipped {}", reasons.collect::<Vec<_>>().join(", ")));
    }
    remarks.join("; ")
}

fn bar(listed: i64, expected: i64) -> String {
    const WIDTH: i64 = 20;
    let filled = if expected > 0 { (listed.saturating_mul(WIDTH) / expected).min(WIDTH) } else { WIDTH };
    let cells = (0..WIDTH).map(|cell| if cell < filled { '█' } else { '░' });
    format!("{} of about {}", cells.collect::<String>(), output::thousands(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_full_at_what_was_expected_and_beyond() {
        for (listed, expected, filled) in
            [(0, 100, 0), (49, 100, 9), (100, 100, 20), (150, 100, 20), (3, 0, 20)]
        {
            assert_eq!(bar(listed, expected).matches('█').count(), filled, "{listed} of {expected}");
        }
        assert!(bar(5, 1_234_567).ends_with("of about 1,234,567"));
    }

    #[test]
    fn durations_are_as_exact_as_they_are_short() {
        for (seconds, text) in [(0.04, "0.0s"), (59.94, "59.9s"), (61.5, "1m 1s"), (7200.0, "2h")] {
            assert_eq!(duration(seconds), text);
        }
    }
}
