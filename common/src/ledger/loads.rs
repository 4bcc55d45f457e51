//! What a load leaves beside its rows: per-file counts and rejects, in the transaction of the rows.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use uuid::Uuid;

/// One loaded file.
#[derive(Debug, Clone, Copy)]
pub struct FileLoad {
    /// `longshore.file.id`.
    pub file_id: i64,
    /// Rows of the file; always loaded + rejected, which the table checks.
    pub rows_read: u64,
    /// What COPY reported.
    pub rows_loaded: u64,
    /// Rows in `longshore.reject`.
    pub rows_rejected: u64,
    /// Bytes after decompression.
    pub bytes_read: u64,
    /// Blocks of the target table before the file's first row.
    pub first_block: i64,
    /// Blocks of the target table after its last row.
    pub end_block: i64,
    /// When the file last changed, as it was opened, where its store tells.
    pub file_changed_time: Option<DateTime<Utc>>,
}

/// A row that broke a rule.
#[derive(Debug, Clone)]
pub struct RejectedRow {
    /// `longshore.file.id`.
    pub file_id: i64,
    /// Physical line on which the record begins, from 1.
    pub line: i32,
    /// Where the record begins in the decompressed file.
    pub byte_offset: i64,
    /// The column, if one is to blame.
    pub column: Option<String>,
    /// The record's text, cut at 8 KiB.
    pub raw: String,
    /// The rule's name.
    pub rule: &'static str,
    /// What was expected; never the value.
    pub reason: String,
}

impl RejectedRow {
    /// What it holds in memory, about.
    pub fn size_in_bytes(&self) -> usize {
        self.raw.len() + self.reason.len() + size_of::<Self>()
    }
}

/// Records the counts of files.
pub async fn record_file_loads(
    transaction: &Transaction<'_>,
    task_id: Uuid,
    attempt: i32,
    loads: &[FileLoad],
) -> Result<(), tokio_postgres::Error> {
    let numbers = |number: fn(&FileLoad) -> i64| loads.iter().map(number).collect::<Vec<i64>>();
    let statement = transaction
        .prepare_cached(
            "INSERT INTO longshore.file_load (task_id, attempt, file_id, rows_read, rows_loaded, rows_rejected,
                                              bytes_read, first_block, end_block, file_changed_time)
             SELECT $1, $2, loaded.*
             FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
                         $10::timestamptz[]) AS loaded",
        )
        .await?;
    transaction
        .execute(
            &statement,
            &[
                &task_id,
                &attempt,
                &numbers(|load| load.file_id),
                &numbers(|load| count(load.rows_read)),
                &numbers(|load| count(load.rows_loaded)),
                &numbers(|load| count(load.rows_rejected)),
                &numbers(|load| count(load.bytes_read)),
                &numbers(|load| load.first_block),
                &numbers(|load| load.end_block),
                &loads.iter().map(|load| load.file_changed_time).collect::<Vec<_>>(),
            ],
        )
        .await?;
    Ok(())
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Records rejected rows.
pub async fn record_rejects(
    transaction: &Transaction<'_>,
    rows: &[RejectedRow],
) -> Result<(), tokio_postgres::Error> {
    let files: Vec<i64> = rows.iter().map(|row| row.file_id).collect();
    let lines: Vec<i32> = rows.iter().map(|row| row.line).collect();
    let offsets: Vec<i64> = rows.iter().map(|row| row.byte_offset).collect();
    let columns: Vec<Option<&str>> = rows.iter().map(|row| row.column.as_deref()).collect();
    let raws: Vec<&str> = rows.iter().map(|row| row.raw.as_str()).collect();
    let rules: Vec<&str> = rows.iter().map(|row| row.rule).collect();
    let reasons: Vec<&str> = rows.iter().map(|row| row.reason.as_str()).collect();
    transaction
        .execute(
            "INSERT INTO longshore.reject (file_id, line, byte_offset, column_name, raw, rule, reason)
             SELECT *
             FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])",
            &[&files, &lines, &offsets, &columns, &raws, &rules, &reasons],
        )
        .await?;
    Ok(())
}
