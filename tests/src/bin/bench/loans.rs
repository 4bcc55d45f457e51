//! The loan applications: files, our table and the peer's, and the proof that a run loaded every row.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use uuid::Uuid;

use crate::{Bench, child, psql};

/// Where Longshore loads to.
const OUR_TABLE: &str = "reporting.loan_applications";
/// Where the peer loads to.
const PEER_TABLE: &str = "peer.loan_applications";

/// Files of loan applications, to be loaded by both sides.
pub(crate) struct Loans<'a> {
    bench: &'a Bench,
    /// What Longshore scans. A run's files are put here under a name that it has not seen.
    inbox: PathBuf,
    files: Vec<PathBuf>,
    copy_commands: Vec<String>,
    manifest: Manifest,
}

/// What `longshore sample --json` says of its files.
#[derive(Deserialize)]
struct Manifest {
    rows: u64,
    bytes: u64,
    checksum: String,
    checksum_sql: String,
}

impl<'a> Loans<'a> {
    /// Writes so many files, and creates the tables.
    pub(crate) async fn prepare(bench: &'a Bench, files: u32) -> anyhow::Result<Self> {
        let inbox = bench.folder.join("inbox");
        let data = bench.folder.join(format!("loans-{files}"));
        fs::create_dir_all(&inbox)?;
        bench.longshore.prepare_loans(&inbox).await?;
        let columns = create_peer_table(bench).await?;
        let manifest = serde_json::from_value(bench.longshore.sample(files, bench.rows, &data).await?)?;
        let files = files_below(&data)?;
        let copy_commands = files.iter().map(|file| psql::copy_command(PEER_TABLE, &columns, file)).collect();
        Ok(Self { bench, inbox, files, copy_commands, manifest })
    }

    /// Rows of all files.
    pub(crate) fn rows(&self) -> u64 {
        self.manifest.rows
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.manifest.bytes
    }

    /// The peer's commands, one a file.
    pub(crate) fn copy_commands(&self) -> &[String] {
        &self.copy_commands
    }

    /// Loads the files with one worker: how long its process took.
    pub(crate) async fn time_ours(&self, concurrency: u32) -> anyhow::Result<Duration> {
        let run_folder = self.put_into_inbox()?;
        self.bench.longshore.scan(self.files.len()).await?;
        self.start_even().await?;
        let (elapsed, messages) = self.bench.longshore.timed_worker(concurrency).await?;
        if let Err(error) = self.verify(OUR_TABLE).await {
            anyhow::bail!("{error:#}; the worker's last messages:\n{}", child::last_lines(&messages));
        }
        fs::remove_dir_all(run_folder)?;
        Ok(elapsed)
    }

    /// Loads the files with one `psql` a file, all at once: how long until the last ended.
    pub(crate) async fn time_peer(&self) -> anyhow::Result<Duration> {
        self.start_even().await?;
        let elapsed = self.bench.psql.timed(&self.copy_commands).await?;
        self.verify(PEER_TABLE).await?;
        Ok(elapsed)
    }

    /// Hard links: new files to the scanner, the same pages in the machine's memory.
    fn put_into_inbox(&self) -> anyhow::Result<PathBuf> {
        let run_folder = self.inbox.join(Uuid::new_v4().simple().to_string());
        fs::create_dir(&run_folder)?;
        for (number, file) in self.files.iter().enumerate() {
            fs::hard_link(file, run_folder.join(format!("{number}.csv")))?;
        }
        Ok(run_folder)
    }

    /// Both tables empty and nothing left to write: every run finds the server the same.
    async fn start_even(&self) -> anyhow::Result<()> {
        self.bench.server.execute(&format!("TRUNCATE {OUR_TABLE}, {PEER_TABLE}")).await?;
        self.bench.server.checkpoint().await
    }

    async fn verify(&self, table: &str) -> anyhow::Result<()> {
        let Manifest { rows, checksum, checksum_sql, .. } = &self.manifest;
        let server = &self.bench.server;
        let count = server.value(&format!("SELECT count(*) FROM {table}")).await?;
        anyhow::ensure!(count == rows.to_string(), "{table} has {count} rows instead of {rows}");
        anyhow::ensure!(
            checksum_sql.contains(OUR_TABLE),
            "the checksum is not one of {OUR_TABLE}: {checksum_sql}"
        );
        let found = server.value(&checksum_sql.replace(OUR_TABLE, table)).await?;
        anyhow::ensure!(
            found == *checksum,
            "the rows of {table} have the checksum {found} instead of {checksum}"
        );
        Ok(())
    }
}

/// Makes the peer's table like ours; gives the columns that a file fills.
///
/// The file does not have the two columns of lineage: defaults fill them, so that both sides store the same columns.
async fn create_peer_table(bench: &Bench) -> anyhow::Result<String> {
    let statements = format!(
        "CREATE SCHEMA IF NOT EXISTS peer;
         CREATE TABLE IF NOT EXISTS {PEER_TABLE} (LIKE {OUR_TABLE} INCLUDING ALL);
         ALTER TABLE {PEER_TABLE} ALTER COLUMN _file_id SET DEFAULT 0, ALTER COLUMN _line SET DEFAULT 0;
         -- No vacuum of one run's rows in the middle of the next.
         ALTER TABLE {OUR_TABLE} SET (autovacuum_enabled = off);
         ALTER TABLE {PEER_TABLE} SET (autovacuum_enabled = off)"
    );
    bench.server.execute(&statements).await?;
    let columns = format!(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
         WHERE attrelid = '{PEER_TABLE}'::regclass AND attnum > 0 AND attname NOT IN ('_file_id', '_line')"
    );
    bench.server.value(&columns).await
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
