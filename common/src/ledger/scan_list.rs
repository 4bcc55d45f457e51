//! The list of `longshore scans`, and the failing datasets of `longshore status`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::{Client, Row, types::Json};

use super::{audits::AuditFindings, leases::SCAN_CLASS, scans::ScanKind};

/// A scan or audit of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScanRow {
    /// `longshore.scan.id`.
    pub id: i64,
    /// Its dataset's name.
    pub dataset: String,
    /// SCAN or AUDIT.
    pub kind: String,
    /// RUNNING, COMPLETE, FAILED, STOPPED or DIED.
    pub state: String,
    /// When it began.
    pub started_time: DateTime<Utc>,
    /// When it ended; of one that died, when it last wrote its counts.
    pub finished_time: Option<DateTime<Utc>>,
    /// From its start to its end, or until now.
    pub seconds: f64,
    /// Entries that the store listed: new + known + skipped.
    pub listed: i64,
    /// Files recorded.
    pub new: i64,
    /// Files recorded before.
    pub known: i64,
    /// Everything else, by reason.
    pub skipped: BTreeMap<String, i64>,
    /// The first URIs of a reason.
    pub skipped_uris: BTreeMap<String, Vec<String>>,
    /// Bytes of the new files.
    pub new_bytes: i64,
    /// Why it ended early.
    pub error: Option<String>,
    /// What an audit found.
    pub audit: Option<AuditFindings>,
    /// Names that the watermark does not wait for any more.
    pub names_postponed: i64,
    /// What an earlier complete one listed, if this one listed nothing, or less than half of it.
    pub listed_before: Option<i64>,
    /// Entries that the dataset's last complete scan of this kind listed: how much this one may come to.
    #[serde(skip)]
    pub last_listed: Option<i64>,
}

/// The newest scans, at most `limit`, of all datasets or one.
///
/// One without an end runs if the session that began it still holds the dataset's lock; else it died.
pub async fn list_scans(
    client: &Client,
    dataset: Option<&str>,
    limit: i64,
) -> Result<Vec<ScanRow>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT scan.id, dataset.name AS dataset, scan.kind,
                    coalesce(scan.outcome, CASE WHEN lock.is_held THEN 'RUNNING' ELSE 'DIED' END) AS state,
                    scan.started_time, ended.time AS finished_time,
                    greatest(extract(epoch FROM coalesce(ended.time, clock_timestamp()) - scan.started_time), 0)::float8 AS seconds,
                    scan.files_listed, scan.files_new, scan.files_known, scan.files_skipped, scan.skipped_uris,
                    scan.new_bytes, scan.error, scan.audit, scan.names_postponed, scan.listed_before,
                    CASE WHEN scan.outcome IS NULL THEN (
                        SELECT last.files_listed FROM longshore.scan AS last
                        WHERE last.dataset_id = scan.dataset_id AND last.kind = scan.kind AND last.outcome = 'COMPLETE'
                        ORDER BY last.id DESC LIMIT 1) END AS last_listed
             FROM longshore.scan
             JOIN longshore.dataset ON dataset.id = scan.dataset_id
             CROSS JOIN LATERAL (
                 SELECT scan.outcome IS NULL AND EXISTS (
                     SELECT FROM pg_locks
                     WHERE locktype = 'advisory' AND granted AND pid = scan.backend_pid AND objsubid = 2
                       AND classid::bigint = $3 AND objid::bigint = scan.dataset_id
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS is_held
             ) AS lock
             CROSS JOIN LATERAL (
                 SELECT coalesce(scan.finished_time, CASE WHEN NOT lock.is_held THEN scan.progress_time END) AS time
             ) AS ended
             WHERE $1::text IS NULL OR dataset.name = $1
             ORDER BY scan.id DESC
             LIMIT $2",
            &[&dataset, &limit, &i64::from(SCAN_CLASS)],
        )
        .await?;
    rows.iter().map(scan_row).collect()
}

fn scan_row(row: &Row) -> Result<ScanRow, tokio_postgres::Error> {
    let Json(skipped) = row.try_get("files_skipped")?;
    let Json(skipped_uris) = row.try_get("skipped_uris")?;
    let audit: Option<Json<AuditFindings>> = row.try_get("audit")?;
    Ok(ScanRow {
        id: row.try_get("id")?,
        dataset: row.try_get("dataset")?,
        kind: row.try_get("kind")?,
        state: row.try_get("state")?,
        started_time: row.try_get("started_time")?,
        finished_time: row.try_get("finished_time")?,
        seconds: row.try_get("seconds")?,
        listed: row.try_get("files_listed")?,
        new: row.try_get("files_new")?,
        known: row.try_get("files_known")?,
        skipped,
        skipped_uris,
        new_bytes: row.try_get("new_bytes")?,
        error: row.try_get("error")?,
        audit: audit.map(|Json(findings)| findings),
        names_postponed: row.try_get("names_postponed")?,
        listed_before: row.try_get("listed_before")?,
        last_listed: row.try_get("last_listed")?,
    })
}

/// A dataset whose last scan, or last audit, failed.
#[derive(Debug, Clone, Serialize)]
pub struct FailingDataset {
    /// Its name.
    pub dataset: String,
    /// Which of the two.
    pub kind: ScanKind,
    /// When the first one began that failed.
    pub since: DateTime<Utc>,
    /// When the last one began.
    #[serde(skip)]
    pub last_started_time: DateTime<Utc>,
    /// When the last one ended.
    pub last_time: DateTime<Utc>,
    /// Why that one failed.
    pub error: String,
}

/// The datasets whose last scan or audit failed, by name. One that was stopped, or died, says nothing about the store.
pub async fn failing_datasets(client: &Client) -> Result<Vec<FailingDataset>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT dataset.name, last.kind, last.failing_since, last.started_time, last.finished_time, last.error
             FROM longshore.dataset
             CROSS JOIN (VALUES ('SCAN'), ('AUDIT')) AS of (kind)
             CROSS JOIN LATERAL (
                 SELECT * FROM longshore.scan
                 WHERE scan.dataset_id = dataset.id AND scan.kind = of.kind AND scan.outcome IN ('COMPLETE', 'FAILED')
                 ORDER BY scan.id DESC LIMIT 1
             ) AS last
             WHERE last.outcome = 'FAILED'
             ORDER BY dataset.name, last.kind DESC",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(FailingDataset {
                dataset: row.try_get(0)?,
                kind: if row.try_get::<_, &str>(1)? == "AUDIT" { ScanKind::Audit } else { ScanKind::Scan },
                since: row.try_get(2)?,
                last_started_time: row.try_get(3)?,
                last_time: row.try_get(4)?,
                error: row.try_get(5)?,
            })
        })
        .collect()
}

/// A dataset whose last complete scan or audit listed nothing, or less than half of what the one before did.
#[derive(Debug, Clone, Serialize)]
pub struct ShortListing {
    /// Its name.
    pub dataset: String,
    /// Which of the two.
    pub kind: ScanKind,
    /// When it began.
    pub time: DateTime<Utc>,
    /// What it listed.
    pub listed: i64,
    /// What an earlier one listed.
    pub listed_before: i64,
}

/// Those datasets, by name: a mount may be missing on the scanner.
pub async fn short_listings(client: &Client) -> Result<Vec<ShortListing>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT dataset.name, last.kind, last.started_time, last.files_listed, last.listed_before
             FROM longshore.dataset
             CROSS JOIN LATERAL (
                 SELECT * FROM longshore.scan WHERE scan.dataset_id = dataset.id AND scan.outcome = 'COMPLETE'
                 ORDER BY scan.id DESC LIMIT 1
             ) AS last
             WHERE last.listed_before IS NOT NULL
             ORDER BY dataset.name",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(ShortListing {
                dataset: row.try_get(0)?,
                kind: if row.try_get::<_, &str>(1)? == "AUDIT" { ScanKind::Audit } else { ScanKind::Scan },
                time: row.try_get(2)?,
                listed: row.try_get(3)?,
                listed_before: row.try_get(4)?,
            })
        })
        .collect()
}
