use std::{process::ExitCode, time::Duration};

use chrono::{DateTime, Utc};
use clap::Args;
use longshore_common::{
    database::{ConnectionCounts, Database},
    error::chain,
    ledger,
};
use serde::Serialize;

use crate::{connect::ServerArgs, output};

/// Exit with 0 if services can work with database and broker (for health checks)
///
/// Exit code 1 and the reason, if one of them does not answer, or is not to be worked with: Postgres is a replica or read-only,
/// stands behind a pooler in transaction mode, or has a schema or queues of another prefix that this program does not belong to;
/// RabbitMQ is under a memory or disk alarm. It says nothing about one process: restart none because of it.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: ServerArgs,
}

#[derive(Debug, Serialize)]
struct Health {
    postgres: Answer,
    rabbitmq: Answer,
}

#[derive(Debug, Serialize)]
struct Answer {
    address: String,
    is_ok: bool,
    /// Why not, or what to look at although it is.
    message: Option<String>,
    #[serde(flatten)]
    connections: Option<ConnectionCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alarm_since: Option<DateTime<Utc>>,
}

/// Each server is asked, so that the answer names the one that is away.
pub(crate) async fn run(args: HealthArgs) -> anyhow::Result<ExitCode> {
    let (database, queue) = args.servers.checked("longshore health")?;
    let timeout = args.servers.database.wait.connect_timeout;
    let prefix = &args.servers.queue.amqp_prefix;
    let (postgres, rabbitmq) =
        tokio::join!(ask_postgres(&database, prefix, timeout), queue.wait_until_answering(timeout));
    let (postgres, alarm_since) = match postgres {
        Ok((counts, alarm_since)) => (Ok(counts), alarm_since),
        Err(error) => (Err(error), None),
    };
    let health = Health {
        postgres: Answer {
            address: database.address(),
            is_ok: postgres.is_ok(),
            message: match &postgres {
                Ok(counts) => few_are_left(*counts),
                Err(error) => Some(chain(error.as_ref())),
            },
            connections: postgres.ok(),
            alarm_since: None,
        },
        rabbitmq: Answer {
            address: queue.address(),
            is_ok: rabbitmq.is_ok() && alarm_since.is_none(),
            message: match (&rabbitmq, alarm_since) {
                (Err(error), _) => Some(chain(error.as_ref())),
                (Ok(()), Some(since)) => Some(output::broker_alarm(since)),
                (Ok(()), None) => None,
            },
            connections: None,
            alarm_since,
        },
    };
    if args.json {
        output::print_json(&health)?;
    } else {
        print("Postgres", &health.postgres)?;
        print("RabbitMQ", &health.rabbitmq)?;
    }
    let is_ok = health.postgres.is_ok && health.rabbitmq.is_ok;
    Ok(if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask_postgres(
    database: &Database,
    prefix: &str,
    timeout: Duration,
) -> anyhow::Result<(ConnectionCounts, Option<DateTime<Utc>>)> {
    let pool = database.connected_pool(1, timeout).await?;
    let counts = database.check_fitness(&pool, prefix).await?;
    Ok((counts, ledger::broker_alarm_since(&*pool.get().await?).await?))
}

/// A scanner that starts needs some at once.
fn few_are_left(counts: ConnectionCounts) -> Option<String> {
    let ConnectionCounts { connections_in_use, connection_limit } = counts;
    (connections_in_use * 10 >= connection_limit * 9).then(|| {
        format!(
            "{connections_in_use} of {connection_limit} connections are in use: raise max_connections, or run fewer workers"
        )
    })
}

fn print(server: &str, answer: &Answer) -> anyhow::Result<()> {
    let Answer { address, is_ok, message, connections, .. } = answer;
    // What does not answer names itself.
    let mut line = match message {
        Some(message) if !is_ok => message.clone(),
        Some(message) => format!("{server} at {address}: ok, but {message}"),
        None => format!("{server} at {address}: ok"),
    };
    if let (None, Some(ConnectionCounts { connections_in_use, connection_limit })) = (message, connections) {
        line.push_str(&format!(", {connections_in_use} of {connection_limit} connections in use"));
    }
    output::print(&output::one_line(&line))
}
