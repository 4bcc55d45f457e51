use std::process::ExitCode;

use clap::Args;
use longshore_common::database;

use crate::{connect::DatabaseArgs, output};

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    servers: DatabaseArgs,
}

pub(crate) async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let database = args.servers.checked("longshore migrate")?;
    let pool = database.connected(database.unchecked_pool()?, args.servers.wait.connect_timeout).await?;
    let migrated = database::migrate(&pool).await?;
    if migrated.is_newer {
        output::print("the schema is newer than this program, and works with it")?;
    } else if migrated.applied.is_empty() {
        output::print("the schema is up to date")?;
    }
    for migration in migrated.applied {
        output::print(&format!("applied {migration}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
