//! The `longshore` command, as a user would run it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use serde_json::Value;
use tokio::{process::Command, time::Instant};

use crate::{
    child::{self, Printed},
    server::ScratchDatabase,
    workspace,
};

/// How to call it, with its settings.
pub(crate) struct Longshore {
    program: PathBuf,
    database_url: String,
    amqp_url: String,
    prefix: String,
}

impl Longshore {
    /// Works in the database and under its name on the broker.
    pub(crate) fn new(program: PathBuf, scratch: &ScratchDatabase, amqp_url: &str) -> Self {
        Self {
            program,
            database_url: scratch.url().to_string(),
            amqp_url: amqp_url.to_owned(),
            prefix: scratch.name().to_owned(),
        }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Creates the schema, and the loan dataset with its table, to be loaded from `inbox`.
    pub(crate) async fn prepare_loans(&self, inbox: &Path) -> anyhow::Result<()> {
        self.run(&["migrate"]).await?;
        let spec = workspace().join("datasets/loan_applications.toml");
        let mut command = self.command(&["dataset", "apply"]);
        command.arg(spec);
        command.env("LONGSHORE_INBOX", inbox).env("LONGSHORE_SETTLE", "0s");
        // Smaller than any file: each is a task of its own.
        command.env("LONGSHORE_BATCH_BYTES", "1 B");
        child::end(child::start(command)?, "longshore dataset apply").await?;
        Ok(())
    }

    /// Writes the files of loan applications into `folder` and gives the manifest.
    pub(crate) async fn sample(&self, files: u32, rows: u64, folder: &Path) -> anyhow::Result<Value> {
        let (files, rows) = (files.to_string(), rows.to_string());
        let mut command =
            self.command(&["sample", "--json", "--gzip-every", "0", "--files", &files, "--rows", &rows]);
        command.arg(folder);
        let printed = child::end(child::start(command)?, "longshore sample").await?;
        serde_json::from_str(&printed.output).context("longshore sample --json")
    }

    /// Finds the new files and publishes a task for each; there must be as many as expected.
    pub(crate) async fn scan(&self, expected_tasks: usize) -> anyhow::Result<()> {
        let printed = self.run(&["scan", "--flush", "--json"]).await?;
        let report: Value = serde_json::from_str(&printed.output).context("longshore scan --json")?;
        if report["published"].as_u64() != Some(expected_tasks as u64) {
            anyhow::bail!("the scan should have published {expected_tasks} tasks: {report}");
        }
        Ok(())
    }

    /// Runs a worker until no task is left: how long the process took, and its messages.
    pub(crate) async fn timed_worker(&self, concurrency: u32) -> anyhow::Result<(Duration, String)> {
        let command = self.command(&worker_arguments(&concurrency.to_string()));
        let started = Instant::now();
        let printed = child::end(child::start(command)?, "longshore worker").await?;
        Ok((started.elapsed(), printed.messages))
    }

    /// The worker's command line, for the output.
    pub(crate) fn shown_worker(&self, concurrency: u32) -> String {
        format!("longshore {}", worker_arguments(&concurrency.to_string()).join(" "))
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
