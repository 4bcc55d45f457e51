use std::process::ExitCode;

use clap::Args;
use longshore_common::shutdown;
use longshore_scanner::{POOL_SIZE, ScannerConfig};

use crate::connect::{ServerArgs, unless_stopped};

#[derive(Debug, Args)]
pub(crate) struct ScannerArgs {
    #[command(flatten)]
    config: ScannerConfig,
    #[command(flatten)]
    servers: ServerArgs,
}

pub(crate) async fn run(args: ScannerArgs) -> anyhow::Result<ExitCode> {
    let (database, queue) = args.servers.checked("longshore scanner")?;
    let stop = shutdown::on_signal()?;
    let timeout = args.servers.database.wait.connect_timeout;
    let connecting = async {
        let pool = args.servers.service_pool(&database, POOL_SIZE).await?;
        queue.wait_until_ready(timeout).await?;
        Ok(pool)
    };
    let Some(pool) = unless_stopped(&stop, connecting).await? else { return Ok(ExitCode::SUCCESS) };
    longshore_scanner::run(database, pool, queue, args.config, stop).await;
    Ok(ExitCode::SUCCESS)
}
