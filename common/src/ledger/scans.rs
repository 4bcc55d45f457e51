//! One row a scan, and the watermark that a finished scan moves.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, types::Json};

/// What a scan has counted.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct ScanCounts {
    /// Entries that the store listed; always `new + known + skipped`.
    pub listed: u64,
    /// Files recorded by this scan.
    pub new: u64,
    /// Files recorded before.
    pub known: u64,
    /// Everything else, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Bytes of the new files.
    pub new_bytes: u64,
    /// Newest modified time seen, cut at the scan's start; what the watermark may move to.
    #[serde(skip)]
    pub newest_seen: Option<DateTime<Utc>>,
}

/// Records that a scan has begun; gives its id and its start by the database's clock.
pub async fn begin_scan(
    client: &Client,
    dataset_id: i32,
) -> Result<(i64, DateTime<Utc>), tokio_postgres::Error> {
    let row = client
        .query_one(
            "INSERT INTO longshore.scan (dataset_id) VALUES ($1) RETURNING id, started_time",
            &[&dataset_id],
        )
        .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Records the counts, and moves the watermark, which only a scan that saw everything may do.
///
/// A spec that was applied meanwhile, as another version than `version`, may name another source: then the watermark
/// stays where `apply` has set it.
pub async fn finish_scan(
    client: &Client,
    scan_id: i64,
    version: i32,
    counts: &ScanCounts,
) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            "WITH scan AS (
                 UPDATE longshore.scan
                 SET finished_time = clock_timestamp(), files_listed = $2, files_new = $3, files_known = $4,
                     files_skipped = $5, new_bytes = $6
                 WHERE id = $1
                 RETURNING dataset_id
             )
             UPDATE longshore.dataset SET watermark = greatest(watermark, $7)
             FROM scan WHERE dataset.id = scan.dataset_id AND dataset.current_version = $8",
            &[
                &scan_id,
                &signed(counts.listed),
                &signed(counts.new),
                &signed(counts.known),
                &Json(&counts.skipped),
                &signed(counts.new_bytes),
                &counts.newest_seen,
                &version,
            ],
        )
        .await?;
    Ok(())
}

/// Records why a scan ended early, and what it had counted by then; the watermark stays.
pub async fn fail_scan(
    client: &Client,
    scan_id: i64,
    counts: &ScanCounts,
    error: &str,
) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            "UPDATE longshore.scan
             SET finished_time = clock_timestamp(), files_listed = $2, files_new = $3, files_known = $4,
                 files_skipped = $5, new_bytes = $6, error = $7
             WHERE id = $1",
            &[
                &scan_id,
                &signed(counts.listed),
                &signed(counts.new),
                &signed(counts.known),
                &Json(&counts.skipped),
                &signed(counts.new_bytes),
                &error,
            ],
        )
        .await?;
    Ok(())
}

/// When the dataset's last scan began that saw everything.
pub async fn last_complete_scan(
    client: &Client,
    dataset_id: i32,
) -> Result<Option<DateTime<Utc>>, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT max(started_time) FROM longshore.scan
             WHERE dataset_id = $1 AND finished_time IS NOT NULL AND error IS NULL",
            &[&dataset_id],
        )
        .await?;
    row.try_get(0)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
