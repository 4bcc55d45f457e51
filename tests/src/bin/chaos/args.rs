//! What `chaos` is asked to do.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Parser, ValueEnum};

use crate::{
    rounds::{Round, sabotage::Sabotage},
    world::{Discovery, Size},
};

/// Proves that no row is lost and none is loaded twice, whatever fails.
///
/// It restarts the servers that it is given, so these must be a stack of its own: `make chaos`.
/// Exit codes: 0 nothing found; 1 rows lost or twice, an edge not reached, anything else found, or a sabotage not caught; 2 a
/// wrong call.
#[derive(Parser)]
#[command(name = "chaos", max_term_width = 110)]
pub(crate) struct Args {
    /// The seed of files and faults [default: a new one]
    #[arg(long)]
    seed: Option<u32>,
    /// How often a process is killed at a random time [default: 200, with --quick 20]
    #[arg(long)]
    kills: Option<u32>,
    /// How often each server is restarted [default: 20, with --quick 2]
    #[arg(long)]
    restarts: Option<u32>,
    /// Only these rounds
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROUND")]
    rounds: Vec<Round>,
    /// The short form, of some minutes: less of everything
    #[arg(long)]
    quick: bool,
    /// Only prove that this sabotage is caught; can be given more than once
    #[arg(long, value_enum, conflicts_with = "rounds")]
    pub(crate) sabotage: Vec<Sabotage>,
    /// Leave files, logs and databases behind
    #[arg(long)]
    pub(crate) keep: bool,
    /// Postgres of a stack of its own
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: String,
    /// RabbitMQ of the same stack
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    pub(crate) amqp_url: String,
    /// A longshore with fail points [default: the one beside this executable]
    #[arg(long, env = "LONGSHORE_BIN", value_name = "FILE")]
    longshore_bin: Option<PathBuf>,
}

impl Args {
    /// The one that was given, or a new one: call it once.
    pub(crate) fn seed(&self) -> u32 {
        self.seed.unwrap_or_else(rand::random)
    }

    pub(crate) fn size(&self) -> Size {
        let (kills, restarts, stall_limit) = if self.quick { (20, 2, 5) } else { (200, 20, 60) };
        Size {
            kills: self.kills.unwrap_or(kills),
            restarts: self.restarts.unwrap_or(restarts),
            is_full: !self.quick,
            discovery: match self.quick {
                true => Discovery { files: 1_000, scans: 5, kills: 3 },
                false => Discovery { files: 20_000, scans: 50, kills: 20 },
            },
            stall_limit: Duration::from_secs(stall_limit),
        }
    }

    /// None if only sabotages are asked for.
    pub(crate) fn rounds(&self) -> Vec<Round> {
        match (self.rounds.is_empty(), self.sabotage.is_empty()) {
            (false, _) => self.rounds.clone(),
            (true, true) => Round::of_a_run(!self.quick),
            (true, false) => Vec::new(),
        }
    }

    /// Those that are to be caught; all in a run of all rounds.
    pub(crate) fn sabotages(&self) -> Vec<Sabotage> {
        match (self.rounds.is_empty(), self.sabotage.is_empty()) {
            (true, true) => Sabotage::value_variants().to_vec(),
            _ => self.sabotage.clone(),
        }
    }

    pub(crate) fn longshore_bin(&self) -> anyhow::Result<PathBuf> {
        let path = match &self.longshore_bin {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name("longshore"),
        };
        let build = "build it: cargo build -p longshore --features longshore/failpoints";
        path.canonicalize().with_context(|| format!("no {}; {build}", path.display()))
    }

    /// The command that does the same again.
    pub(crate) fn again(&self, seed: u32) -> String {
        let mut options = vec![format!("--seed {seed}")];
        options.extend(self.quick.then(|| "--quick".to_owned()));
        options.extend(self.kills.map(|kills| format!("--kills {kills}")));
        options.extend(self.restarts.map(|restarts| format!("--restarts {restarts}")));
        options.extend(self.rounds.iter().map(|round| format!("--rounds {}", name(round))));
        options.extend(self.sabotage.iter().map(|sabotage| format!("--sabotage {}", name(sabotage))));
        format!("make chaos ARGS='{}'", options.join(" "))
    }
}

/// As it is written on the command line.
pub(crate) fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
