//! The `longshore` command, as a user would run it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use longshore_tests::child::{self, Printed};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    time::Instant,
};

use crate::{data::loans, peak, server::ScratchDatabase};

/// How to call it, with its settings.
pub(crate) struct Longshore {
    program: PathBuf,
    database_url: String,
    amqp_url: String,
    prefix: String,
}

/// A worker that has ended.
pub(crate) struct Ran<T> {
    /// What was measured.
    pub(crate) value: T,
    /// For whoever finds that its work is wrong.
    pub(crate) messages: String,
}

impl Longshore {
    /// Works in the database and under its name on the broker.
    pub(crate) fn new(program: &Path, scratch: &ScratchDatabase, amqp_url: &str) -> Self {
        Self {
            program: program.to_owned(),
            database_url: scratch.url().to_string(),
            amqp_url: amqp_url.to_owned(),
            prefix: scratch.name().to_owned(),
        }
    }

    /// Creates the schema.
    pub(crate) async fn migrate(&self) -> anyhow::Result<()> {
        self.run(&["migrate"]).await.map(|_| ())
    }

    /// Stores the spec and creates its table.
    pub(crate) async fn apply(&self, spec: &Path) -> anyhow::Result<()> {
        let mut command = self.command(&["dataset", "apply"]);
        command.arg(spec);
        child::end(child::start(command)?, "longshore dataset apply").await?;
        Ok(())
    }

    /// Writes files of loan applications into `folder` and gives the manifest.
    pub(crate) async fn sample(&self, wanted: &loans::Wanted, folder: &Path) -> anyhow::Result<Value> {
        let mut command = self.command(&["sample", "--json", "--gzip-every", "0"]);
        let numbers = [("--files", wanted.files), ("--rows", wanted.rows), ("--broken", wanted.broken)];
        for (flag, number) in numbers {
            command.args([flag, &number.to_string()]);
        }
        command.arg(folder);
        let printed = child::end(child::start(command)?, "longshore sample").await?;
        serde_json::from_str(&printed.output).context("longshore sample --json")
    }

    /// Finds the dataset's new files and publishes their tasks; there must be as many as expected.
    pub(crate) async fn scan(&self, dataset: &str, expected_tasks: usize) -> anyhow::Result<()> {
        let printed = self.run(&["scan", dataset, "--flush", "--json"]).await?;
        let report: Value = serde_json::from_str(&printed.output).context("longshore scan --json")?;
        if report["published"].as_u64() != Some(expected_tasks as u64) {
            anyhow::bail!("the scan should have published {expected_tasks} tasks: {report}");
        }
        Ok(())
    }

    /// Runs a worker until no task is left: how long the process took.
    pub(crate) async fn timed_worker(&self, concurrency: u32) -> anyhow::Result<Ran<Duration>> {
        let command = self.command(&worker_arguments(&concurrency.to_string()));
        let started = Instant::now();
        let printed = child::end(child::start(command)?, "longshore worker").await?;
        Ok(Ran { value: started.elapsed(), messages: printed.messages })
    }

    /// Runs a worker until no task is left: the peak of its memory in MiB.
    pub(crate) async fn peak_of_worker(&self, concurrency: u32) -> anyhow::Result<Ran<f64>> {
        let child = child::start(self.command(&worker_arguments(&concurrency.to_string())))?;
        let process_id = child.id().context("the worker has no process id")?;
        let (printed, peak_kib) = peak::until(process_id, child::end(child, "longshore worker")).await;
        Ok(Ran { value: peak_kib as f64 / 1024.0, messages: printed?.messages })
    }

    /// The worker's command line, for the output.
    pub(crate) fn shown_worker(&self, concurrency: u32) -> String {
        format!("longshore {}", worker_arguments(&concurrency.to_string()).join(" "))
    }

    /// Starts a service, which ends when it is dropped; what it says goes to the file.
    pub(crate) fn start_service(&self, arguments: &[&str], log: &Path) -> anyhow::Result<Child> {
        let log = File::create(log)?;
        let mut command = self.command(arguments);
        command.stdout(log.try_clone()?).stderr(log);
        child::start(command)
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<Printed> {
        child::end(child::start(self.command(arguments))?, &format!("longshore {}", arguments.join(" ")))
            .await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = child::command(&self.program);
        command.args(arguments);
        command.env("DATABASE_URL", &self.database_url).env("AMQP_URL", &self.amqp_url);
        command.env("LONGSHORE_AMQP_PREFIX", &self.prefix);
        command
    }
}

fn worker_arguments(concurrency: &str) -> [&str; 4] {
    ["worker", "--drain", "--concurrency", concurrency]
}
