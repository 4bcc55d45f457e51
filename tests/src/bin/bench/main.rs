//! `bench`: Longshore and its peers at the same work, on the same servers, in turns.
//!
//! Prints the conditions, then a table, and appends one JSON line a figure to `target/bench.jsonl`. Whatever it needs it
//! makes for itself and removes again. A figure is one module in `figures`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic"))]

mod bench;
mod data;
mod dataset;
mod figures;
mod longshore;
mod machine;
mod million;
mod pairs;
mod peak;
mod peer;
mod psql;
mod queue;
mod report;
mod rows;
mod server;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    rc::Rc,
};

use anyhow::Context;
use clap::{Parser, builder::PossibleValuesParser};
use longshore_common::shutdown;
use tokio_util::sync::CancellationToken;

use crate::{
    bench::Bench,
    figures::Figure,
    longshore::Longshore,
    million::Million,
    pairs::Measured,
    psql::Psql,
    server::{ScratchDatabase, Server},
};

/// Measures Longshore beside its peers, and holds the figures against their goals.
///
/// Exit codes: 0 measured, whether the goals are met or not; 1 something failed or rows were missing; 2 a wrong call.
#[derive(Parser)]
#[command(name = "bench", max_term_width = 110)]
struct Args {
    /// Measure only this figure; can be given more than once
    #[arg(long, value_name = "FIGURE", value_parser = PossibleValuesParser::new(figures::ALL.map(|figure| figure.name)))]
    only: Vec<String>,
    /// Timed runs of each side of a figure, after one of each to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// How much of the rows, files and bytes of a run; less than all is for trying out, and not written to bench.jsonl
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Postgres, without TLS; the user must be allowed to create databases and to run CHECKPOINT
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// RabbitMQ
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    amqp_url: String,
    /// The longshore to measure [default: the one beside this executable]
    #[arg(long, env = "LONGSHORE_BIN", value_name = "FILE")]
    longshore_bin: Option<PathBuf>,
}

fn scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0001..=1.0).contains(&scale) { Ok(scale) } else { Err("allowed is 0.0001 to 1".to_owned()) }
}

// One thread: the bench waits while others work, and should take nothing from them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal()?;
    let program = longshore_bin(args)?;
    println!("{}\n", machine::conditions(&args.database_url, &program, args.runs).await?);
    let is_chosen =
        |figure: &&Figure| args.only.is_empty() || args.only.iter().any(|name| name == figure.name);
    let million = Rc::new(Million::new(workspace().join("target"), args.scale));
    let (mut results, mut failed) = (Vec::new(), Vec::new());
    for figure in figures::ALL.iter().filter(is_chosen) {
        match measure(args, &program, figure, &million, &stop).await {
            Ok(Some(measured)) => {
                if args.scale == 1.0 {
                    report::append(&workspace().join("target/bench.jsonl"), figure, &measured)?;
                }
                results.push((figure, measured));
            }
            // Ended by Ctrl-C.
            Ok(None) => return Ok(ExitCode::from(130)),
            // The others count without it.
            Err(error) => {
                eprintln!("bench: {}: {error:#}", figure.name);
                failed.push(figure.name);
            }
        }
    }
    println!("{}", report::table(&results));
    anyhow::ensure!(failed.is_empty(), "not measured, for what is said above: {}", failed.join(", "));
    Ok(ExitCode::SUCCESS)
}

/// Measures a figure and cleans up however that ends; `None` if it was told to stop.
async fn measure(
    args: &Args,
    program: &Path,
    figure: &Figure,
    million: &Rc<Million>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Measured>> {
    let scratch = ScratchDatabase::create(&args.database_url).await?;
    let measured = tokio::select! {
        measured = measure_in(&scratch, args, program, figure, million) => measured.map(Some),
        // Dropping the measurement kills its processes and removes its files.
        () = stop.cancelled() => Ok(None),
    };
    if let Err(error) = queue::delete(&args.amqp_url, scratch.name()).await {
        eprintln!("bench: the queues {}.* stay: {error:#}", scratch.name());
    }
    let dropped = scratch.drop_database().await;
    let measured = measured?;
    dropped.map(|()| measured)
}

async fn measure_in(
    scratch: &ScratchDatabase,
    args: &Args,
    program: &Path,
    figure: &Figure,
    million: &Rc<Million>,
) -> anyhow::Result<Measured> {
    let target = workspace().join("target");
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&target);
    let folder = folder.with_context(|| format!("cannot make a folder in {}", target.display()))?;
    let bench = Bench {
        runs: args.runs,
        scale: args.scale,
        server: Server::connect(scratch.url()).await?,
        longshore: Longshore::new(program, scratch, &args.amqp_url),
        psql: Psql::new(scratch.url())?,
        million: Rc::clone(million),
        folder: folder.path().to_owned(),
    };
    bench.longshore.migrate().await?;
    (figure.measure)(&bench, figure).await
}

fn longshore_bin(args: &Args) -> anyhow::Result<PathBuf> {
    let path = match &args.longshore_bin {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("longshore"),
    };
    path.canonicalize()
        .with_context(|| format!("no {}; build it: cargo build --release -p longshore", path.display()))
}

/// The folder that holds all crates.
pub(crate) fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}
