//! The `longshore` command. Its subcommands only wire: settings, connections, one call, output.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic"))]

mod commands;
mod connect;
mod input;
mod output;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use longshore_common::{
    error::chain,
    telemetry::{self, TelemetryConfig},
};

use crate::{commands::*, output::WrongCall};

/// Gets CSV files into Postgres through RabbitMQ: every row exactly once, in its table or in the reject table.
///
/// Every setting can be given as a flag or in the environment. Exit codes: 0 success, 1 a refusal or a failure of the
/// work, 2 a wrong call or setting.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    telemetry: TelemetryConfig,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create or upgrade the system's schema and views; safe to repeat, and by several at once
    Migrate(migrate::MigrateArgs),
    /// Apply, list, show or infer dataset specs
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    Scan(scan::ScanArgs),
    Audit(audit::AuditArgs),
    Verify(verify::VerifyArgs),
    /// Run the scanner service: scan on each dataset's schedule, publish, rescue
    Scanner(scanner::ScannerArgs),
    /// Run a worker: load tasks from the queue into Postgres
    Worker(worker::WorkerArgs),
    Validate(validate::ValidateArgs),
    /// Show files and tasks by state, rows, and the queue
    Status(status::StatusArgs),
    /// List tasks
    Tasks(tasks::TasksArgs),
    /// List files
    Files(files::FilesArgs),
    Scans(scans::ScansArgs),
    Rejects(rejects::RejectsArgs),
    Why(why::WhyArgs),
    /// Try FAILED tasks again
    Retry(retry::RetryArgs),
    /// Have each file of a FAILED task tried by itself
    Split(split::SplitArgs),
    Reload(undo::ReloadArgs),
    Unload(undo::UnloadArgs),
    Health(health::HealthArgs),
    /// Write synthetic loan applications
    Sample(sample::SampleArgs),
}

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    let cli = Cli::parse();
    // Both connections use rustls with ring; an error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("cannot start the runtime")),
    };
    let code = runtime.block_on(run(cli));
    // A thread that hangs in a read of a dead store must not keep the process: what it reads is given back already.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn run(cli: Cli) -> ExitCode {
    let (service_name, default_log) = match &cli.command {
        Command::Scanner(_) => ("longshore-scanner", "info"),
        Command::Worker(_) => ("longshore-worker", "info"),
        Command::Scan(_) | Command::Audit(_) => ("longshore-scanner", "warn"),
        _ => ("longshore", "warn"),
    };
    let log = cli.telemetry.log.as_deref().unwrap_or(default_log);
    let telemetry = match telemetry::start(service_name, log) {
        Ok(telemetry) => telemetry,
        Err(error) => return report(&error.context(WrongCall("a setting is not allowed".to_owned()))),
    };
    let outcome = dispatch(cli.command).await;
    telemetry.shutdown().await;
    match outcome {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Migrate(args) => migrate::run(args).await,
        Command::Dataset(command) => dataset::run(command).await,
        Command::Scan(args) => scan::run(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Scanner(args) => scanner::run(args).await,
        Command::Worker(args) => worker::run(args).await,
        Command::Validate(args) => validate::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Tasks(args) => tasks::run(args).await,
        Command::Files(args) => files::run(args).await,
        Command::Scans(args) => scans::run(args).await,
        Command::Rejects(args) => rejects::run(args).await,
        Command::Why(args) => why::run(args).await,
        Command::Retry(args) => retry::run(args).await,
        Command::Split(args) => split::run(args).await,
        Command::Reload(args) => undo::reload(args).await,
        Command::Unload(args) => undo::unload(args).await,
        Command::Health(args) => health::run(args).await,
        Command::Sample(args) => sample::run(&args),
    }
}

/// Prints the error in one line; wrong calls and settings are exit code 2, everything else is 1.
fn report(error: &anyhow::Error) -> ExitCode {
    let hint = if output::lacks_schema(error) { "; run `longshore migrate` first" } else { "" };
    eprintln!("longshore: {}{hint}", output::one_line(&chain(error.as_ref())));
    if output::is_wrong_call(error) { ExitCode::from(2) } else { ExitCode::FAILURE }
}
