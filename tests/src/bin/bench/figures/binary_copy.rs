//! Typed rows against the fastest that the server has: its own COPY of a file of the same rows, already encoded.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::Context;
use bytesize::ByteSize;
use longshore_tests::thousands;
use tempfile::TempDir;

use super::{Figure, Goal, bulk::ROWS};
use crate::{
    bench::Bench,
    data::loans::{self, Wanted},
    dataset::{Dataset, Load},
    pairs::{self, Measured, Side},
    peer::PeerTable,
};

pub(super) const FIGURE: Figure = Figure {
    name: "bulk_vs_binary_copy",
    goal: Goal::AtLeast(0.9),
    unit: "ratio",
    measured_in: "rows/s",
    measure: |bench, figure| Box::pin(measure(bench, figure)),
};

async fn measure(bench: &Bench, figure: &Figure) -> anyhow::Result<Measured> {
    let dataset = Dataset::create(bench, figure.name, loans::spec()?).await?;
    let peer = PeerTable::like(bench, &dataset).await?;
    let wanted = Wanted { files: 1, rows: bench.scaled(ROWS), broken: 0 };
    let loans = loans::write(bench, &wanted, &bench.folder.join("loans")).await?;
    let size = ByteSize(loans.bytes);
    let load = Load::clean(loans.files, 1, loans.rows);
    let server_folder = server_folder()?;
    let encoded = encode(bench, &dataset, &load, server_folder.path()).await?;
    let commands = [format!("COPY {} FROM {encoded} (FORMAT binary)", peer.name)];
    println!("{}", figure.name);
    println!(
        "  file    {size} and {} rows of 12 columns, in the page cache; the peer's has the same rows in",
        thousands(load.rows.count)
    );
    println!("          Postgres' binary format with both columns of lineage, as COPY wrote them");
    println!("  ours    {}", bench.longshore.shown_worker(1));
    println!("  peer    {}", bench.psql.shown(&commands[0]));
    println!("  tables  the same columns and types; autovacuum off on both\n");
    let ours = Side { name: "ours", measure: async || dataset.rate(&load, 1).await };
    let peer = Side { name: "COPY", measure: async || peer.rate(&commands, &load.rows).await };
    pairs::measure(figure, bench.runs, ours, peer).await
}

/// Where the server, which is another user, can write. Only its owner can remove what others put there.
fn server_folder() -> anyhow::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("longshore-bench-").tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o1777))?;
    Ok(folder)
}

/// Lets the server write the rows of one load; gives the file as an SQL literal.
async fn encode(bench: &Bench, dataset: &Dataset<'_>, load: &Load, folder: &Path) -> anyhow::Result<String> {
    dataset.load(load, bench.longshore.timed_worker(1)).await?;
    let file = format!("'{}'", folder.join("rows.bin").display());
    let statement = format!("COPY {} TO {file} (FORMAT binary)", dataset.table());
    bench.server.execute(&statement).await.with_context(|| {
        format!(
            "the server cannot write to {}: it must run on this machine, and the user must be superuser \
             or in pg_read_server_files and pg_write_server_files",
            folder.display()
        )
    })?;
    Ok(file)
}
