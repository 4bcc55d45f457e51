use std::process::ExitCode;

use clap::{ArgGroup, Args};
use longshore_common::ledger;
use uuid::Uuid;

use crate::{connect::DatabaseArgs, output};

/// The scanner service publishes the retried tasks within its tick; without it, `longshore scan` does.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["tasks", "failed"])))]
pub(crate) struct RetryArgs {
    /// FAILED tasks, as `longshore tasks --status FAILED` lists them
    #[arg(value_name = "TASK")]
    tasks: Vec<Uuid>,
    /// All FAILED tasks, also the new content that discovery.on_change = "fail" has refused
    #[arg(long)]
    failed: bool,
    /// Of all FAILED tasks only those of this dataset
    #[arg(long, value_name = "NAME", requires = "failed", conflicts_with = "tasks")]
    dataset: Option<String>,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: DatabaseArgs,
}

pub(crate) async fn run(args: RetryArgs) -> anyhow::Result<ExitCode> {
    let pool = args.servers.pool("longshore retry", 1).await?;
    let client = pool.get().await?;
    output::refuse_unknown_dataset(&client, args.dataset.as_deref()).await?;
    let tasks = match args.failed {
        true => ledger::failed_tasks(&client, args.dataset.as_deref()).await?,
        false => args.tasks.clone(),
    };
    let mut result = ledger::retry(&client, &tasks).await?;
    if args.failed {
        // Somebody else was quicker.
        result.not_failed.clear();
    }
    if args.json {
        output::print_json(&result)?;
    } else {
        let retried = output::counted(result.retried.len() as u64, "task");
        output::print(&format!(
            "NEW again: {retried}; the scanner service or the next `longshore scan` publishes"
        ))?;
        let superseded = result.superseded.len() as u64;
        match args.failed {
            // These may be many, and the same each time.
            true if superseded > 0 => output::print(&format!(
                "left FAILED: {}, because newer versions of their files have taken their places",
                output::counted(superseded, "task")
            ))?,
            true => {}
            false => {
                for task in &result.superseded {
                    output::print(&format!(
                        "{task}: left FAILED, a newer version of its file has taken its place"
                    ))?;
                }
            }
        }
        for task in &result.not_failed {
            output::print(&format!("{task}: not FAILED, or not known"))?;
        }
    }
    // Asked for by name and not done is a refusal.
    let is_refused = !args.failed && result.retried.len() < args.tasks.len();
    Ok(if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
