//! The `longshore` command, as a user would run it.

use std::{
    fmt,
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

/// A scan that has ended.
pub(crate) struct Scan {
    /// The whole process.
    pub(crate) elapsed: Duration,
    /// Of its memory.
    pub(crate) peak_mib: f64,
    report: Value,
}

impl Scan {
    /// Fails unless it counted so many files.
    pub(crate) fn expect(&self, listed: u64, new: u64, known: u64) -> anyhow::Result<()> {
        let counts = &self.report["scans"][0]["counts"];
        let found = ["listed", "new", "known"].map(|name| counts[name].as_u64());
        let expected = [listed, new, known].map(Some);
        anyhow::ensure!(found == expected, "listed, new and known should be {expected:?}: {}", self.report);
        Ok(())
    }
}

impl fmt::Display for Scan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.2} s, at most {:.1} MiB", self.elapsed.as_secs_f64(), self.peak_mib)
    }
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

    /// Asks for the numbers of the ledger: how long the process took, and what it said.
    pub(crate) async fn timed_status(&self) -> anyhow::Result<(Duration, Value)> {
        let started = Instant::now();
        let printed = self.run(&["status", "--json"]).await?;
        let elapsed = started.elapsed();
        Ok((elapsed, serde_json::from_str(&printed.output).context("longshore status --json")?))
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

    /// Scans the dataset with the option.
    pub(crate) async fn measured_scan(&self, dataset: &str, option: &str) -> anyhow::Result<Scan> {
        let command = self.command(&scan_arguments(dataset, option));
        let started = Instant::now();
        let child = child::start(command)?;
        let process_id = child.id().context("the scan has no process id")?;
        let (printed, peak_kib) = peak::until(process_id, child::end(child, "longshore scan")).await;
        let elapsed = started.elapsed();
        let report = serde_json::from_str(&printed?.output).context("longshore scan --json")?;
        Ok(Scan { elapsed, peak_mib: peak_kib as f64 / 1024.0, report })
    }

    /// The scan's command line, for the output.
    pub(crate) fn shown_scan(&self, dataset: &str, option: &str) -> String {
        format!("longshore {}", scan_arguments(dataset, option).join(" "))
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

fn scan_arguments<'a>(dataset: &'a str, option: &'a str) -> [&'a str; 4] {
    ["scan", dataset, option, "--json"]
}

fn worker_arguments(concurrency: &str) -> [&str; 4] {
    ["worker", "--drain", "--concurrency", concurrency]
}
