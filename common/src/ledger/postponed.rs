//! Names that scans could not read, and old files that had to wait: the watermark waits for each for a day and then passes it, because
//! scans look at these by their names.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Client;

/// How long the watermark waits for a name.
const WAITS_FOR: &str = "interval '1 day'";

/// A name that scans look at, however old it is and wherever it lies.
#[derive(Debug, Clone)]
pub struct PostponedName {
    /// Of a file, or of a folder.
    pub uri: String,
    /// The watermark has waited for it long enough.
    pub is_passed: bool,
}

/// The dataset's names. The caller holds its scan lock, as for all of these.
pub async fn postponed_names(
    client: &Client,
    dataset_id: i32,
) -> Result<Vec<PostponedName>, tokio_postgres::Error> {
    let sql = format!(
        "SELECT uri, since NOT BETWEEN now() - {WAITS_FOR} AND now() FROM longshore.postponed WHERE dataset_id = $1"
    );
    let rows = client.query(&sql, &[&dataset_id]).await?;
    rows.iter().map(|row| Ok(PostponedName { uri: row.try_get(0)?, is_passed: row.try_get(1)? })).collect()
}

/// Adds what a scan has met first, and removes what it could look at.
pub async fn record_postponed(
    client: &Client,
    dataset_id: i32,
    met: &[&str],
    looked_at: &[&str],
) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            "WITH looked_at AS (
                 DELETE FROM longshore.postponed WHERE dataset_id = $1 AND uri = ANY($3)
             )
             INSERT INTO longshore.postponed (dataset_id, uri, since) SELECT $1, uri, now() FROM unnest($2::text[]) AS met (uri)",
            &[&dataset_id, &met, &looked_at],
        )
        .await?;
    Ok(())
}

/// A dataset whose watermark has passed names that scans still look at.
#[derive(Debug, Clone, Serialize)]
pub struct PostponedFiles {
    /// Its name.
    pub dataset: String,
    /// How many names.
    pub names: i64,
    /// Since when the first of them has been so.
    pub since: DateTime<Utc>,
    /// The first three.
    pub uris: Vec<String>,
}

/// The datasets with such names.
pub async fn datasets_with_postponed(client: &Client) -> Result<Vec<PostponedFiles>, tokio_postgres::Error> {
    let sql = format!(
        "SELECT dataset.name, count(*), min(since), (array_agg(uri ORDER BY since, uri))[:3]
         FROM longshore.postponed JOIN longshore.dataset ON dataset.id = postponed.dataset_id
         WHERE since NOT BETWEEN now() - {WAITS_FOR} AND now()
         GROUP BY dataset.name ORDER BY dataset.name"
    );
    let rows = client.query(&sql, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(PostponedFiles {
                dataset: row.try_get(0)?,
                names: row.try_get(1)?,
                since: row.try_get(2)?,
                uris: row.try_get(3)?,
            })
        })
        .collect()
}
