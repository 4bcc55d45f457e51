//! Control over the private servers that `scripts/stack` runs: what a test breaks, and mends again.
//!
//! Tests that share their servers use only what concerns their own queues and connections.

mod management;
mod postgres;
mod rabbitmq;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, bail, ensure};
use tokio::process::Command;

use crate::limit::within;

use management::Management;
pub use rabbitmq::QueueState;

/// How long a server may take to end or to come back.
const STACK_LIMIT: Duration = Duration::from_secs(180);

/// The servers of the stack in whose environment we run.
pub struct Servers {
    amqp_url: String,
    management: Management,
    /// The folder of the stack: its name is the last part.
    stack_dir: PathBuf,
}

impl Servers {
    /// The servers that the variables of `scripts/stack env` name. A missing one is an error, nothing is asked of the servers.
    pub fn from_environment() -> anyhow::Result<Self> {
        variable("DATABASE_URL")?;
        Ok(Self {
            amqp_url: variable("AMQP_URL")?,
            management: Management::from_environment()?,
            stack_dir: variable("LONGSHORE_STACK_DIR")?.into(),
        })
    }

    /// Runs `scripts/stack COMMAND NAME ARGUMENT…`; gives what it prints.
    async fn stack(&self, command: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let (home, name) = (self.stack_dir.parent(), self.stack_dir.file_name());
        let (home, name) = home.zip(name).context("LONGSHORE_STACK_DIR is no folder of a stack")?;
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/stack"));
        script
            .arg(command)
            .arg(name)
            .args(arguments)
            .env("LONGSHORE_STACK_HOME", home)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let what = format!("scripts/stack {command} {arguments:?}");
        let output = within(&what, STACK_LIMIT, script.output()).await.context("cannot run scripts/stack")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "scripts/stack {command} {arguments:?} failed: {}", said.trim());
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn variable(name: &str) -> anyhow::Result<String> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => bail!("{name} is not set: run this by scripts/stack, or after eval \"$(scripts/stack env)\""),
    }
}
