//! `chaos`: throws faults at real scanners and workers, and holds what is loaded against what was generated.
//!
//! Prints the conditions, then a table, and appends one JSON line a figure to `target/chaos.jsonl`. A round is one module
//! in `rounds`; what must hold afterwards is in `oracle`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic"))]

mod census;
mod crew;
mod edge;
mod findings;
mod manifest;
mod oracle;
mod queue;
mod report;
mod rounds;
mod service;
mod site;
mod wait;
mod work;
mod world;

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use futures_util::future;
use longshore_common::shutdown;
use longshore_tests::Servers;

use crate::{
    findings::Findings,
    rounds::{
        Round, edges,
        sabotage::{self, Sabotage},
    },
    world::{Size, World, lock_stack, workspace},
};

/// Proves that no row is lost and none is loaded twice, whatever fails.
///
/// It restarts the servers that it is given, so these must be a stack of its own: `make chaos`.
/// Exit codes: 0 nothing found; 1 rows lost or twice, an edge not reached, anything else found, or a sabotage not caught; 2 a
/// wrong call.
#[derive(Parser)]
#[command(name = "chaos", max_term_width = 110)]
struct Args {
    /// The seed of files and faults [default: a new one]
    #[arg(long)]
    seed: Option<u64>,
    /// How often a process is killed at a random time [default: 200, with --quick 20]
    #[arg(long)]
    kills: Option<u32>,
    /// How often each server is restarted [default: 20, with --quick 2]
    #[arg(long)]
    restarts: Option<u32>,
    /// Only these rounds
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROUND")]
    rounds: Vec<Round>,
    /// The short form, some minutes long
    #[arg(long)]
    quick: bool,
    /// Only prove that this sabotage is caught; can be given more than once
    #[arg(long, value_enum, conflicts_with = "rounds")]
    sabotage: Vec<Sabotage>,
    /// Leave files, logs and databases behind
    #[arg(long)]
    keep: bool,
    /// Postgres of a stack of its own
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// RabbitMQ of the same stack
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    amqp_url: String,
    /// A longshore with fail points [default: the one beside this executable]
    #[arg(long, env = "LONGSHORE_BIN", value_name = "FILE")]
    longshore_bin: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(args).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal()?;
    let _lock = lock_stack()?;
    let world = world(&args)?;
    println!("{}\n", report::conditions(&world));
    let again = again(&args, world.seed);
    let ended = tokio::select! {
        ended = all_rounds(&world, &args) => ended,
        // Dropping the rounds kills their processes.
        () = stop.cancelled() => return Ok(ExitCode::from(130)),
    };
    let (findings, missed) = match ended {
        Ok(ended) => ended,
        Err(error) => {
            println!("logs and files: {}\nagain: {again}", world.folder.display());
            return Err(error);
        }
    };
    println!("\n{}", report::table(&findings, &world));
    if args.sabotage.is_empty() && args.rounds.is_empty() && !args.quick {
        report::append(&workspace().join("target/chaos.jsonl"), &findings, &world)?;
    }
    for violation in &findings.violations {
        println!("VIOLATION {violation}");
    }
    for sabotage in &missed {
        println!("VIOLATION the sabotage {} was not caught", sabotage.name());
    }
    let is_proved = findings.violations.is_empty() && missed.is_empty();
    if is_proved && !args.keep {
        fs::remove_dir_all(&world.folder)?;
    } else {
        println!("logs and files: {}", world.folder.display());
    }
    println!("again: {again}");
    Ok(if is_proved { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn world(args: &Args) -> anyhow::Result<World> {
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let folder = workspace().join("target/chaos").join(seed.to_string());
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let (kills, restarts) = if args.quick { (20, 2) } else { (200, 20) };
    Ok(World {
        program: longshore_bin(args)?,
        servers: Servers::from_environment()?,
        database_url: args.database_url.clone(),
        amqp_url: args.amqp_url.clone(),
        folder,
        seed,
        size: Size {
            kills: args.kills.unwrap_or(kills),
            restarts: args.restarts.unwrap_or(restarts),
            is_full: !args.quick,
            stall_limit: Duration::from_secs(if args.quick { 5 } else { 60 }),
        },
        keep: args.keep,
        rounds: rounds(args),
    })
}

fn longshore_bin(args: &Args) -> anyhow::Result<PathBuf> {
    let path = match &args.longshore_bin {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("longshore"),
    };
    let build = "build it: cargo build -p longshore --features longshore/failpoints";
    path.canonicalize().with_context(|| format!("no {}; {build}", path.display()))
}

/// The command that does the same again.
fn again(args: &Args, seed: u64) -> String {
    let mut options = vec![format!("--seed {seed}")];
    options.extend(args.quick.then(|| "--quick".to_owned()));
    options.extend(args.kills.map(|kills| format!("--kills {kills}")));
    options.extend(args.restarts.map(|restarts| format!("--restarts {restarts}")));
    let named = |name: &str, value: Option<clap::builder::PossibleValue>| {
        value.map(|value| format!("--{name} {}", value.get_name()))
    };
    options.extend(args.rounds.iter().filter_map(|round| named("rounds", round.to_possible_value())));
    options
        .extend(args.sabotage.iter().filter_map(|sabotage| named("sabotage", sabotage.to_possible_value())));
    format!("make chaos ARGS='{}'", options.join(" "))
}

fn rounds(args: &Args) -> Vec<Round> {
    match (args.rounds.is_empty(), args.sabotage.is_empty()) {
        (false, _) => args.rounds.clone(),
        (true, true) => Round::of_a_run(!args.quick),
        (true, false) => Vec::new(),
    }
}

/// Runs what was asked for; gives what was found, and the sabotages that were not caught.
async fn all_rounds(world: &World, args: &Args) -> anyhow::Result<(Findings, Vec<Sabotage>)> {
    if !args.sabotage.is_empty() {
        // What is found with a sabotage must not be found without.
        let cases = args.sabotage.iter().map(|sabotage| sabotage.unmasked_by()).collect();
        let findings = edges::run_cases(world, cases).await?;
        return Ok((findings, sabotage::run(world, &args.sabotage).await?));
    }
    let (beside, alone): (Vec<Round>, Vec<Round>) =
        world.rounds.iter().partition(|round| round.disturbs_nobody());
    let mut findings = Findings::default();
    for found in future::join_all(beside.into_iter().map(|round| run_round(world, round))).await {
        findings.add(found?);
    }
    let sabotages = if args.rounds.is_empty() { &sabotage::ALL[..] } else { &[] };
    let missed = sabotage::run(world, sabotages).await?;
    for round in alone {
        findings.add(run_round(world, round).await?);
    }
    Ok((findings, missed))
}

async fn run_round(world: &World, round: Round) -> anyhow::Result<Findings> {
    round.run(world).await.with_context(|| format!("round {round:?}"))
}
