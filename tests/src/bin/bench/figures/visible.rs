//! How soon the rows of a file can be seen that was written into a watched folder.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use longshore_tests::{Progress, child, median};
use toml::toml;

use super::{Figure, Goal};
use crate::{
    bench::Bench,
    data::loans::{self, Loans, Wanted},
    dataset::Dataset,
    pairs::Measured,
};

const FILES: u64 = 200;
const ROWS_PER_FILE: u64 = 100;
const SETTLE: Duration = Duration::from_secs(1);
/// Between two files.
const PACE: Duration = Duration::from_millis(50);
/// Between two looks at the table. No moment in the books is the one of a commit, so the table itself is asked.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// After the last file was written; nothing takes so long unless it is broken.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

pub(super) const FIGURE: Figure = Figure {
    name: "visible_p99_s",
    goal: Goal::AtMost(2.0),
    unit: "s",
    measured_in: "ms",
    measure: |bench, figure| Box::pin(measure(bench, figure)),
};

async fn measure(bench: &Bench, figure: &Figure) -> anyhow::Result<Measured> {
    let mut spec = loans::spec()?;
    spec.insert("schedule".to_owned(), "continuous".into());
    spec.insert("batch".to_owned(), toml! { max_wait = "0s" }.into());
    let dataset =
        Dataset::create_settling(bench, figure.name, spec, &format!("{}s", SETTLE.as_secs())).await?;
    let files = bench.scaled(FILES);
    let wanted = Wanted { files, rows: files * ROWS_PER_FILE, broken: 0 };
    let loans = loans::write(bench, &wanted, &bench.folder.join("written")).await?;
    println!("{}: modified time + settle → rows seen by SELECT, the 99th of 100", figure.name);
    println!("  files   {files} of {ROWS_PER_FILE} rows, one each {PACE:?}, settle {SETTLE:?}, max_wait 0");
    println!("  ours    longshore scanner, longshore worker; ours: the median\n");
    let logs = ["scanner", "worker"].map(|service| bench.folder.join(format!("{service}.log")));
    let _scanner = bench.longshore.start_service(&["scanner"], &logs[0])?;
    let _worker = bench.longshore.start_service(&["worker"], &logs[1])?;
    let progress = Progress::new(figure.name, u64::from(bench.runs) + 1);
    let mut measured = Measured { values: Vec::new(), ours: Vec::new(), peer: Vec::new() };
    for run in 0..=bench.runs {
        let step = if run == 0 { "warm-up".to_owned() } else { format!("run {run}/{}", bench.runs) };
        progress.begin(&step);
        let delays = delays(bench, &dataset, &loans, run).await.with_context(|| said(&logs))?;
        let (middle, p99) = (median(&delays), percentile_99(&delays));
        progress.say(&format!("{step}: median {:.0} ms, p99 {:.0} ms", middle * 1000.0, p99 * 1000.0));
        if run > 0 {
            measured.values.push(p99);
            measured.ours.push(middle * 1000.0);
        }
    }
    Ok(measured)
}

/// Of each file in seconds.
async fn delays(bench: &Bench, dataset: &Dataset<'_>, loans: &Loans, run: u32) -> anyhow::Result<Vec<f64>> {
    bench.server.start_even().await?;
    let (inbox, files) = (dataset.inbox().to_owned(), loans.files.clone());
    let writing = tokio::task::spawn_blocking(move || write_slowly(&files, &inbox, run));
    let query = format!(
        "SELECT uri FROM longshore.file WHERE id IN (SELECT DISTINCT _file_id FROM {})",
        dataset.table()
    );
    let deadline = SystemTime::now() + PACE * loans.files.len() as u32 + GIVE_UP_AFTER;
    let mut seen_times: HashMap<String, SystemTime> = HashMap::new();
    while seen_times.len() < loans.files.len() {
        anyhow::ensure!(
            SystemTime::now() < deadline,
            "{} of {} files were loaded",
            seen_times.len(),
            loans.files.len()
        );
        let uris = bench.server.texts(&query).await?;
        let now = SystemTime::now();
        for uri in uris {
            seen_times.entry(uri).or_insert(now);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    loans.rows.verify(&bench.server, &dataset.table()).await?;
    let delay = |(path, modified): (PathBuf, SystemTime)| {
        let uri = format!("file://{}", path.display());
        let seen = seen_times.get(&uri).with_context(|| format!("{uri} was not seen"))?;
        let settled = modified + SETTLE;
        // Negative if it was seen before it had settled, which it must not.
        let delay = seen.duration_since(settled).with_context(|| format!("{uri} was loaded too early"))?;
        Ok(delay.as_secs_f64())
    };
    writing.await??.into_iter().map(delay).collect()
}

/// Gives each file's path and modified time.
fn write_slowly(files: &[PathBuf], inbox: &Path, run: u32) -> anyhow::Result<Vec<(PathBuf, SystemTime)>> {
    let mut written = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let path = inbox.join(format!("{run}-{number}.csv"));
        fs::copy(file, &path)?;
        written.push((path.clone(), fs::metadata(&path)?.modified()?));
        std::thread::sleep(PACE);
    }
    Ok(written)
}

/// The value that 99 of 100 do not exceed.
fn percentile_99(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (values.len() * 99).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

fn said(logs: &[PathBuf]) -> String {
    let last = |log: &PathBuf| child::last_lines(&fs::read_to_string(log).unwrap_or_default());
    logs.iter().map(last).collect::<Vec<_>>().join("\n---\n")
}
