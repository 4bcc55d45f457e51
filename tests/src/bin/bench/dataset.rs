//! A dataset of one figure: its spec, the folder that is scanned, its table, and what a load must leave behind.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use longshore_tests::child;
use toml::{Table, toml};
use uuid::Uuid;

use crate::{
    bench::Bench,
    longshore::{Ran, Scan},
    rows::Rows,
};

/// Named after its figure, as its table is.
pub(crate) struct Dataset<'a> {
    bench: &'a Bench,
    name: &'static str,
    inbox: PathBuf,
}

/// Files, and what loading them must leave behind.
pub(crate) struct Load {
    pub(crate) files: Vec<PathBuf>,
    /// How many tasks the scanner makes of them.
    pub(crate) tasks: usize,
    /// All that the table holds then.
    pub(crate) rows: Rows,
    /// Rejected rows.
    pub(crate) rejected: u64,
    /// How many of the files end in a FAILED task, each of its own.
    pub(crate) failed: usize,
}

impl Load {
    /// Every row of every file is loaded.
    pub(crate) fn clean(files: Vec<PathBuf>, tasks: usize, rows: Rows) -> Self {
        Self { files, tasks, rows, rejected: 0, failed: 0 }
    }
}

impl<'a> Dataset<'a> {
    /// Applies the spec under the figure's name, with a folder of its own as the source, in which files need not settle.
    pub(crate) async fn create(bench: &'a Bench, name: &'static str, spec: Table) -> anyhow::Result<Self> {
        Self::create_settling(bench, name, spec, "0s").await
    }

    /// The same, with files that must settle.
    pub(crate) async fn create_settling(
        bench: &'a Bench,
        name: &'static str,
        spec: Table,
        settle: &str,
    ) -> anyhow::Result<Self> {
        let inbox = bench.folder.join("inbox");
        fs::create_dir_all(&inbox)?;
        Self::apply(bench, name, spec, &inbox, settle).await
    }

    /// Applies the spec under the figure's name, with the folder as its source, in which files need not settle.
    pub(crate) async fn over(
        bench: &'a Bench,
        name: &'static str,
        spec: Table,
        inbox: &Path,
    ) -> anyhow::Result<Self> {
        Self::apply(bench, name, spec, inbox, "0s").await
    }

    async fn apply(
        bench: &'a Bench,
        name: &'static str,
        mut spec: Table,
        inbox: &Path,
        settle: &str,
    ) -> anyhow::Result<Self> {
        let dataset = Self { bench, name, inbox: inbox.to_owned() };
        spec.insert("name".to_owned(), name.into());
        spec.insert("source".to_owned(), format!("file://{}", inbox.display()).into());
        spec.insert("target".to_owned(), toml! { table = (dataset.table()) }.into());
        spec.insert("discovery".to_owned(), toml! { settle = (settle) }.into());
        let path = bench.folder.join("spec.toml");
        fs::write(&path, toml::to_string(&spec)?)?;
        bench.longshore.apply(&path).await?;
        // No vacuum of one run's rows in the middle of the next.
        let statement = format!("ALTER TABLE {} SET (autovacuum_enabled = off)", dataset.table());
        bench.server.execute(&statement).await?;
        Ok(dataset)
    }

    /// Where Longshore loads to.
    pub(crate) fn table(&self) -> String {
        format!("reporting.{}", self.name)
    }

    /// The folder that is scanned.
    pub(crate) fn inbox(&self) -> &Path {
        &self.inbox
    }

    /// Scans it with the option.
    pub(crate) async fn scan(&self, option: &str) -> anyhow::Result<Scan> {
        self.bench.longshore.measured_scan(self.name, option).await
    }

    /// Rows per second of a worker at the load, rejected ones among them; its whole process counts.
    pub(crate) async fn rate(&self, load: &Load, concurrency: u32) -> anyhow::Result<f64> {
        let seconds = self.load(load, self.bench.longshore.timed_worker(concurrency)).await?.as_secs_f64();
        Ok((load.rows.count + load.rejected) as f64 / seconds)
    }

    /// How long a worker's process takes for the load.
    pub(crate) async fn milliseconds(&self, load: &Load, concurrency: u32) -> anyhow::Result<f64> {
        let elapsed = self.load(load, self.bench.longshore.timed_worker(concurrency)).await?;
        Ok(elapsed.as_secs_f64() * 1000.0)
    }

    /// Scans and publishes the files, empties the tables, lets `worker` run, and verifies what it left.
    pub(crate) async fn load<T: std::fmt::Debug>(
        &self,
        load: &Load,
        worker: impl Future<Output = anyhow::Result<Ran<T>>>,
    ) -> anyhow::Result<T> {
        let run = Uuid::new_v4().simple().to_string();
        let run_folder = self.inbox.join(&run);
        link_into(&run_folder, &load.files)?;
        self.bench.longshore.scan(self.name, load.tasks).await?;
        self.bench.server.start_even().await?;
        let Ran { value, messages } = worker.await?;
        if let Err(error) = self.verify(load, &run).await {
            anyhow::bail!(
                "{error:#}; measured was {value:?}; the worker's last messages:\n{}",
                child::last_lines(&messages)
            );
        }
        fs::remove_dir_all(run_folder)?;
        Ok(value)
    }

    async fn verify(&self, load: &Load, run: &str) -> anyhow::Result<()> {
        let server = &self.bench.server;
        load.rows.verify(server, &self.table()).await?;
        let expected = format!(
            "{} files LOADED, {} FAILED, 0 tasks open, {} rows rejected",
            load.files.len() - load.failed,
            load.failed,
            load.rejected
        );
        // Each run's files lie in a folder of their own: its name tells their tasks from those of other runs.
        let found = server
            .value(&format!(
                "WITH task AS (SELECT * FROM longshore.etl_task WHERE files LIKE '%/{run}/%'),
                 loaded AS (SELECT file_id, rows_rejected FROM longshore.file_load
                            JOIN longshore.file ON file.id = file_id WHERE uri LIKE '%/{run}/%')
                 SELECT format('%s files LOADED, %s FAILED, %s tasks open, %s rows rejected',
                     (SELECT count(*) FROM loaded),
                     (SELECT count(*) FROM task WHERE status = 'FAILED'),
                     (SELECT count(*) FROM task WHERE status NOT IN ('LOADED', 'FAILED')),
                     (SELECT count(*) FROM longshore.reject JOIN loaded USING (file_id)))"
            ))
            .await?;
        anyhow::ensure!(found == expected, "{found} instead of {expected}");
        Ok(())
    }
}

/// Hard links: new files to the scanner, the same pages in the machine's memory.
fn link_into(folder: &Path, files: &[PathBuf]) -> anyhow::Result<()> {
    fs::create_dir(folder)?;
    for (number, file) in files.iter().enumerate() {
        let name = file.file_name().and_then(|name| name.to_str()).context("a file without a name")?;
        fs::hard_link(file, folder.join(format!("{number}-{name}")))?;
    }
    Ok(())
}
