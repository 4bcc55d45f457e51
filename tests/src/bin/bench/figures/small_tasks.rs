//! What a task costs beside its rows: many tasks of one tiny file each.

use longshore_tests::{Progress, thousands};
use toml::toml;

use super::{Figure, Goal};
use crate::{
    bench::Bench,
    data::loans::{self, Wanted},
    dataset::{Dataset, Load},
    pairs::Measured,
};

const TASKS: u64 = 3000;
const ROWS_PER_TASK: u64 = 3;
const LOADS_AT_ONCE: u32 = 8;

pub(super) const FIGURE: Figure = Figure {
    name: "small_tasks_per_s",
    goal: Goal::AtLeast(300.0),
    unit: "tasks/s",
    measured_in: "tasks/s",
    measure: |bench, figure| Box::pin(measure(bench, figure)),
};

async fn measure(bench: &Bench, figure: &Figure) -> anyhow::Result<Measured> {
    let mut spec = loans::spec()?;
    spec.insert("batch".to_owned(), toml! { max_files = 1 }.into());
    let dataset = Dataset::create(bench, figure.name, spec).await?;
    let tasks = bench.scaled(TASKS);
    let wanted = Wanted { files: tasks, rows: tasks * ROWS_PER_TASK, broken: 0 };
    let written = loans::write(bench, &wanted, &bench.folder.join("tiny")).await?;
    println!("{}", figure.name);
    println!("  ours    {} tasks of one file of {ROWS_PER_TASK} rows", thousands(tasks));
    println!("          {}\n", bench.longshore.shown_worker(LOADS_AT_ONCE));
    let load = Load::clean(written.files, tasks as usize, written.rows);
    let progress = Progress::new(figure.name, u64::from(bench.runs) + 1);
    let mut values = Vec::new();
    for run in 0..=bench.runs {
        let step = if run == 0 { "warm-up".to_owned() } else { format!("run {run}/{}", bench.runs) };
        progress.begin(&step);
        let value = tasks as f64 * 1000.0 / dataset.milliseconds(&load, LOADS_AT_ONCE).await?;
        progress.say(&format!("{step}: {value:.1} {}", figure.measured_in));
        if run > 0 {
            values.push(value);
        }
    }
    Ok(Measured { ours: values.clone(), values, peer: Vec::new() })
}
