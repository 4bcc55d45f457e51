//! Settings of the worker.

use std::time::Duration;

use clap::Args;
use longshore_common::limits::Limits;

/// How a worker works.
#[derive(Debug, Clone, Args)]
pub struct WorkerConfig {
    /// Tasks that are loaded at once: the prefetch and the number of load connections
    #[arg(long, env = "LONGSHORE_CONCURRENCY", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256), value_name = "TASKS")]
    pub concurrency: u16,

    /// Exit when no published task is left, for a cron: with code 1 if a file FAILED in this run
    #[arg(long)]
    pub drain: bool,

    /// How long a stop lets running loads finish before they are given back: some seconds less than the platform waits before it
    /// kills (Kubernetes 30 s, `docker stop` 10 s)
    #[arg(long, env = "LONGSHORE_GRACE", default_value = "20s", value_parser = duration, value_name = "DURATION")]
    pub grace: Duration,

    /// What counts as hung, and as poison.
    #[command(flatten)]
    pub limits: Limits,

    /// For how long after its first failure a task is tried again before it is FAILED
    #[arg(long, env = "LONGSHORE_RETRY_FOR", default_value = "24h", value_parser = duration, value_name = "DURATION")]
    pub retry_for: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let allowed = "allowed is 0s to 30days, such as 30s or 24h";
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; {allowed}"))?;
    if duration <= Duration::from_secs(30 * 24 * 3600) { Ok(duration) } else { Err(allowed.to_owned()) }
}
