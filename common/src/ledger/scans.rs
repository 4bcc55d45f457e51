//! One row a scan or audit, and the watermark that a finished one moves.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, types::Json};

use super::audits::AuditFindings;

/// Names that are kept of many.
const KEPT_NAMES: usize = 20;

/// Why a scan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ScanKind {
    /// To find new files.
    Scan,
    /// To compare the whole store with the ledger.
    Audit,
}

impl ScanKind {
    /// As it is recorded.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scan => "SCAN",
            Self::Audit => "AUDIT",
        }
    }

    /// As people call it.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Audit => "audit",
        }
    }
}

/// How a scan ended before it had seen everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyEnd {
    /// Something is wrong.
    Failed,
    /// Its process was told to stop.
    Stopped,
}

/// What a scan has counted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ScanCounts {
    /// Entries that the store listed; always `new + known + skipped`.
    pub listed: u64,
    /// Files recorded by this scan.
    pub new: u64,
    /// Files recorded before.
    pub known: u64,
    /// Everything else, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// The first URIs of a reason: of what could not be read; in an audit, of every reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped_uris: BTreeMap<String, Vec<String>>,
    /// Bytes of the new files.
    pub new_bytes: u64,
    /// Names that the watermark does not wait for any more; scans look at each of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub names_postponed: u64,
    /// What an earlier complete one listed, if this one listed nothing, or less than half of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listed_before: Option<i64>,
    /// Newest modified time seen, cut at the scan's start; what the watermark may move to.
    #[serde(skip)]
    pub newest_seen: Option<DateTime<Utc>>,
}

impl ScanCounts {
    /// Keeps the name of something that was skipped, if it is among the first of its reason.
    pub fn name_skipped(&mut self, reason: &str, uri: &str) {
        let uris = self.skipped_uris.entry(reason.to_owned()).or_default();
        if uris.len() < KEPT_NAMES {
            uris.push(uri.to_owned());
        }
    }
}

/// A number of files, and the names of the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedFiles {
    /// How many.
    pub files: u64,
    /// The URIs of the first 20.
    pub uris: Vec<String>,
}

impl NamedFiles {
    /// One more.
    pub fn add(&mut self, uri: &str) {
        self.files += 1;
        if self.uris.len() < KEPT_NAMES {
            self.uris.push(uri.to_owned());
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Records that a scan has begun; gives its id and its start by the database's clock.
///
/// The caller holds the dataset's lock, so whatever scan of it has no end has died.
pub async fn begin_scan(
    client: &Client,
    dataset_id: i32,
    kind: ScanKind,
) -> Result<(i64, DateTime<Utc>), tokio_postgres::Error> {
    let row = client
        .query_one(
            "WITH died AS (
                 UPDATE longshore.scan
                 SET outcome = 'DIED', finished_time = coalesce(finished_time, progress_time)
                 WHERE dataset_id = $1 AND outcome IS NULL
             )
             INSERT INTO longshore.scan (dataset_id, kind, backend_pid) VALUES ($1, $2, pg_backend_pid())
             RETURNING id, started_time",
            &[&dataset_id, &kind.name()],
        )
        .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Records how far a scan is.
pub async fn record_progress(
    client: &Client,
    scan_id: i64,
    counts: &ScanCounts,
) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            "UPDATE longshore.scan
             SET progress_time = clock_timestamp(), files_listed = $2, files_new = $3, files_known = $4,
                 files_skipped = $5, skipped_uris = $6, new_bytes = $7
             WHERE id = $1",
            &[
                &scan_id,
                &signed(counts.listed),
                &signed(counts.new),
                &signed(counts.known),
                &Json(&counts.skipped),
                &Json(&counts.skipped_uris),
                &signed(counts.new_bytes),
            ],
        )
        .await?;
    Ok(())
}

/// Of each kind a dataset keeps its newest 1,000 scans, and beyond them, for thirty days, the newest 10,000 of those that
/// found files or began to fail: a schedule of seconds must not fill the books. Only the first scan of an hour looks for
/// what is to be forgotten, because that means to go through all that are kept.
const FORGET_OLD: &str = "
    , first_of_hour AS (
        SELECT dataset_id, kind FROM ended
        WHERE date_trunc('hour', started_time) IS DISTINCT FROM (
            SELECT date_trunc('hour', before.started_time) FROM longshore.scan AS before
            WHERE before.dataset_id = ended.dataset_id AND before.kind = ended.kind AND before.id < ended.id
            ORDER BY before.id DESC LIMIT 1)
    ), kept AS (
        SELECT scan.id, scan.started_time, is_telling, row_number() OVER newest_first AS place,
               count(*) FILTER (WHERE is_telling) OVER newest_first AS telling_place
        FROM first_of_hour
        JOIN longshore.scan USING (dataset_id, kind)
        CROSS JOIN LATERAL (
            SELECT scan.files_new > 0 OR scan.failing_since IS NOT DISTINCT FROM scan.started_time AS is_telling
        ) AS told
        WINDOW newest_first AS (ORDER BY scan.id DESC ROWS UNBOUNDED PRECEDING)
    ), forgotten AS (
        DELETE FROM longshore.scan USING kept
        WHERE scan.id = kept.id AND place > 1000
          AND (NOT is_telling OR telling_place > 10000 OR kept.started_time < now() - interval '30 days')
    )";

/// What a listing is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Anything, also nothing: loaded files leave the source, or nothing is known of it yet.
    Anything,
    /// Something, if the one before listed something: how much changes with the folders that are listed.
    Something,
    /// At least half of what the one before listed.
    HalfOfBefore,
}

/// From how many entries on half of them tell that something is missing.
const MANY: i64 = 20;

/// Records the counts, and moves the watermark, which only a scan that saw everything may do. Gives what an earlier complete one of its
/// kind listed, if this one listed much less: as long as nothing is listed, the last one that listed something.
///
/// A spec that was applied meanwhile, as another version than `version`, may name another source: then the watermark
/// stays where `apply` has set it.
pub async fn finish_scan(
    client: &Client,
    scan_id: i64,
    version: i32,
    counts: &ScanCounts,
    expected: Expected,
    findings: Option<&AuditFindings>,
) -> Result<Option<i64>, tokio_postgres::Error> {
    record_progress(client, scan_id, counts).await?;
    let sql = format!(
        "WITH ended AS (
             UPDATE longshore.scan
             SET finished_time = clock_timestamp(), outcome = 'COMPLETE', audit = $2, names_postponed = $5,
                 listed_before = (
                     SELECT listed
                     FROM (SELECT CASE WHEN before.files_listed = 0 THEN before.listed_before ELSE before.files_listed END
                           FROM longshore.scan AS before
                           WHERE before.dataset_id = scan.dataset_id AND before.kind = scan.kind AND before.id < scan.id
                             AND before.outcome = 'COMPLETE'
                           ORDER BY before.id DESC LIMIT 1) AS last (listed)
                     WHERE $6 AND scan.files_listed = 0 OR $7 AND listed >= {MANY} AND scan.files_listed < listed / 2)
             WHERE id = $1
             RETURNING id, dataset_id, kind, started_time, listed_before
         ), moved AS (
             UPDATE longshore.dataset SET watermark = greatest(watermark, $3)
             FROM ended WHERE dataset.id = ended.dataset_id AND dataset.current_version = $4
         ){FORGET_OLD}
         SELECT listed_before FROM ended"
    );
    let postponed = signed(counts.names_postponed);
    let (is_something, is_half) = (expected != Expected::Anything, expected == Expected::HalfOfBefore);
    let row = client
        .query_opt(
            &sql,
            &[
                &scan_id,
                &findings.map(Json),
                &counts.newest_seen,
                &version,
                &postponed,
                &is_something,
                &is_half,
            ],
        )
        .await?;
    row.map_or(Ok(None), |row| row.try_get(0))
}

/// Records why a scan ended early, and what it had counted by then; the watermark stays.
pub async fn end_early(
    client: &Client,
    scan_id: i64,
    counts: &ScanCounts,
    end: EarlyEnd,
    error: &str,
) -> Result<(), tokio_postgres::Error> {
    record_progress(client, scan_id, counts).await?;
    let outcome = match end {
        EarlyEnd::Failed => "FAILED",
        EarlyEnd::Stopped => "STOPPED",
    };
    let sql = format!(
        "WITH ended AS (
             UPDATE longshore.scan
             SET finished_time = clock_timestamp(), outcome = $2, error = $3,
                 failing_since = CASE WHEN $2 = 'FAILED' THEN coalesce((
                     SELECT before.failing_since FROM longshore.scan AS before
                     WHERE before.dataset_id = scan.dataset_id AND before.kind = scan.kind AND before.id < scan.id
                       AND before.outcome IN ('COMPLETE', 'FAILED')
                     ORDER BY before.id DESC LIMIT 1
                 ), started_time) END
             WHERE id = $1
             RETURNING id, dataset_id, kind, started_time
         ){FORGET_OLD}
         SELECT FROM ended"
    );
    client.execute(&sql, &[&scan_id, &outcome, &error]).await?;
    Ok(())
}

/// When the dataset's last scan began that saw everything it was to see; an audit is one, too.
pub async fn last_complete_scan(
    client: &Client,
    dataset_id: i32,
) -> Result<Option<DateTime<Utc>>, tokio_postgres::Error> {
    let row = client
        .query_opt(
            "SELECT started_time FROM longshore.scan WHERE dataset_id = $1 AND outcome = 'COMPLETE'
             ORDER BY id DESC LIMIT 1",
            &[&dataset_id],
        )
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
