//! Reading dataset specs.

use chrono::{DateTime, Utc};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Client, Row, Transaction, types::Json};

use super::totals::TOTALS;
use crate::dataset::Dataset;

/// A dataset in its current version.
#[derive(Debug, Clone)]
pub struct StoredDataset {
    /// `longshore.dataset.id`.
    pub id: i32,
    /// Version of the spec, from 1.
    pub version: i32,
    /// The newest modified time that finished scans have seen.
    pub watermark: Option<DateTime<Utc>>,
    /// The spec.
    pub spec: Dataset,
}

const SELECT: &str =
    "SELECT dataset.id, dataset.name, dataset_version.version, dataset.watermark, dataset_version.spec
    FROM longshore.dataset
    JOIN longshore.dataset_version
      ON dataset_version.dataset_id = dataset.id AND dataset_version.version = dataset.current_version";

/// The current version of a dataset; `None` if there is none of that name.
pub async fn current_dataset(
    client: &Client,
    name: &str,
) -> Result<Option<StoredDataset>, tokio_postgres::Error> {
    let row = client.query_opt(&format!("{SELECT} WHERE dataset.name = $1"), &[&name]).await?;
    row.as_ref().map(stored).transpose()
}

/// The same in a transaction: what has committed before this statement.
pub(super) async fn current_dataset_in(
    transaction: &Transaction<'_>,
    dataset_id: i32,
) -> Result<StoredDataset, tokio_postgres::Error> {
    stored(&transaction.query_one(&format!("{SELECT} WHERE dataset.id = $1"), &[&dataset_id]).await?)
}

/// A spec that this program cannot read: a newer one has stored it, with keys that are not known here.
#[derive(Debug, thiserror::Error)]
#[error(
    "the spec of dataset `{name}`, version {version}, cannot be read by this program; is it older than the one that applied it?"
)]
pub struct UnreadableSpec {
    /// The dataset's name.
    pub name: String,
    /// The version that is current.
    pub version: i32,
    /// Which key.
    #[source]
    source: tokio_postgres::Error,
}

/// All datasets in their current version, by name. One that cannot be read does not keep the others from being.
pub async fn datasets(
    client: &ClientWrapper,
) -> Result<Vec<Result<StoredDataset, UnreadableSpec>>, tokio_postgres::Error> {
    let statement = client.prepare_cached(&format!("{SELECT} ORDER BY dataset.name")).await?;
    let rows = client.query(&statement, &[]).await?;
    let read = |row: &Row| {
        stored(row).map_err(|source| UnreadableSpec {
            name: row.get("name"),
            version: row.get("version"),
            source,
        })
    };
    Ok(rows.iter().map(read).collect())
}

/// The names of all datasets, in their order.
pub async fn dataset_names(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client.query("SELECT name FROM longshore.dataset ORDER BY name", &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn stored(row: &Row) -> Result<StoredDataset, tokio_postgres::Error> {
    let Json(spec) = row.try_get::<_, Json<Dataset>>("spec")?;
    Ok(StoredDataset {
        id: row.try_get("id")?,
        version: row.try_get("version")?,
        watermark: row.try_get("watermark")?,
        spec,
    })
}

/// One line of `dataset list`.
#[derive(Debug, serde::Serialize)]
pub struct DatasetSummary {
    /// Its name.
    pub name: String,
    /// Version of the current spec.
    pub version: i32,
    /// Target table.
    pub target_table: String,
    /// Folder that is listed.
    pub source: String,
    /// Cron expression, or `continuous`.
    pub schedule: String,
    /// Files known.
    pub files: i64,
    /// When the last scan began.
    pub last_scan: Option<DateTime<Utc>>,
}

/// All datasets with what has become of them, by name.
pub async fn dataset_summaries(client: &Client) -> Result<Vec<DatasetSummary>, tokio_postgres::Error> {
    let rows = client
        .query(
            &format!("SELECT dataset.name, dataset.current_version, dataset.target_table,
                    dataset_version.spec ->> 'source' AS source, dataset_version.spec ->> 'schedule' AS schedule,
                    (SELECT coalesce(sum(files), 0)::bigint FROM {TOTALS} AS total WHERE total.dataset_id = dataset.id) AS files,
                    (SELECT max(started_time) FROM longshore.scan WHERE scan.dataset_id = dataset.id) AS last_scan
             FROM longshore.dataset
             JOIN longshore.dataset_version
               ON dataset_version.dataset_id = dataset.id AND dataset_version.version = dataset.current_version
             ORDER BY dataset.name"),
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(DatasetSummary {
                name: row.try_get("name")?,
                version: row.try_get("current_version")?,
                target_table: row.try_get("target_table")?,
                source: row.try_get("source")?,
                schedule: row.try_get("schedule")?,
                files: row.try_get("files")?,
                last_scan: row.try_get("last_scan")?,
            })
        })
        .collect()
}
