use std::process::ExitCode;

use clap::Args;
use longshore_common::shutdown;
use longshore_worker::WorkerConfig;

use crate::connect::ServerArgs;

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    config: WorkerConfig,
    #[command(flatten)]
    servers: ServerArgs,
}

pub(crate) async fn run(args: WorkerArgs) -> anyhow::Result<ExitCode> {
    let (database, queue) = args.servers.checked("longshore worker")?;
    let stop = shutdown::on_signal()?;
    let timeout = args.servers.database.connect_timeout;
    longshore_worker::run(&database, &queue, args.config, timeout, stop).await?;
    Ok(ExitCode::SUCCESS)
}
