//! What bad files cost their batch: one in twenty fails, for four reasons in turns.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use toml::toml;

use super::{Figure, Goal};
use crate::{
    bench::Bench,
    data::{
        loans::{self, Wanted},
        spoiled::{self, Fault},
    },
    dataset::{Dataset, Load},
    pairs::{self, Measured, Side},
};

/// One batch, by the default limits.
const FILES: u64 = 1000;
const ROWS_PER_FILE: u64 = 100;
/// So many files, one is bad.
const ONE_BAD_IN: usize = 20;

pub(super) const FIGURE: Figure = Figure {
    name: "bad_files_vs_clean",
    goal: Goal::AtMost(1.5),
    unit: "ratio",
    measured_in: "ms",
    measure: |bench, figure| Box::pin(measure(bench, figure)),
};

async fn measure(bench: &Bench, figure: &Figure) -> anyhow::Result<Measured> {
    let mut spec = loans::spec()?;
    spec.insert("rejects".to_owned(), toml! { max_rows = (spoiled::MAX_REJECTS as i64) }.into());
    let dataset = Dataset::create(bench, figure.name, spec).await?;
    let constraint = format!("ALTER TABLE {} ADD {}", dataset.table(), spoiled::CONSTRAINT);
    bench.server.execute(&constraint).await?;
    let files = bench.scaled(FILES).min(FILES);
    let clean = loans(bench, files, &bench.folder.join("clean")).await?;
    let clean = Load::clean(clean.files, 1, clean.rows);
    let mixed = mixed(bench, &clean).await?;
    println!("{}", figure.name);
    println!("  ours    one batch of {files} files of {ROWS_PER_FILE} rows, {} of them bad:", mixed.failed);
    println!("          {}", Fault::ALL.map(|fault| fault.to_string()).join(", "));
    println!("  peer    ours as well: a batch of {files} good files");
    println!(
        "  both    {}; rejects.max_rows = {}, and the table has a {}",
        bench.longshore.shown_worker(1),
        spoiled::MAX_REJECTS,
        spoiled::CONSTRAINT
    );
    println!("          verified: the good files are loaded, each bad one is a FAILED task of its own\n");
    let ours = Side { name: "with bad files", measure: async || dataset.milliseconds(&mixed, 1).await };
    let peer = Side { name: "clean", measure: async || dataset.milliseconds(&clean, 1).await };
    pairs::measure(figure, bench.runs, ours, peer).await
}

async fn loans(bench: &Bench, files: u64, folder: &Path) -> anyhow::Result<loans::Loans> {
    loans::write(bench, &Wanted { files, rows: files * ROWS_PER_FILE, broken: 0 }, folder).await
}

/// As many files as in the clean batch, with bad ones evenly among the good ones.
async fn mixed(bench: &Bench, clean: &Load) -> anyhow::Result<Load> {
    let failed = clean.files.len().div_ceil(ONE_BAD_IN);
    let good = loans(bench, (clean.files.len() - failed) as u64, &bench.folder.join("good")).await?;
    let bad_folder = bench.folder.join("bad");
    fs::create_dir(&bad_folder)?;
    let bad = clean.files.iter().zip(Fault::ALL.iter().cycle()).take(failed);
    let bad = bad.map(|(file, fault)| write_bad(*fault, file, &bad_folder));
    let bad = bad.collect::<anyhow::Result<Vec<PathBuf>>>()?;
    let (mut good_files, mut bad_files) = (good.files.into_iter(), bad.into_iter());
    let next = |number: usize| {
        if number.is_multiple_of(ONE_BAD_IN) { bad_files.next() } else { good_files.next() }
    };
    let files: Vec<PathBuf> = (0..clean.files.len()).filter_map(next).collect();
    set_modified_in_order(&files)?;
    Ok(Load { failed, ..Load::clean(files, 1, good.rows) })
}

fn write_bad(fault: Fault, good: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let name = good.file_stem().unwrap_or_default().to_string_lossy();
    let path = folder.join(format!("{name}.{}", fault.suffix()));
    fs::write(&path, fault.spoil(&fs::read_to_string(good)?)?)?;
    Ok(path)
}

/// The scanner takes files by their age: older first.
fn set_modified_in_order(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut time = SystemTime::now() - Duration::from_secs(60);
    for file in files {
        File::options().append(true).open(file)?.set_modified(time)?;
        time += Duration::from_millis(1);
    }
    Ok(())
}
