//! What rejected rows cost: one in twenty against none.

use longshore_tests::thousands;
use toml::toml;

use super::{Figure, Goal};
use crate::{
    bench::Bench,
    data::loans::{self, Wanted},
    dataset::{Dataset, Load},
    pairs::{self, Measured, Side},
};

const ROWS: u64 = 1_000_000;

pub(super) const FIGURE: Figure = Figure {
    name: "rejects_5pct_vs_none",
    goal: Goal::AtLeast(0.7),
    unit: "ratio",
    measured_in: "rows/s",
    measure: |bench, figure| Box::pin(measure(bench, figure)),
};

async fn measure(bench: &Bench, figure: &Figure) -> anyhow::Result<Measured> {
    let mut spec = loans::spec()?;
    spec.insert("rejects".to_owned(), toml! { max_rows = 1_000_000_000 max_ratio = 1.0 }.into());
    let dataset = Dataset::create(bench, figure.name, spec).await?;
    let rows = bench.scaled(ROWS);
    let broken = rows / 20;
    let with = Wanted { files: 1, rows, broken };
    let with = loans::write(bench, &with, &bench.folder.join("with")).await?;
    let none = loans::write(bench, &Wanted { files: 1, rows, broken: 0 }, &bench.folder.join("none")).await?;
    println!("{}", figure.name);
    let (rows, broken_rows) = (thousands(rows), thousands(broken));
    println!(
        "  ours    one file of {rows} rows, of which {broken_rows} are rejected, for six reasons in turns"
    );
    println!("  peer    ours as well: one file of {rows} good rows");
    println!("  both    {}; limits raised so that none is reached:", bench.longshore.shown_worker(1));
    println!("          rejects.max_rows = 1000000000, max_ratio = 1.0; rejected rows count as rows\n");
    let with = Load { rejected: broken, ..Load::clean(with.files, 1, with.rows) };
    let none = Load::clean(none.files, 1, none.rows);
    let ours = Side { name: "with rejects", measure: async || dataset.rate(&with, 1).await };
    let peer = Side { name: "none", measure: async || dataset.rate(&none, 1).await };
    pairs::measure(figure, bench.runs, ours, peer).await
}
