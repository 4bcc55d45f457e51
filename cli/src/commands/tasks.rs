use std::process::ExitCode;

use clap::Args;
use longshore_common::ledger::{self, TaskStatus};

use crate::{
    connect::DatabaseArgs,
    output::{self, Table},
};

#[derive(Debug, Args)]
pub(crate) struct TasksArgs {
    /// Only tasks in this state: NEW, PROCESSING, LOADED or FAILED
    #[arg(long)]
    status: Option<TaskStatus>,
    /// Only tasks of this dataset
    #[arg(long)]
    dataset: Option<String>,
    /// The newest ones, at most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: DatabaseArgs,
}

pub(crate) async fn run(args: TasksArgs) -> anyhow::Result<ExitCode> {
    let pool = args.servers.pool("longshore tasks", 1).await?;
    let client = pool.get().await?;
    output::refuse_unknown_dataset(&client, args.dataset.as_deref()).await?;
    let tasks = ledger::list_tasks(&client, args.status, args.dataset.as_deref(), args.limit).await?;
    if args.json {
        output::print_json(&tasks)?;
        return Ok(ExitCode::SUCCESS);
    }
    let header =
        ["TASK", "DATASET", "STATUS", "ATTEMPT", "FILES", "BYTES", "CHANGED", "WORKER", "FILE", "FAILURE"];
    let mut table = Table::new(&header, &[3, 4, 5]);
    for task in &tasks {
        table.add_row([
            task.id.to_string(),
            task.dataset.clone(),
            task.status.clone(),
            task.attempt.to_string(),
            output::thousands(task.files),
            output::thousands(task.size_in_bytes),
            output::time(task.modified_time),
            task.worker.clone().unwrap_or_default(),
            output::file_name(task.file_name.as_deref().unwrap_or_default()),
            output::shortened(task.failure_msg.as_deref().unwrap_or_default(), 80),
        ]);
    }
    output::print(&if tasks.is_empty() { "no tasks".to_owned() } else { table.to_string() })?;
    Ok(ExitCode::SUCCESS)
}
