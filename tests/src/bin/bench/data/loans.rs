//! The loan applications, as `longshore sample` writes them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Table;

use crate::{
    bench::Bench,
    rows::{Checksum, Rows, TABLE},
    workspace,
};

/// Where the dataset that ships loads to, as the manifest's SQL says it.
const SHIPPED_TABLE: &str = "reporting.loan_applications";

/// The spec that ships.
pub(crate) fn spec() -> anyhow::Result<Table> {
    let path = workspace().join("datasets/loan_applications.toml");
    Ok(fs::read_to_string(path)?.parse()?)
}

/// So many rows in so many files, some broken on purpose.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) files: u64,
    pub(crate) rows: u64,
    pub(crate) broken: u64,
}

/// Files of loan applications.
pub(crate) struct Loans {
    pub(crate) files: Vec<PathBuf>,
    /// Of all files together.
    pub(crate) bytes: u64,
    /// The good ones.
    pub(crate) rows: Rows,
}

/// What `longshore sample --json` says of its files.
#[derive(Deserialize)]
struct Manifest {
    good: u64,
    bytes: u64,
    checksum: String,
    checksum_sql: String,
}

/// Writes them into the folder. The same rows for the same numbers, and the first rows of any number are the same.
pub(crate) async fn write(bench: &Bench, wanted: &Wanted, folder: &Path) -> anyhow::Result<Loans> {
    let manifest: Manifest = serde_json::from_value(bench.longshore.sample(wanted, folder).await?)?;
    let Manifest { good, bytes, checksum, checksum_sql } = manifest;
    anyhow::ensure!(
        checksum_sql.contains(SHIPPED_TABLE),
        "the checksum is not one of {SHIPPED_TABLE}: {checksum_sql}"
    );
    let checksum = Checksum { value: checksum, query: checksum_sql.replace(SHIPPED_TABLE, TABLE) };
    let rows = Rows { count: good, checksum: Some(checksum) };
    Ok(Loans { files: files_below(folder)?, bytes, rows })
}

/// All files below the folder, in the order of their names.
fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.sort();
    Ok(files)
}
