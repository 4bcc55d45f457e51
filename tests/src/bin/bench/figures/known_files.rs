//! What a scan costs that finds nothing new.

use std::{process::Stdio, rc::Rc};

use longshore_tests::{Progress, child, thousands};
use tokio::time::Instant;

use super::{Figure, Goal};
use crate::{
    bench::Bench,
    data::{loans, tree::Tree},
    dataset::Dataset,
    longshore::Scan,
    pairs::{self, Measured, Side},
};

const FILES: u64 = 100_000;

/// Against `find`, which looks at every file as well, and compares it with nothing.
pub(super) const VS_FIND: Figure = Figure {
    name: "rescan_100k_vs_find",
    goal: Goal::AtMost(5.0),
    unit: "ratio",
    measured_in: "ms",
    measure: |bench, figure| Box::pin(measure_pairs(bench, figure)),
};

/// A million, in seconds.
pub(super) const MILLION: Figure = Figure {
    name: "rescan_1m_s",
    goal: Goal::AtMost(15.0),
    unit: "s",
    measured_in: "s",
    measure: |bench, figure| Box::pin(measure_million(bench, figure, |scan| scan.elapsed.as_secs_f64())),
};

/// The peak of its memory.
pub(super) const MILLION_RSS: Figure = Figure {
    name: "rescan_1m_rss_mib",
    goal: Goal::AtMost(128.0),
    unit: "MiB",
    measured_in: "MiB",
    measure: |bench, figure| Box::pin(measure_million(bench, figure, |scan| scan.peak_mib)),
};

async fn measure_pairs(bench: &Bench, figure: &Figure) -> anyhow::Result<Measured> {
    let tree = Tree::write(figure.name, &bench.folder, bench.scaled(FILES)).await?;
    let dataset = with_known_files(bench, figure, &tree).await?;
    println!("  peer    find {} {}\n", tree.path().display(), FIND.join(" "));
    let ours = async || Ok(rescan(&dataset, &tree).await?.elapsed.as_secs_f64() * 1000.0);
    let ours = Side { name: "ours", measure: ours };
    let peer = Side { name: "find", measure: async || find(&tree).await };
    pairs::measure(figure, bench.runs, ours, peer).await
}

async fn measure_million(
    bench: &Bench,
    figure: &Figure,
    value: impl Fn(&Scan) -> f64,
) -> anyhow::Result<Measured> {
    let tree: Rc<Tree> = bench.million.tree(figure.name).await?;
    let dataset = with_known_files(bench, figure, &tree).await?;
    println!();
    let progress = Progress::new(figure.name, u64::from(bench.runs) + 1);
    let mut values = Vec::new();
    for run in 0..=bench.runs {
        let step = if run == 0 { "warm-up".to_owned() } else { format!("run {run}/{}", bench.runs) };
        progress.begin(&step);
        let scan = rescan(&dataset, &tree).await?;
        progress.say(&format!("{step}: {scan}"));
        if run > 0 {
            values.push(value(&scan));
        }
    }
    Ok(Measured { ours: values.clone(), values, peer: Vec::new() })
}

/// All files recorded and batched, and the tables as they are some minutes later.
async fn with_known_files<'a>(bench: &'a Bench, figure: &Figure, tree: &Tree) -> anyhow::Result<Dataset<'a>> {
    let dataset = Dataset::over(bench, figure.name, loans::spec()?, tree.path()).await?;
    let files = thousands(tree.files);
    println!("{}", figure.name);
    println!(
        "  files   {files}, a thousand a folder, all known, in tasks that are published and wait; the books"
    );
    println!("          vacuumed; folders and inodes in memory");
    println!("  ours    {}, which compares every file", bench.longshore.shown_scan(figure.name, "--all"));
    let progress = Progress::new(figure.name, 1);
    progress.begin(&format!("recording {files} files"));
    let scan = dataset.scan("--flush").await?;
    scan.expect(tree.files, tree.files, 0)?;
    progress.say(&format!("recorded {files} files: {scan}"));
    bench.server.execute("VACUUM (ANALYZE) longshore.file, longshore.task").await?;
    bench.server.execute("CHECKPOINT").await?;
    Ok(dataset)
}

async fn rescan(dataset: &Dataset<'_>, tree: &Tree) -> anyhow::Result<Scan> {
    let scan = dataset.scan("--all").await?;
    scan.expect(tree.files, 0, tree.files)?;
    Ok(scan)
}

const FIND: [&str; 4] = ["-type", "f", "-printf", "%p %s %T@\\n"];

/// Milliseconds, written to nowhere.
async fn find(tree: &Tree) -> anyhow::Result<f64> {
    let mut command = child::command("find");
    command.arg(tree.path()).args(FIND).stdout(Stdio::null());
    let started = Instant::now();
    child::end(child::start(command)?, "find").await?;
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}
