use std::process::ExitCode;

use clap::Args;
use longshore_common::error::chain;

use crate::{connect::ServerArgs, output};

#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    servers: ServerArgs,
}

/// Each server is asked, so that the answer names the one that is away.
pub(crate) async fn run(args: HealthArgs) -> anyhow::Result<ExitCode> {
    let (database, queue) = args.servers.checked("longshore health")?;
    let timeout = args.servers.database.wait.connect_timeout;
    let (postgres, rabbitmq) =
        tokio::join!(database.connected_pool(1, timeout), queue.wait_until_ready(timeout));
    let answers = [
        (format!("Postgres at {}", database.address()), postgres.map(drop)),
        (format!("RabbitMQ at {}", queue.address()), rabbitmq),
    ];
    let mut code = ExitCode::SUCCESS;
    for (server, answer) in answers {
        match answer {
            Ok(()) => output::print(&format!("{server}: ok"))?,
            Err(error) => {
                // It names the server itself.
                output::print(&output::one_line(&chain(error.as_ref())))?;
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
