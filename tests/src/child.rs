//! Child processes: they end with us, take no settings that we did not give, and say why they failed.

use std::{ffi::OsStr, process::Stdio, time::Duration};

use anyhow::Context;
use tokio::process::{Child, Command};

use crate::limit::within;

/// How long a program may take that is measured: the largest of the bench needs some minutes.
const LONGEST: Duration = Duration::from_secs(3600);

/// Lines of a failed program's messages that are shown.
const SHOWN_LINES: usize = 20;

/// A command that is killed when it is dropped, without those of our variables that would change what is measured.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        let foreign = ["LONGSHORE_", "OTEL_", "PG"];
        if name.to_str().is_some_and(|name| foreign.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(&name);
        }
    }
    command
}

/// Starts it.
pub fn start(mut command: Command) -> anyhow::Result<Child> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.spawn().with_context(|| format!("cannot start {program}"))
}

/// Waits for its end; gives what it printed, and its messages for whoever finds that its work is wrong.
pub async fn end(child: Child, what: &str) -> anyhow::Result<Printed> {
    let output = within(what, LONGEST, child.wait_with_output()).await?;
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        anyhow::bail!("{what} failed ({}):\n{}", output.status, last_lines(&messages));
    }
    Ok(Printed { output: String::from_utf8(output.stdout)?, messages })
}

/// What a program printed.
pub struct Printed {
    /// On stdout.
    pub output: String,
    /// On stderr.
    pub messages: String,
}

/// The end of a program's messages, where the cause is.
pub fn last_lines(messages: &str) -> String {
    let lines: Vec<&str> = messages.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}
