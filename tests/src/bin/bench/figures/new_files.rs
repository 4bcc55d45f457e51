//! What a million new files cost until they are all in tasks.

use longshore_tests::{Progress, thousands};

use super::{Figure, Goal};
use crate::{bench::Bench, data::loans, dataset::Dataset, pairs::Measured};

/// Each takes long enough that more of them tell nothing new.
const MAX_RUNS: u32 = 3;

pub(super) const FIGURE: Figure = Figure {
    name: "enlist_1m_s",
    goal: Goal::AtMost(90.0),
    unit: "s",
    measured_in: "s",
    measure: |bench, figure| Box::pin(measure(bench, figure)),
};

async fn measure(bench: &Bench, figure: &Figure) -> anyhow::Result<Measured> {
    let tree = bench.million.tree(figure.name).await?;
    let dataset = Dataset::over(bench, figure.name, loans::spec()?, tree.path()).await?;
    let runs = bench.runs.min(MAX_RUNS);
    println!("{}: {runs} runs, each on empty books", figure.name);
    println!("  files   {}, a thousand a folder", thousands(tree.files));
    println!("  ours    {}, which also publishes", bench.longshore.shown_scan(figure.name, "--flush"));
    println!("          verified: every file is in a task\n");
    let progress = Progress::new(figure.name, u64::from(runs));
    let mut values = Vec::new();
    for run in 1..=runs {
        progress.begin(&format!("run {run}/{runs}"));
        bench.server.execute("TRUNCATE longshore.task CASCADE").await?;
        bench.server.execute("UPDATE longshore.dataset SET watermark = NULL").await?;
        bench.server.execute("CHECKPOINT").await?;
        let scan = dataset.scan("--flush").await?;
        progress.say(&format!("run {run}/{runs}: {scan}"));
        scan.expect(tree.files, tree.files, 0)?;
        let batched = "SELECT count(*) FROM longshore.scanner WHERE status = 'SENT_FOR_ETL'";
        let batched = bench.server.value(batched).await?;
        anyhow::ensure!(batched == tree.files.to_string(), "{batched} of {} files are in tasks", tree.files);
        values.push(scan.elapsed.as_secs_f64());
    }
    Ok(Measured { ours: values.clone(), values, peer: Vec::new() })
}
