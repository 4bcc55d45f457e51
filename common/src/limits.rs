//! Limits that scanner and worker both go by.

use std::time::Duration;

use clap::Args;

/// When a load counts as hung, and a task as poison.
#[derive(Debug, Clone, Copy, Args)]
pub struct Limits {
    /// A load without progress for this long is given up and tried again; a worker or scanner that is silent for this long
    /// while it holds a lock loses it
    #[arg(long, env = "LONGSHORE_STALL_LIMIT", default_value = "60s", value_parser = stall_limit, value_name = "DURATION")]
    pub stall_limit: Duration,

    /// After how many dead workers a task is FAILED as poison
    #[arg(long, env = "LONGSHORE_MAX_DEATHS", default_value_t = 5, value_parser = clap::value_parser!(i32).range(1..=1000), value_name = "WORKERS")]
    pub max_deaths: i32,
}

fn stall_limit(text: &str) -> Result<Duration, String> {
    let allowed = "allowed is 1s to 1day";
    let limit = humantime::parse_duration(text).map_err(|error| format!("{error}; {allowed}"))?;
    let is_allowed = (Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(&limit);
    if is_allowed { Ok(limit) } else { Err(allowed.to_owned()) }
}
