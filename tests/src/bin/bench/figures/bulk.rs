//! Typed rows of large files against `psql \copy` of the same files into the same columns.

use bytesize::ByteSize;
use longshore_tests::thousands;
use toml::toml;

use super::{Figure, Goal};
use crate::{
    bench::Bench,
    data::loans::{self, Wanted},
    dataset::{Dataset, Load},
    pairs::{self, Measured, Side},
    peer::PeerTable,
};

/// Rows of a run.
pub(super) const ROWS: u64 = 2_000_000;

/// One file, one load.
pub(super) const ONE: Figure = Figure {
    name: "bulk_1_vs_psql",
    goal: Goal::AtLeast(1.4),
    unit: "ratio",
    measured_in: "rows/s",
    measure: |bench, figure| Box::pin(measure(bench, figure, 1)),
};

/// Two files at once, in one worker against two `psql`.
pub(super) const TWO: Figure = Figure {
    name: "bulk_2_vs_psql",
    goal: Goal::AtLeast(1.2),
    unit: "ratio",
    measured_in: "rows/s",
    measure: |bench, figure| Box::pin(measure(bench, figure, 2)),
};

async fn measure(bench: &Bench, figure: &Figure, loads: u32) -> anyhow::Result<Measured> {
    let mut spec = loans::spec()?;
    spec.insert("batch".to_owned(), toml! { max_files = 1 }.into());
    let dataset = Dataset::create(bench, figure.name, spec).await?;
    let peer = PeerTable::like(bench, &dataset).await?;
    let wanted = Wanted { files: loads.into(), rows: bench.scaled(ROWS), broken: 0 };
    let loans = loans::write(bench, &wanted, &bench.folder.join("loans")).await?;
    let commands: Vec<String> = loans.files.iter().map(|file| peer.copy_command(file)).collect();
    println!("{}: {loads} at once", figure.name);
    let (size, rows) = (ByteSize(loans.bytes), thousands(loans.rows.count));
    println!("  files   {loads}, together {size} and {rows} rows of 12 columns, in the page cache");
    println!("  ours    {}, a task a file", bench.longshore.shown_worker(loads));
    for command in &commands {
        println!("  peer    {}", peer.shown_copy(command));
    }
    println!("  tables  {}\n", PeerTable::SHOWN);
    let load = Load::clean(loans.files, loads as usize, loans.rows);
    let ours = Side { name: "ours", measure: async || dataset.rate(&load, loads).await };
    let peer = Side { name: "psql", measure: async || peer.rate(&commands, &load.rows).await };
    pairs::measure(figure, bench.runs, ours, peer).await
}
