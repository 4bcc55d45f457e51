//! Wide rows of quoted text against `psql \copy`: nothing to type, all the work is in quotes.

use bytesize::ByteSize;
use longshore_tests::thousands;

use super::{Figure, Goal};
use crate::{
    bench::Bench,
    data::wide,
    dataset::{Dataset, Load},
    pairs::{self, Measured, Side},
    peer::PeerTable,
};

const ROWS: u64 = 400_000;

pub(super) const FIGURE: Figure = Figure {
    name: "wide_text_vs_psql",
    goal: Goal::AtLeast(1.0),
    unit: "ratio",
    measured_in: "rows/s",
    measure: |bench, figure| Box::pin(measure(bench, figure)),
};

async fn measure(bench: &Bench, figure: &Figure) -> anyhow::Result<Measured> {
    let dataset = Dataset::create(bench, figure.name, wide::spec()).await?;
    let peer = PeerTable::like(bench, &dataset).await?;
    let wide = wide::write(&bench.folder.join("wide.csv"), bench.scaled(ROWS))?;
    let commands = [peer.copy_command(&wide.file)];
    println!("{}", figure.name);
    let (size, rows) = (ByteSize(wide.bytes), thousands(wide.rows.count));
    println!(
        "  file    {size} and {rows} rows of 30 text columns, in the page cache; every field is quoted, in"
    );
    println!("          some commas, doubled quotes and line breaks");
    println!("  ours    {}", bench.longshore.shown_worker(1));
    println!("  peer    {}", peer.shown_copy(&commands[0]));
    println!("  tables  {}\n", PeerTable::SHOWN);
    let load = Load::clean(vec![wide.file], 1, wide.rows);
    let ours = Side { name: "ours", measure: async || dataset.rate(&load, 1).await };
    let peer = Side { name: "psql", measure: async || peer.rate(&commands, &load.rows).await };
    pairs::measure(figure, bench.runs, ours, peer).await
}
