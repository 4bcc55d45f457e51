//! Datasets whose waiting files cannot become tasks, for those who ask how things stand.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Client;

/// A dataset whose waiting files cannot become tasks.
#[derive(Debug, Clone, Serialize)]
pub struct BatchTrouble {
    /// Its name.
    pub dataset: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When that was tried last.
    pub last_time: DateTime<Utc>,
    /// What Postgres said then.
    pub error: String,
}

/// Records that it failed again.
pub async fn record_batch_trouble(
    client: &Client,
    dataset_id: i32,
    error: &str,
) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            "INSERT INTO longshore.batch_trouble AS trouble (dataset_id, error) VALUES ($1, $2)
             ON CONFLICT (dataset_id) DO UPDATE SET last_time = now(), error = excluded.error",
            &[&dataset_id, &error],
        )
        .await?;
    Ok(())
}

/// It works again.
pub async fn clear_batch_trouble(client: &Client, dataset_id: i32) -> Result<(), tokio_postgres::Error> {
    client.execute("DELETE FROM longshore.batch_trouble WHERE dataset_id = $1", &[&dataset_id]).await?;
    Ok(())
}

/// The ids of the datasets in trouble.
pub async fn ids_in_batch_trouble(client: &Client) -> Result<Vec<i32>, tokio_postgres::Error> {
    let rows = client.query("SELECT dataset_id FROM longshore.batch_trouble", &[]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// The datasets in trouble, by name.
pub async fn batch_troubles(client: &Client) -> Result<Vec<BatchTrouble>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT dataset.name, trouble.since, trouble.last_time, trouble.error
             FROM longshore.batch_trouble AS trouble JOIN longshore.dataset ON dataset.id = trouble.dataset_id
             ORDER BY dataset.name",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(BatchTrouble {
                dataset: row.try_get(0)?,
                since: row.try_get(1)?,
                last_time: row.try_get(2)?,
                error: row.try_get(3)?,
            })
        })
        .collect()
}
