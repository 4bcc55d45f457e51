//! The most memory that a worker takes, whatever it is given.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytesize::ByteSize;
use longshore_tests::Progress;
use toml::toml;

use super::{Figure, Goal};
use crate::{
    bench::Bench,
    data::{huge, wide},
    dataset::{Dataset, Load},
    pairs::Measured,
    rows::Rows,
};

const LOADS_AT_ONCE: usize = 4;
const FILE_BYTES: u64 = 2 << 30;
/// What a bomb gives at any scale: more than the 1 GiB from which on one is refused.
const BOMB_BYTES: u64 = 5 << 28;
/// A little shorter than `csv.max_record_bytes`.
const LONG_RECORD_BYTES: usize = 1000 << 10;
/// Rows that are made only once and repeated, in bytes.
const BLOCK_BYTES: usize = 4 << 20;

/// Writes a case's files.
type Make = fn(&Bench, &Path) -> anyhow::Result<Load>;

pub(super) const FIGURE: Figure = Figure {
    name: "worker_peak_rss_mib",
    goal: Goal::AtMost(64.0),
    unit: "MiB",
    measured_in: "MiB",
    measure: |bench, figure| Box::pin(measure(bench, figure)),
};

async fn measure(bench: &Bench, figure: &Figure) -> anyhow::Result<Measured> {
    let mut spec = wide::spec();
    // Bombs are small, and would share a task.
    spec.insert("batch".to_owned(), toml! { max_files = 1 }.into());
    let dataset = Dataset::create(bench, figure.name, spec).await?;
    print_conditions(bench, figure);
    let cases: [(&str, Make); 3] =
        [("large files", large_files), ("files of one line", files_of_one_line), ("gzip bombs", bombs)];
    let progress = Progress::new(figure.name, 2 * cases.len() as u64);
    let mut worst: f64 = 0.0;
    for (name, make) in cases {
        progress.begin(&format!("{name}: writing"));
        let folder = bench.folder.join("files");
        fs::create_dir(&folder)?;
        let load = make(bench, &folder)?;
        progress.begin(&format!("{name}: loading"));
        let peak = dataset.load(&load, bench.longshore.peak_of_worker(LOADS_AT_ONCE as u32)).await?;
        progress.say(&format!("{name}: {peak:.1} MiB"));
        worst = worst.max(peak);
        fs::remove_dir_all(folder)?;
    }
    Ok(Measured { values: vec![worst], ours: vec![worst], peer: Vec::new() })
}

fn print_conditions(bench: &Bench, figure: &Figure) {
    let (file, bomb) = (ByteSize(bench.scaled(FILE_BYTES)), ByteSize(BOMB_BYTES));
    println!("{}: VmHWM of the worker, the worst of three runs, each measured once", figure.name);
    println!(
        "  files   {LOADS_AT_ONCE} of {file} at once, rows of 30 quoted text columns, a block of 4 MiB repeated;"
    );
    println!("          {LOADS_AT_ONCE} of {file} at once, the header and one line, which is rejected;");
    println!(
        "          {LOADS_AT_ONCE} gzip bombs of over 1000:1 at once, {bomb} each, which must all be FAILED"
    );
    println!("  ours    {}\n", bench.longshore.shown_worker(LOADS_AT_ONCE as u32));
}

/// The same file under so many names: the scanner takes each for itself.
fn large_files(bench: &Bench, folder: &Path) -> anyhow::Result<Load> {
    let path = folder.join("large.csv");
    let (block, rows) = wide::block(BLOCK_BYTES)?;
    let blocks = huge::write(&path, &wide::header(), &block, bench.scaled(FILE_BYTES))?;
    let rows = Rows { count: rows * blocks * LOADS_AT_ONCE as u64, checksum: None };
    Ok(Load::clean(vec![path; LOADS_AT_ONCE], LOADS_AT_ONCE, rows))
}

fn files_of_one_line(bench: &Bench, folder: &Path) -> anyhow::Result<Load> {
    let path = folder.join("line.csv");
    huge::write(&path, &wide::header(), b"x", bench.scaled(FILE_BYTES))?;
    let load = Load::clean(vec![path; LOADS_AT_ONCE], LOADS_AT_ONCE, Rows { count: 0, checksum: None });
    Ok(Load { rejected: LOADS_AT_ONCE as u64, ..load })
}

/// Whatever is in them could be loaded or rejected within the limits: nothing but their size makes them fail.
fn bombs(_: &Bench, folder: &Path) -> anyhow::Result<Load> {
    let row = wide::row_of_one_letter(LONG_RECORD_BYTES);
    let contents: [(&str, &str, &[u8]); LOADS_AT_ONCE] =
        [("rows", "", &row), ("line", "", b"x"), ("quote", "\"", b"x"), ("nul", "", b"\0")];
    let write = |(name, start, unit): (&str, &str, &[u8])| {
        let path = folder.join(format!("{name}.csv.gz"));
        huge::write_bomb(&path, &(wide::header() + start), unit, BOMB_BYTES)?;
        Ok(path)
    };
    let files = contents.into_iter().map(write).collect::<anyhow::Result<Vec<PathBuf>>>()?;
    let load = Load::clean(files, LOADS_AT_ONCE, Rows { count: 0, checksum: None });
    Ok(Load { failed: LOADS_AT_ONCE, ..load })
}
