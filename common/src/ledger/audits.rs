//! What an audit compares: everything that a store listed, against everything that the ledger knows.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use super::scans::NamedFiles;

/// What an audit found beyond what a scan counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFindings {
    /// Files that were not known and that no scan would have found: recorded now.
    pub missed: NamedFiles,
    /// Known files that the store has no more.
    pub gone: GoneFiles,
}

/// Known files, each in its newest version, that the store has no more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneFiles {
    /// Their rows are in the target table.
    pub loaded: NamedFiles,
    /// They were never loaded.
    pub not_loaded: NamedFiles,
}

/// Begins to note what a store lists, in a table that only this session sees and that its end removes.
pub async fn begin_comparison(client: &Client) -> Result<(), tokio_postgres::Error> {
    let sql = "CREATE TEMPORARY TABLE listed_by_audit (uri text NOT NULL, is_unreadable boolean NOT NULL)";
    client.batch_execute(sql).await
}

/// Notes a page: the URIs of its entries, and of each whether it could not be looked at.
pub async fn note_listed(
    client: &Client,
    uris: &[&str],
    are_unreadable: &[bool],
) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            "INSERT INTO pg_temp.listed_by_audit SELECT * FROM unnest($1::text[], $2::boolean[])",
            &[&uris, &are_unreadable],
        )
        .await?;
    Ok(())
}

/// Ends the comparison: known files below `source_uri` whose names were not listed, but those that we moved or deleted
/// ourselves. What lies below a folder that could not
/// be looked at may still be there, and is not among them.
pub async fn find_gone(
    client: &Client,
    dataset_id: i32,
    source_uri: &str,
) -> Result<GoneFiles, tokio_postgres::Error> {
    client.batch_execute("ANALYZE pg_temp.listed_by_audit").await?;
    let row = client
        .query_one(
            "WITH absent AS (
                 SELECT DISTINCT ON (file.uri) file.id, file.uri
                 FROM longshore.file
                 WHERE file.dataset_id = $1 AND NOT file.is_ignored AND starts_with(file.uri, $2)
                   AND NOT EXISTS (SELECT FROM pg_temp.listed_by_audit AS listed WHERE listed.uri = file.uri)
                   AND NOT EXISTS (SELECT FROM pg_temp.listed_by_audit AS listed
                                   WHERE listed.is_unreadable AND starts_with(file.uri, rtrim(listed.uri, '/') || '/'))
                 ORDER BY file.uri, file.id DESC
             ), gone AS MATERIALIZED (
                 SELECT uri,
                        -- A version that was unloaded, or replaced, was loaded all the same.
                        EXISTS (SELECT FROM longshore.file AS version
                                JOIN longshore.file_load ON file_load.file_id = version.id
                                WHERE version.dataset_id = $1 AND version.uri = absent.uri) AS is_loaded
                 FROM absent
                 WHERE NOT EXISTS (SELECT FROM longshore.after_load
                                   WHERE after_load.file_id = absent.id AND outcome IN ('MOVED', 'DELETED'))
             )
             SELECT count(*) FILTER (WHERE is_loaded), count(*) FILTER (WHERE NOT is_loaded),
                    ARRAY(SELECT uri FROM gone WHERE is_loaded LIMIT 20),
                    ARRAY(SELECT uri FROM gone WHERE NOT is_loaded LIMIT 20)
             FROM gone",
            &[&dataset_id, &source_uri],
        )
        .await?;
    client.batch_execute("DROP TABLE pg_temp.listed_by_audit").await?;
    let named = |files: i64, uris| NamedFiles { files: files.unsigned_abs(), uris };
    Ok(GoneFiles {
        loaded: named(row.try_get(0)?, row.try_get(2)?),
        not_loaded: named(row.try_get(1)?, row.try_get(3)?),
    })
}

/// About how many versions of files are known, of all datasets: what Postgres has counted last.
pub async fn known_files(client: &Client) -> Result<u32, tokio_postgres::Error> {
    let sql = "SELECT reltuples::float8 FROM pg_class WHERE oid = 'longshore.file'::regclass";
    let files: f64 = client.query_one(sql, &[]).await?.try_get(0)?;
    Ok(files as u32)
}

/// When the dataset's last complete audit began; of a dataset that was never audited, when it was made.
pub async fn last_audit(client: &Client, dataset_id: i32) -> Result<DateTime<Utc>, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT coalesce(
                 (SELECT started_time FROM longshore.scan
                  WHERE dataset_id = $1 AND kind = 'AUDIT' AND outcome = 'COMPLETE' ORDER BY id DESC LIMIT 1),
                 (SELECT created_time FROM longshore.dataset WHERE id = $1),
                 now())",
            &[&dataset_id],
        )
        .await?;
    row.try_get(0)
}
