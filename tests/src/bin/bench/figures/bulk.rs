//! Typed rows of large files against `psql \copy` of the same files into the same columns.

use bytesize::ByteSize;

use super::Figure;
use crate::{
    Bench,
    loans::Loans,
    pairs::{self, Measured},
    report::thousands,
};

/// One file, one load.
pub(super) const ONE: Figure = Figure {
    name: "bulk_1_vs_psql",
    goal: 1.4,
    unit: "ratio",
    measure: |bench, figure| Box::pin(measure(bench, figure, 1)),
};

/// Two files at once, in one worker against two `psql`.
pub(super) const TWO: Figure = Figure {
    name: "bulk_2_vs_psql",
    goal: 1.2,
    unit: "ratio",
    measure: |bench, figure| Box::pin(measure(bench, figure, 2)),
};

async fn measure(bench: &Bench, figure: &Figure, loads: u32) -> anyhow::Result<Measured> {
    let loans = Loans::prepare(bench, loads).await?;
    print_conditions(bench, figure, &loans, loads);
    let ours = async || loans.time_ours(loads).await;
    let peer = async || loans.time_peer().await;
    pairs::measure(figure.name, bench.runs, loans.rows(), ours, peer).await
}

fn print_conditions(bench: &Bench, figure: &Figure, loans: &Loans<'_>, loads: u32) {
    let size = ByteSize(loans.bytes());
    println!("{}: {loads} at once", figure.name);
    println!(
        "  files   {loads}, together {size} and {} rows of 12 columns, in the page cache",
        thousands(loans.rows())
    );
    println!("  ours    {}, a task a file", bench.longshore.shown_worker(loads));
    for command in loans.copy_commands() {
        println!("  peer    {}", bench.psql.shown(command));
    }
    println!(
        "  tables  the same columns and types; _file_id and _line, which no file has, are filled by Longshore"
    );
    println!("          with the lineage, and by DEFAULT 0 in the peer's table; autovacuum off on both");
    println!(
        "  clock   whole processes, start to exit, after TRUNCATE and CHECKPOINT; count and checksum of the rows"
    );
    println!("          are verified after every run\n");
}
