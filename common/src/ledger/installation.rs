//! Which installation this database is of, which schema it has, and with which programs and queues that works together.

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, SimpleQueryMessage, error::SqlState};
use uuid::Uuid;

/// The newest migration of the database; `None` without our schema.
///
/// A simple query, so that it can be sent together with a new session's settings.
pub(crate) async fn schema_version(client: &Client) -> Result<Option<i32>, tokio_postgres::Error> {
    let answer = client.simple_query("SELECT max(version) FROM longshore.schema_history").await;
    let messages = match answer {
        Ok(messages) => messages,
        Err(error) if error.code().is_some_and(is_missing) => return Ok(None),
        Err(error) => return Err(error),
    };
    let version = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(version.and_then(|version| version.parse().ok()))
}

fn is_missing(state: &SqlState) -> bool {
    [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME].contains(state)
}

/// Whether a schema that is newer than the program says that it works with it. `program` is the newest migration that the
/// program knows.
pub(crate) async fn works_with(
    client: &Client,
    schema_version: i32,
    program: i32,
) -> Result<bool, tokio_postgres::Error> {
    let sql = "SELECT schema_version >= $1 AND oldest_program <= $2 FROM longshore.installation";
    let row = client.query_opt(sql, &[&schema_version, &program]).await?;
    row.map_or(Ok(false), |row| row.try_get(0))
}

/// Records the prefix of the queues' names if none is recorded yet; gives the recorded one.
pub async fn record_amqp_prefix(client: &Client, prefix: &str) -> Result<String, tokio_postgres::Error> {
    if let Some(recorded) = amqp_prefix(client).await? {
        return Ok(recorded);
    }
    // Of two services that start at once, the second one waits for the row and finds it recorded.
    let sql =
        "UPDATE longshore.installation SET amqp_prefix = coalesce(amqp_prefix, $1) RETURNING amqp_prefix";
    client.query_one(sql, &[&prefix]).await?.try_get(0)
}

/// The recorded prefix of the queues' names.
pub async fn amqp_prefix(client: &Client) -> Result<Option<String>, tokio_postgres::Error> {
    client.query_one("SELECT amqp_prefix FROM longshore.installation", &[]).await?.try_get(0)
}

/// The id of the installation.
pub async fn installation_id(client: &Client) -> Result<Uuid, tokio_postgres::Error> {
    client.query_one("SELECT id FROM longshore.installation", &[]).await?.try_get(0)
}

/// Since when RabbitMQ is under a memory or disk alarm, as far as the relay knows.
pub async fn broker_alarm_since(client: &Client) -> Result<Option<DateTime<Utc>>, tokio_postgres::Error> {
    client.query_one("SELECT broker_alarm_since FROM longshore.installation", &[]).await?.try_get(0)
}

/// Records that RabbitMQ is under an alarm, or no longer.
pub async fn record_broker_alarm(client: &Client, is_alarmed: bool) -> Result<(), tokio_postgres::Error> {
    let sql = "UPDATE longshore.installation
               SET broker_alarm_since = CASE WHEN $1 THEN coalesce(broker_alarm_since, now()) END";
    client.execute(sql, &[&is_alarmed]).await?;
    Ok(())
}
