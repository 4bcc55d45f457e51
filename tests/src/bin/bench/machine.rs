//! What was measured, and on what.

use std::{fs, path::Path, thread};

use anyhow::Context;
use longshore_tests::child;
use url::Url;

use crate::{psql, server::Server, workspace};

/// The conditions that hold for all figures, for people to read.
pub(crate) async fn conditions(database_url: &str, program: &Path, runs: u32) -> anyhow::Result<String> {
    let server = Server::connect(&Url::parse(database_url).context("DATABASE_URL")?).await?;
    server.refuse_unsafe_settings()?;
    let settings: Vec<String> =
        server.settings().iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let lines = [
        format!("commit    {}", commit().await?),
        format!("program   {}", program.display()),
        format!("machine   {} CPUs{}, load {}", thread::available_parallelism()?, cpu_model(), load()),
        format!("Postgres  {}; {}", server.version(), settings.join(", ")),
        format!("peer      {}", psql::version().await?),
        format!("runs      {} of each side in turns after one to warm up; values are medians", runs),
        "clock     whole processes, start to exit, after scan, TRUNCATE and CHECKPOINT".to_owned(),
        "proof     count and checksum of the rows, files, FAILED tasks and rejects, after every run"
            .to_owned(),
    ];
    Ok(lines.join("\n"))
}

async fn commit() -> anyhow::Result<String> {
    let commit = git(&["rev-parse", "HEAD"]).await?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"]).await?;
    Ok(if changes.is_empty() { commit } else { format!("{commit} with changes that are not committed") })
}

async fn git(arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = child::command("git");
    command.args(arguments).current_dir(workspace());
    Ok(child::end(child::start(command)?, "git").await?.output.trim().to_owned())
}

/// `, Model`, where the system tells.
fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map(|(_, name)| format!(", {name}")).unwrap_or_default()
}

/// The load of the last minute: what else kept the machine busy.
fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned()
}
