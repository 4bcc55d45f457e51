use std::{io::IsTerminal, process::ExitCode, time::Duration};

use chrono::{DateTime, Utc};
use clap::Args;
use deadpool_postgres::Pool;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use longshore_common::{
    ledger::{self, BatchTrouble, FailingDataset, Overview, PostponedFiles, ShortListing, WaitingDataset},
    queue::QueueCounts,
    shutdown,
};
use longshore_scanner::wait_after_failure;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    connect::ServerArgs,
    output::{self, Table},
};

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    /// Show a live line until interrupted
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    #[command(flatten)]
    servers: ServerArgs,
}

#[derive(Debug, Serialize)]
struct Status {
    #[serde(flatten)]
    overview: Overview,
    /// `None` if RabbitMQ does not answer.
    queue: Option<QueueCounts>,
    /// Publishing waits for the end of RabbitMQ's alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    broker_alarm_since: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing: Vec<Failing>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<WaitingDataset>,
    /// Files that are FAILED because they have too few rows to replace the earlier version.
    #[serde(skip_serializing_if = "is_none")]
    too_few_rows: i64,
    /// Datasets whose waiting files cannot become tasks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_batched: Vec<BatchTrouble>,
    /// Datasets whose last scan listed nothing, or much less than the one before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    short_listings: Vec<ShortListing>,
    /// Datasets with names that the watermark does not wait for any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    postponed: Vec<PostponedFiles>,
}

fn is_none(number: &i64) -> bool {
    *number == 0
}

#[derive(Debug, Serialize)]
struct Failing {
    #[serde(flatten)]
    dataset: FailingDataset,
    /// When the scanner service tries again, unless it has done so since.
    next_time: DateTime<Utc>,
}

pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let (database, queue) = args.servers.checked("longshore status")?;
    let timeout = args.servers.database.wait.connect_timeout;
    let pool = database.connected_pool(1, timeout).await?;
    if args.watch {
        return watch(&pool).await;
    }
    let client = pool.get().await?;
    let overview = ledger::overview(&client).await?;
    let broker_alarm_since = ledger::broker_alarm_since(&client).await?;
    let failing = ledger::failing_datasets(&client).await?.into_iter().map(failing).collect();
    let waiting = ledger::waiting_datasets(&client).await?;
    let too_few_rows = ledger::files_with_too_few_rows(&client).await?;
    // What the books say is shown also while RabbitMQ is away: that is when one asks.
    let counts = queue.counts().await;
    let status = Status {
        overview,
        queue: counts.as_ref().ok().copied(),
        broker_alarm_since,
        failing,
        waiting,
        too_few_rows,
        not_batched: ledger::batch_troubles(&client).await?,
        short_listings: ledger::short_listings(&client).await?,
        postponed: ledger::datasets_with_postponed(&client).await?,
    };
    if args.json {
        output::print_json(&status)?;
    } else {
        print(&status)?;
    }
    counts.map(|_| ExitCode::SUCCESS)
}

fn failing(dataset: FailingDataset) -> Failing {
    let took = (dataset.last_time - dataset.last_started_time).to_std().unwrap_or_default();
    Failing { next_time: dataset.last_time + wait_after_failure(dataset.kind, took), dataset }
}

fn print(status: &Status) -> anyhow::Result<()> {
    let Overview { files, tasks, rows, after_load, .. } = &status.overview;
    let mut lines: Vec<(&str, Vec<(&str, i64)>)> = vec![
        ("files", vec![("SCANNED", files.scanned), ("SENT_FOR_ETL", files.sent_for_etl)]),
        (
            "tasks",
            vec![
                ("NEW", tasks.new),
                ("PROCESSING", tasks.processing),
                ("LOADED", tasks.loaded),
                ("FAILED", tasks.failed),
            ],
        ),
        ("rows", vec![("read", rows.read), ("loaded", rows.loaded), ("rejected", rows.rejected)]),
    ];
    if after_load.open > 0 {
        lines.push(("after load", vec![("open", after_load.open), ("failing", after_load.failing)]));
    }
    if status.too_few_rows > 0 {
        lines.push(("too few rows", vec![("FAILED files", status.too_few_rows)]));
    }
    if let Some(queue) = status.queue {
        lines.push(("queue", vec![("ready", queue.ready.into()), ("consumers", queue.consumers.into())]));
    }
    let mut table = Table::new(&["", "STATE", "COUNT"], &[2]);
    for (what, states) in lines {
        for (index, (state, count)) in states.into_iter().enumerate() {
            table.add_row([
                if index == 0 { what } else { "" }.to_owned(),
                state.to_owned(),
                output::thousands(count),
            ]);
        }
    }
    output::print(&table.to_string())?;
    if let Some(since) = status.broker_alarm_since {
        output::print(&output::broker_alarm(since))?;
    }
    for Failing { dataset: FailingDataset { dataset, kind, since, error, .. }, next_time } in &status.failing
    {
        output::print(&format!(
            "{dataset}: its {} fails since {}: {}; the scanner service tries again from {} on",
            kind.noun(),
            output::time(*since),
            output::one_line(error),
            output::time(*next_time),
        ))?;
    }
    for WaitingDataset { dataset, since, reason, next_try_time, tasks, .. } in &status.waiting {
        output::print(&format!(
            "{dataset}: {} waiting since {} for the target table, no file is at fault: {}; the next one is tried from {} on",
            output::counted(tasks.unsigned_abs(), "task"),
            output::time(*since),
            output::one_line(reason),
            output::time(*next_try_time),
        ))?;
    }
    print_remarks(status)
}

fn print_remarks(status: &Status) -> anyhow::Result<()> {
    for BatchTrouble { dataset, since, error, .. } in &status.not_batched {
        output::print(&format!(
            "{dataset}: its files cannot become tasks since {}: {}; the scanner service tries again every half minute",
            output::time(*since),
            output::one_line(error)
        ))?;
    }
    for ShortListing { dataset, kind, time, listed, listed_before } in &status.short_listings {
        output::print(&format!(
            "{dataset}: its {} of {} listed {}, where an earlier one listed {}: is the source mounted where the scanner runs?",
            kind.noun(),
            output::time(*time),
            output::thousands(*listed),
            output::thousands(*listed_before)
        ))?;
    }
    for PostponedFiles { dataset, names, since, uris } in &status.postponed {
        let uris: Vec<String> = uris.iter().map(|uri| output::one_line(uri)).collect();
        output::print(&format!(
            "{dataset}: {} could not be read or had not settled for more than a day, the first since {}; scans go on and look at each by its \
             name: {}",
            output::counted(names.unsigned_abs(), "name"),
            output::time(*since),
            uris.join(", ")
        ))?;
    }
    Ok(())
}

/// On a terminal one line that moves; elsewhere a line whenever something has changed. Its last look follows the signal
/// that ends it, so that what stays on the screen is how things stand.
async fn watch(pool: &Pool) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal()?;
    let is_terminal = std::io::stderr().is_terminal();
    let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // As wide as the terminal and no wider: a line that wraps cannot be drawn over.
    line.set_style(ProgressStyle::with_template("{wide_msg}")?);
    let (mut rate, mut last) = (Rate::default(), String::new());
    loop {
        let is_last_look = stop.is_cancelled();
        let overview = ledger::overview(&*pool.get().await?).await?;
        let counts = counts(&overview);
        let per_second = rate.update(overview.rows.read + overview.rows_in_progress);
        line.set_message(format!(
            "{} {counts}, {} rows/s",
            progress(&overview),
            output::thousands(per_second)
        ));
        let mut is_read = true;
        if !is_terminal && counts != last {
            is_read = output::print_to_reader(&counts)?;
            last = counts;
        }
        if is_last_look || !is_read {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            () = stop.cancelled() => {}
        }
    }
    line.abandon();
    Ok(ExitCode::SUCCESS)
}

fn counts(overview: &Overview) -> String {
    let Overview { files, tasks, rows, rows_in_progress, .. } = overview;
    let failed = if tasks.failed > 0 { format!(" ({} failed)", tasks.failed) } else { String::new() };
    format!(
        "{} files, {}/{} tasks{failed}, {} rows, {} rejected",
        output::thousands(files.scanned + files.sent_for_etl),
        output::thousands(tasks.loaded + tasks.failed),
        output::thousands(tasks.new + tasks.processing + tasks.loaded + tasks.failed),
        output::thousands(rows.read + rows_in_progress),
        output::thousands(rows.rejected),
    )
}

/// A bar of the tasks that have ended.
fn progress(overview: &Overview) -> String {
    const WIDTH: i64 = 20;
    let tasks = &overview.tasks;
    let ended = tasks.loaded + tasks.failed;
    let all = ended + tasks.new + tasks.processing;
    let filled = if all > 0 { ended * WIDTH / all } else { 0 };
    (0..WIDTH).map(|cell| if cell < filled { '█' } else { '░' }).collect()
}

/// Rows per second over the last few looks.
#[derive(Default)]
struct Rate {
    looks: std::collections::VecDeque<(Instant, i64)>,
}

impl Rate {
    fn update(&mut self, rows: i64) -> i64 {
        let now = Instant::now();
        self.looks.push_back((now, rows));
        while self.looks.len() > 5 {
            self.looks.pop_front();
        }
        let Some((first_time, first_rows)) = self.looks.front() else { return 0 };
        let seconds = now.duration_since(*first_time).as_secs_f64();
        if seconds > 0.0 { ((rows - first_rows).max(0) as f64 / seconds) as i64 } else { 0 }
    }
}
