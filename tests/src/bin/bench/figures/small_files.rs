//! What a small file costs beside its rows: many of them against one file of the same rows.

use longshore_tests::thousands;

use super::{Figure, Goal};
use crate::{
    bench::Bench,
    data::loans::{self, Wanted},
    dataset::{Dataset, Load},
    pairs::{self, Measured, Side},
};

const FILES: u64 = 10_000;
const ROWS_PER_FILE: u64 = 100;
/// The default of `batch.max_files`, which such files reach long before `batch.max_bytes`.
const FILES_PER_TASK: usize = 1000;

pub(super) const FIGURE: Figure = Figure {
    name: "small_files_vs_one",
    goal: Goal::AtLeast(0.6),
    unit: "ratio",
    measured_in: "rows/s",
    measure: |bench, figure| Box::pin(measure(bench, figure)),
};

async fn measure(bench: &Bench, figure: &Figure) -> anyhow::Result<Measured> {
    let dataset = Dataset::create(bench, figure.name, loans::spec()?).await?;
    let files = bench.scaled(FILES);
    let rows = files * ROWS_PER_FILE;
    let many = Wanted { files, rows, broken: 0 };
    let many = loans::write(bench, &many, &bench.folder.join("many")).await?;
    let one = loans::write(bench, &Wanted { files: 1, rows, broken: 0 }, &bench.folder.join("one")).await?;
    let tasks = many.files.len().div_ceil(FILES_PER_TASK);
    println!("{}", figure.name);
    let (files, rows) = (thousands(files), thousands(rows));
    println!("  ours    {files} files of {ROWS_PER_FILE} rows in {tasks} tasks, by the default limits");
    println!("  peer    ours as well: one file of the same {rows} rows");
    println!("  both    {}\n", bench.longshore.shown_worker(1));
    let many = Load::clean(many.files, tasks, many.rows);
    let one = Load::clean(one.files, 1, one.rows);
    let ours = Side { name: "small files", measure: async || dataset.rate(&many, 1).await };
    let peer = Side { name: "one file", measure: async || dataset.rate(&one, 1).await };
    pairs::measure(figure, bench.runs, ours, peer).await
}
