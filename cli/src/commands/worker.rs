use std::process::ExitCode;

use clap::Args;
use longshore_common::shutdown;
use longshore_worker::{BOOKS_POOL_SIZE, Pools, WorkerConfig};

use crate::connect::{ServerArgs, unless_stopped};

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
    let timeout = args.servers.database.wait.connect_timeout;
    let connecting = async {
        let size = usize::from(args.config.concurrency);
        // With --drain, it is a command that ends.
        let load_pool = if args.config.drain {
            args.servers.working_pool(&database, size).await?
        } else {
            args.servers.service_pool(&database, size).await?
        };
        queue.wait_until_ready(timeout).await?;
        Ok(load_pool)
    };
    let Some(load_pool) = unless_stopped(&stop, connecting).await? else { return Ok(ExitCode::SUCCESS) };
    let pools = Pools {
        load: load_pool,
        books: database.pool(BOOKS_POOL_SIZE)?,
        heartbeat: database.heartbeat_pool()?,
    };
    let drain = args.config.drain;
    let stopped = longshore_worker::run(pools, &queue, args.config, stop).await;
    // A service that was told to stop has done its work; what FAILED is in the ledger. One that cron starts must be able to alert.
    Ok(if drain && stopped.failed_files > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
