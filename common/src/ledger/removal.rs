//! Removing the rows of files from their target table, without an index: by the blocks in which their loads put them.
//!
//! A load's first rows fill up the page that its session wrote last, which may be far back. Rows also lie elsewhere if vacuum
//! had found free space before the load, or if the table was rewritten since. What a file falls short of is looked for where
//! earlier loads ended, in a sample of the table, and then in all of it.

use std::{
    collections::HashMap,
    ops::Range,
    pin::pin,
    time::{Duration, Instant},
};

use postgres_protocol::escape::escape_literal;
use thiserror::Error;
use tokio_postgres::{Transaction, types::ToSql};

use super::reload::UndoError;
use crate::database;

/// Loads that run at once extend a table in turns: rows may lie a little beside the blocks that were seen.
const WIDENED_BLOCKS: i64 = 512;
/// What is read on both sides of an earlier load's end: tables are extended by up to so many blocks at once.
const WIDENED_END_BLOCKS: i64 = 64;
/// Tasks before a file's own whose ends are looked at: one of them was probably its session's.
const EARLIER_TASKS: i64 = 200;
/// Blocks that one statement reads at most, so that a long removal shows that it moves.
const STATEMENT_BLOCKS: i64 = 16_384;
/// How often a statement that cannot be divided shows that it is waited for, and how long that may go on.
const STEP_EVERY: Duration = Duration::from_millis(500);
const LONGEST_STATEMENT: Duration = Duration::from_secs(3600);
/// Share of a table's blocks that a sample reads, in percent.
const SAMPLE_PERCENT: f64 = 5.0;
/// Blocks that a sample reads at most: it is one statement.
const SAMPLE_BLOCKS: f64 = 65_536.0;

/// Why rows of files are not removed.
#[derive(Debug, Error)]
pub enum RemovalError {
    /// Some are there although all of the table was read.
    #[error("a trigger or rule keeps rows that were to be removed, or somebody moved them meanwhile")]
    RowsStay,
    /// The database failed, or refused it.
    #[error(transparent)]
    Database(#[from] tokio_postgres::Error),
}

impl RemovalError {
    /// Whether the next try may succeed as things are.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::RowsStay => false,
            Self::Database(error) => database::is_transient(error),
        }
    }
}

impl From<RemovalError> for UndoError {
    fn from(error: RemovalError) -> Self {
        match error {
            RemovalError::RowsStay => Self::Refused(error.to_string()),
            RemovalError::Database(error) => Self::Database(error),
        }
    }
}

/// A target table from which rows are to be removed.
pub struct RemovalFrom<'a> {
    /// Quoted for SQL.
    pub table: &'a str,
    /// Told after each statement, of which a long removal has many.
    pub on_step: &'a (dyn Fn() + Send + Sync),
}

/// How much there is to read.
struct Size {
    /// Of the table, or of its largest partition: each has blocks from 0.
    blocks: i64,
    /// Of all partitions.
    total_blocks: i64,
    /// What one statement is to read of each partition: so that it reads [`STATEMENT_BLOCKS`] of all.
    statement_blocks: i64,
}

/// Rows that are still to be found, by file.
struct Missing(HashMap<i64, i64>);

impl Missing {
    fn files(&self) -> Vec<i64> {
        self.0.iter().filter(|(_, rows)| **rows > 0).map(|(file_id, _)| *file_id).collect()
    }

    fn is_empty(&self) -> bool {
        self.0.values().all(|rows| *rows <= 0)
    }
}

impl RemovalFrom<'_> {
    /// Whether removing rows removes or changes rows of other tables, by their foreign keys.
    pub async fn cascades(&self, transaction: &Transaction<'_>) -> Result<bool, tokio_postgres::Error> {
        let sql = format!(
            "SELECT EXISTS (
                 SELECT FROM pg_constraint
                 WHERE contype = 'f' AND confdeltype IN ('c', 'n', 'd')
                   AND (confrelid = {table}::regclass
                        OR confrelid IN (SELECT relid FROM pg_partition_tree({table}::regclass))))",
            table = escape_literal(self.table)
        );
        transaction.query_one(&sql, &[]).await?.try_get(0)
    }

    /// Removes the rows and rejects of loaded files; gives the number of rows. The books are the caller's affair.
    ///
    /// Fewer rows than were loaded are no error, as a user may have deleted some, but rows that stay are.
    pub(super) async fn remove(
        &self,
        transaction: &Transaction<'_>,
        file_ids: &[i64],
    ) -> Result<u64, RemovalError> {
        let loads = transaction
            .query(
                "SELECT file_id, rows_loaded, first_block, end_block FROM longshore.file_load
                 WHERE file_id = ANY($1) AND removed_time IS NULL",
                &[&file_ids],
            )
            .await?;
        let with_rows = || loads.iter().filter(|load| load.get::<_, i64>(1) > 0);
        let mut missing = Missing(with_rows().map(|load| (load.get(0), load.get(1))).collect());
        let ranges = with_rows().map(|load| load.get::<_, i64>(2)..load.get::<_, i64>(3)).collect();
        let mut removed =
            self.remove_within(transaction, merged(ranges, WIDENED_BLOCKS), &mut missing).await?;
        if !missing.is_empty() {
            removed += self.remove_elsewhere(transaction, &mut missing).await?;
        }
        if !missing.is_empty() && self.has_rows(transaction, &missing).await? {
            return Err(RemovalError::RowsStay);
        }
        transaction.execute("DELETE FROM longshore.reject WHERE file_id = ANY($1)", &[&file_ids]).await?;
        (self.on_step)();
        Ok(removed)
    }

    /// One statement, so that no row escapes it by moving. That may take longer than anything else may be silent.
    async fn has_rows(
        &self,
        transaction: &Transaction<'_>,
        missing: &Missing,
    ) -> Result<bool, tokio_postgres::Error> {
        let exists = format!("SELECT EXISTS (SELECT FROM {} WHERE _file_id = ANY($1))", self.table);
        let files = missing.files();
        let parameters: [&(dyn ToSql + Sync); 1] = [&files];
        let mut asking = pin!(transaction.query_one(&exists, &parameters));
        let began = Instant::now();
        loop {
            tokio::select! {
                row = &mut asking => return row?.try_get(0),
                () = tokio::time::sleep(STEP_EVERY), if began.elapsed() < LONGEST_STATEMENT => (self.on_step)(),
            }
        }
    }

    /// Around the ends of earlier loads, by a sample, and if that does not find everything, by a scan for all files together.
    async fn remove_elsewhere(
        &self,
        transaction: &Transaction<'_>,
        missing: &mut Missing,
    ) -> Result<u64, tokio_postgres::Error> {
        let Size { blocks, total_blocks, statement_blocks } = self.size(transaction).await?;
        let mut removed = 0;
        // A scan that is one statement needs nothing before it.
        if total_blocks > STATEMENT_BLOCKS {
            let ends = merged(earlier_ends(transaction, missing).await?, WIDENED_END_BLOCKS);
            removed += self.remove_within(transaction, ends, missing).await?;
        }
        if total_blocks > STATEMENT_BLOCKS && !missing.is_empty() {
            let percent = SAMPLE_PERCENT.min(100.0 * SAMPLE_BLOCKS / total_blocks as f64);
            let sample = format!(
                "SELECT DISTINCT (ctid::text::point)[0]::bigint FROM {} TABLESAMPLE SYSTEM ({percent})
                 WHERE _file_id = ANY($1)",
                self.table
            );
            let hits = transaction.query(&sample, &[&missing.files()]).await?;
            (self.on_step)();
            let around = hits.iter().map(|hit| hit.get::<_, i64>(0)).map(|block| block..block + 1).collect();
            removed += self.remove_within(transaction, merged(around, WIDENED_BLOCKS), missing).await?;
        }
        let mut start = 0;
        while !missing.is_empty() && start <= blocks {
            let end = start + statement_blocks;
            // The last one has no end: the table may have grown.
            let range = (start, (end <= blocks).then_some(end));
            removed += self.remove_range(transaction, range, missing).await?;
            start = end;
        }
        Ok(removed)
    }

    async fn size(&self, transaction: &Transaction<'_>) -> Result<Size, tokio_postgres::Error> {
        let table = escape_literal(self.table);
        let size = format!(
            "SELECT coalesce(max(size), 0)::bigint, coalesce(sum(size), 0)::bigint
             FROM (SELECT {table}::regclass UNION SELECT relid FROM pg_partition_tree({table}::regclass)) AS part (relid)
             CROSS JOIN LATERAL (
                 SELECT pg_relation_size(relid) / current_setting('block_size')::bigint AS size
             ) AS sizes"
        );
        let row = transaction.query_one(&size, &[]).await?;
        let (blocks, total_blocks): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let statement_blocks = (STATEMENT_BLOCKS * blocks / total_blocks.max(1)).max(1);
        Ok(Size { blocks, total_blocks, statement_blocks })
    }

    async fn remove_within(
        &self,
        transaction: &Transaction<'_>,
        ranges: Vec<Range<i64>>,
        missing: &mut Missing,
    ) -> Result<u64, tokio_postgres::Error> {
        let mut removed = 0;
        for range in ranges {
            let mut start = range.start;
            while start < range.end && !missing.is_empty() {
                let end = range.end.min(start + STATEMENT_BLOCKS);
                removed += self.remove_range(transaction, (start, Some(end)), missing).await?;
                start = end;
            }
        }
        Ok(removed)
    }

    /// Blocks are written into the statement, because only constants make it a Tid Range Scan.
    async fn remove_range(
        &self,
        transaction: &Transaction<'_>,
        (start, end): (i64, Option<i64>),
        missing: &mut Missing,
    ) -> Result<u64, tokio_postgres::Error> {
        let below_end = end.map(|end| format!("AND ctid < '({end},0)'::tid")).unwrap_or_default();
        let delete = format!(
            "WITH removed AS (
                 DELETE FROM {} WHERE ctid >= '({start},0)'::tid {below_end} AND _file_id = ANY($1)
                 RETURNING _file_id
             )
             SELECT _file_id, count(*) FROM removed GROUP BY _file_id",
            self.table
        );
        let rows = transaction.query(&delete, &[&missing.files()]).await?;
        (self.on_step)();
        let mut removed = 0;
        for row in &rows {
            let count: i64 = row.try_get(1)?;
            if let Some(rows) = missing.0.get_mut(&row.try_get(0)?) {
                *rows -= count;
            }
            removed += count.unsigned_abs();
        }
        Ok(removed)
    }
}

/// Where the tasks ended that came before the files' own, and where the files of their own tasks did. Tasks' ids are in the
/// order of time.
async fn earlier_ends(
    transaction: &Transaction<'_>,
    missing: &Missing,
) -> Result<Vec<Range<i64>>, tokio_postgres::Error> {
    let ends = transaction
        .query(
            "WITH own AS (
                 SELECT DISTINCT task.id, task.dataset_id
                 FROM longshore.file_load JOIN longshore.task ON task.id = file_load.task_id
                 WHERE file_load.file_id = ANY($1)
             )
             SELECT max(end_block) FROM longshore.file_load
             WHERE task_id IN (
                 SELECT earlier.id FROM own CROSS JOIN LATERAL (
                     SELECT id FROM longshore.task WHERE dataset_id = own.dataset_id AND id < own.id
                     ORDER BY id DESC LIMIT $2
                 ) AS earlier
             )
             GROUP BY task_id
             UNION
             SELECT end_block FROM longshore.file_load WHERE task_id IN (SELECT id FROM own)",
            &[&missing.files(), &EARLIER_TASKS],
        )
        .await?;
    ends.iter().map(|end| end.try_get(0).map(|block: i64| block..block)).collect()
}

/// Widened on both sides by so many blocks; what overlaps then is one.
fn merged(mut ranges: Vec<Range<i64>>, by: i64) -> Vec<Range<i64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<i64>> = Vec::new();
    for range in ranges {
        let range = (range.start - by).max(0)..range.end + by;
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_overlap_when_they_are_widened_are_read_once() {
        let check = |ranges: &[(i64, i64)], expected: &[(i64, i64)]| {
            let found = merged(ranges.iter().map(|(start, end)| *start..*end).collect(), WIDENED_BLOCKS);
            assert_eq!(found.iter().map(|range| (range.start, range.end)).collect::<Vec<_>>(), expected);
        };
        check(&[], &[]);
        check(&[(5, 9)], &[(0, 521)]);
        check(&[(5000, 5100), (3000, 3000), (4024, 4030)], &[(2488, 5612)]);
        check(&[(10_000, 10_001), (5000, 5001)], &[(4488, 5513), (9488, 10_513)]);
    }
}
