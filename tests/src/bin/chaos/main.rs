//! `chaos`: throws faults at real scanners and workers, and holds what is loaded against what was generated.
//!
//! Prints the conditions, then a table, and appends one JSON line a figure to `target/chaos.jsonl`. A round is one module
//! in `rounds`; what must hold afterwards is in `oracle`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic"))]

mod args;
mod census;
mod crew;
mod edge;
mod findings;
mod manifest;
mod oracle;
mod picture;
mod queue;
mod report;
mod rounds;
mod service;
mod site;
mod wait;
mod watch;
mod work;
mod world;

use std::{fs, process::ExitCode};

use clap::Parser;
use futures_util::future;
use longshore_common::shutdown;
use longshore_tests::Servers;

use crate::{
    args::Args,
    findings::Findings,
    rounds::{Round, edges, sabotage},
    watch::STILL,
    world::{World, lock_stack, workspace},
};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal()?;
    let _lock = lock_stack()?;
    let world = world(args)?;
    println!("{}\n", report::conditions(&world));
    let findings = tokio::select! {
        findings = all_rounds(&world, args) => findings,
        // Dropping the rounds kills their processes.
        () = stop.cancelled() => {
            println!("stopped; logs and files: {}", world.folder.display());
            return Ok(ExitCode::from(130));
        }
    };
    println!("\n{}\n", report::table(&findings, &world));
    report::append(&workspace().join("target/chaos.jsonl"), &findings, &world)?;
    for violation in &findings.violations {
        println!("VIOLATION {violation}");
    }
    let nothing_found = findings.violations.is_empty();
    if nothing_found && !world.keep {
        fs::remove_dir_all(&world.folder)?;
    } else {
        println!("logs and files: {}", world.folder.display());
    }
    println!("again: {}", args.again(world.seed));
    Ok(if nothing_found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn world(args: &Args) -> anyhow::Result<World> {
    let seed = args.seed();
    let folder = workspace().join("target/chaos").join(seed.to_string());
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(World {
        program: args.longshore_bin()?,
        servers: Servers::from_environment()?,
        database_url: args.database_url.clone(),
        amqp_url: args.amqp_url.clone(),
        folder,
        seed,
        size: args.size(),
        rounds: args.rounds(),
        keep: args.keep,
    })
}

/// Runs what was asked for: first, side by side, what leaves the servers alone and measures no time.
async fn all_rounds(world: &World, args: &Args) -> Findings {
    let (beside, alone): (Vec<Round>, Vec<Round>) =
        world.rounds.iter().partition(|round| round.disturbs_nobody());
    let run = async |round: Round| {
        Findings::of(watch::over(STILL, Box::pin(round.run(world))).await, &args::name(&round))
    };
    let sabotages = async {
        let found = watch::over(STILL, async { Ok(all_sabotages(world, args).await) }).await;
        Findings::of(found, "the sabotages")
    };
    let (found, mut findings) = future::join(future::join_all(beside.into_iter().map(run)), sabotages).await;
    found.into_iter().for_each(|found| findings.add(found));
    for round in alone {
        findings.add(run(round).await);
    }
    findings
}

async fn all_sabotages(world: &World, args: &Args) -> Findings {
    let sabotages = args.sabotages();
    let mut findings = sabotage::run(world, &sabotages).await;
    if !world.rounds.contains(&Round::Edges) {
        // What is found with a sabotage must not be found without.
        let cases = sabotages.iter().map(|sabotage| sabotage.unmasked_by()).collect();
        findings.add(edges::run_cases(world, cases).await);
    }
    findings
}
