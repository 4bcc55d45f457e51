//! Finding the rows of files in their target table, and removing them, in statements that each read a bounded part of it.
//!
//! With an index on `_file_id` that is one statement. Without, rows are looked for in the blocks in which their load put
//! them. A load's first rows fill up the page that its session wrote last, which may be far back. Rows also lie elsewhere if
//! vacuum had found free space before the load, or if the table was rewritten since. What a file falls short of is looked for
//! where earlier loads ended, in a sample of the table, and then in all of it. Loads into a partitioned table leave no blocks:
//! there the sample is the first that is looked at.

use std::{collections::HashMap, ops::Range};

use postgres_protocol::escape::escape_literal;
use tokio_postgres::{Error, Transaction};

use super::{
    removal::{Missing, RemovalFrom},
    table_shape::{STATEMENT_BLOCKS, TableShape, shown},
};

/// Loads that run at once extend a table in turns: rows may lie a little beside the blocks that were seen.
const WIDENED_BLOCKS: i64 = 512;
/// What is read on both sides of an earlier load's end: tables are extended by up to so many blocks at once.
const WIDENED_END_BLOCKS: i64 = 64;
/// Tasks before a file's own whose ends are looked at: one of them was probably its session's.
const EARLIER_TASKS: i64 = 200;
/// Share of a table's blocks that a sample reads, in percent.
const SAMPLE_PERCENT: f64 = 5.0;
/// Blocks that a sample reads at most: it is one statement.
const SAMPLE_BLOCKS: f64 = 65_536.0;

/// The rows of files that are still to be found.
pub(super) struct RowSearch<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) removal: &'a RemovalFrom<'a>,
    pub(super) missing: &'a mut Missing,
}

impl RowSearch<'_> {
    /// Removes what it finds; ends when nothing is missing, or everything was read. `ranges` are the blocks in which loads
    /// put the rows.
    pub(super) async fn remove(&mut self, shape: &TableShape, ranges: Vec<Range<i64>>) -> Result<(), Error> {
        let table = self.removal.table;
        if shape.has_file_index {
            return self.remove_where(table, "").await;
        }
        if !shape.is_partitioned {
            self.remove_within(table, merged(ranges, WIDENED_BLOCKS)).await?;
        }
        // A walk that is one statement needs nothing before it.
        if !self.missing.is_empty() && shape.total_blocks > STATEMENT_BLOCKS {
            if !shape.is_partitioned {
                let ends = merged(self.earlier_ends().await?, WIDENED_END_BLOCKS);
                self.remove_within(table, ends).await?;
            }
            self.remove_around_sample(shape.total_blocks).await?;
        }
        self.walk(shape).await
    }

    /// One statement, so that no row escapes it by moving.
    pub(super) async fn has_rows(&self) -> Result<bool, Error> {
        let exists = format!("SELECT EXISTS (SELECT FROM {} WHERE _file_id = ANY($1))", self.removal.table);
        let files = self.missing.files();
        let asking = async { self.transaction.query_one(&exists, &[&files]).await };
        shown(asking, self.removal.on_step).await?.try_get(0)
    }

    /// All of the table, part by part.
    async fn walk(&mut self, shape: &TableShape) -> Result<(), Error> {
        let mut start = 0;
        while !self.missing.is_empty() && start <= shape.blocks {
            let end = start + shape.statement_blocks;
            // The last one has no end: the table may have grown.
            let range = if end <= shape.blocks { within(start, end) } else { from(start) };
            self.remove_where(self.removal.table, &range).await?;
            start = end;
        }
        Ok(())
    }

    /// Around the rows that a sample finds, in the partition where it finds them if this role may remove them there.
    async fn remove_around_sample(&mut self, total_blocks: i64) -> Result<(), Error> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let percent = SAMPLE_PERCENT.min(100.0 * SAMPLE_BLOCKS / total_blocks as f64);
        // Rows are removed from a partition itself only where nothing on the parent would have had a word in it.
        let sample = format!(
            "WITH hit AS MATERIALIZED (
                 SELECT DISTINCT tableoid AS relid, (ctid::text::point)[0]::bigint AS block
                 FROM {table} TABLESAMPLE SYSTEM ({percent}) WHERE _file_id = ANY($1)
             ), parent AS (
                 SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = {name}::regclass AND NOT tgisinternal
                                                         AND tgtype & 9 = 8)
                        OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class = {name}::regclass) AS is_asked
             )
             SELECT relid::regclass::text, block FROM hit, parent
             WHERE relid = {name}::regclass
                   OR NOT is_asked AND has_table_privilege(relid, 'SELECT') AND has_table_privilege(relid, 'DELETE')",
            table = self.removal.table,
            name = escape_literal(self.removal.table),
        );
        let files = self.missing.files();
        let sampling = async { self.transaction.query(&sample, &[&files]).await };
        let hits = shown(sampling, self.removal.on_step).await?;
        let mut around: HashMap<String, Vec<Range<i64>>> = HashMap::new();
        for hit in &hits {
            let block: i64 = hit.try_get(1)?;
            around.entry(hit.try_get(0)?).or_default().push(block..block + 1);
        }
        for (table, ranges) in around {
            self.remove_within(&table, merged(ranges, WIDENED_BLOCKS)).await?;
        }
        Ok(())
    }

    async fn remove_within(&mut self, table: &str, ranges: Vec<Range<i64>>) -> Result<(), Error> {
        for range in ranges {
            let mut start = range.start;
            while start < range.end && !self.missing.is_empty() {
                let end = range.end.min(start + STATEMENT_BLOCKS);
                self.remove_where(table, &within(start, end)).await?;
                start = end;
            }
        }
        Ok(())
    }

    async fn remove_where(&mut self, table: &str, condition: &str) -> Result<(), Error> {
        let delete = format!(
            "WITH removed AS (DELETE FROM {table} WHERE _file_id = ANY($1) {condition} RETURNING _file_id)
             SELECT _file_id, count(*) FROM removed GROUP BY _file_id"
        );
        let files = self.missing.files();
        let deleting = async { self.transaction.query(&delete, &[&files]).await };
        for row in &shown(deleting, self.removal.on_step).await? {
            let count: i64 = row.try_get(1)?;
            if let Some(rows) = self.missing.0.get_mut(&row.try_get(0)?) {
                rows.found += count;
            }
        }
        Ok(())
    }

    /// Where the tasks ended that came before the files' own, and where the files of their own tasks did. Tasks' ids are in
    /// the order of time. Of all datasets' tasks only so many are looked at: a small dataset's last one may lie far back.
    async fn earlier_ends(&self) -> Result<Vec<Range<i64>>, Error> {
        let ends = "WITH own AS (
                SELECT DISTINCT task.id, task.dataset_id
                FROM longshore.file_load JOIN longshore.task ON task.id = file_load.task_id
                WHERE file_load.file_id = ANY($1)
            )
            SELECT max(end_block) FROM longshore.file_load
            WHERE task_id IN (
                SELECT earlier.id FROM own CROSS JOIN LATERAL (
                    SELECT id FROM (SELECT id, dataset_id FROM longshore.task WHERE id < own.id
                                    ORDER BY id DESC LIMIT 1000) AS before
                    WHERE dataset_id = own.dataset_id ORDER BY id DESC LIMIT $2
                ) AS earlier
            )
            GROUP BY task_id
            UNION
            SELECT end_block FROM longshore.file_load WHERE task_id IN (SELECT id FROM own)";
        let files = self.missing.files();
        let asking = async { self.transaction.query(ends, &[&files, &EARLIER_TASKS]).await };
        let ends = shown(asking, self.removal.on_step).await?;
        ends.iter().map(|end| end.try_get(0).map(|block: i64| block..block)).collect()
    }
}

/// Blocks are written into the statement, because only constants make it a Tid Range Scan.
pub(super) fn within(start: i64, end: i64) -> String {
    format!("{} AND ctid < '({end},0)'::tid", from(start))
}

pub(super) fn from(start: i64) -> String {
    format!("AND ctid >= '({start},0)'::tid")
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
