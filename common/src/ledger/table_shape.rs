//! How large a target table is and how it is divided: what one statement may read of it, so that a long walk through a table
//! shows that it moves.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use postgres_protocol::escape::escape_literal;
use tokio_postgres::{Error, GenericClient};

/// Blocks that one statement reads at most.
pub(super) const STATEMENT_BLOCKS: i64 = 16_384;
/// How often a statement shows that it is waited for, and how long that may go on.
const STEP_EVERY: Duration = Duration::from_millis(500);
const LONGEST_STATEMENT: Duration = Duration::from_secs(3600);

/// A table, partitioned or not.
#[derive(Debug)]
pub(super) struct TableShape {
    /// It has no blocks of its own.
    pub(super) is_partitioned: bool,
    /// An index finds the rows of a file.
    pub(super) has_file_index: bool,
    /// Of the table, or of its largest partition: each has blocks from 0.
    pub(super) blocks: i64,
    /// Of all partitions.
    pub(super) total_blocks: i64,
    /// What one statement may read of each partition, so that it reads about [`STATEMENT_BLOCKS`] of all.
    pub(super) statement_blocks: i64,
}

impl TableShape {
    /// `table` is quoted for SQL.
    pub(super) async fn of(client: &impl GenericClient, table: &str) -> Result<Self, Error> {
        let table = escape_literal(table);
        let sql = format!(
            "SELECT relkind = 'p', has_file_index, blocks, total_blocks
             FROM pg_class
             CROSS JOIN LATERAL (
                 SELECT count(*) > 0 AS has_file_index
                 FROM pg_index
                 JOIN pg_class AS index_class ON index_class.oid = indexrelid
                 JOIN pg_am ON pg_am.oid = index_class.relam
                 JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
                 WHERE indrelid = pg_class.oid AND indisvalid AND indpred IS NULL AND attname = '_file_id'
                   AND amname IN ('btree', 'hash')
             ) AS indexes
             CROSS JOIN LATERAL (
                 SELECT coalesce(max(size), 0)::bigint AS blocks, coalesce(sum(size), 0)::bigint AS total_blocks
                 FROM (SELECT pg_class.oid UNION SELECT relid FROM pg_partition_tree(pg_class.oid)) AS part (relid)
                 CROSS JOIN LATERAL (
                     SELECT pg_relation_size(relid) / current_setting('block_size')::bigint AS size
                 ) AS sizes
             ) AS sizes
             WHERE pg_class.oid = {table}::regclass"
        );
        let row = client.query_one(&sql, &[]).await?;
        let (blocks, total_blocks): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        Ok(Self {
            is_partitioned: row.try_get(0)?,
            has_file_index: row.try_get(1)?,
            blocks,
            total_blocks,
            statement_blocks: statement_blocks(blocks, total_blocks),
        })
    }
}

fn statement_blocks(blocks: i64, total_blocks: i64) -> i64 {
    (STATEMENT_BLOCKS * blocks.max(1) / total_blocks.max(1)).max(1)
}

/// Waits for a statement that may take longer than anything else may be silent.
pub(super) async fn shown<T>(statement: impl Future<Output = T>, on_step: &(dyn Fn() + Send + Sync)) -> T {
    let mut statement = pin!(statement);
    let began = Instant::now();
    loop {
        tokio::select! {
            answer = &mut statement => {
                on_step();
                return answer;
            }
            () = tokio::time::sleep(STEP_EVERY), if began.elapsed() < LONGEST_STATEMENT => on_step(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_reads_as_much_of_many_partitions_as_of_one_table() {
        assert_eq!(statement_blocks(0, 0), STATEMENT_BLOCKS);
        assert_eq!(statement_blocks(1_000_000, 1_000_000), STATEMENT_BLOCKS);
        assert_eq!(statement_blocks(10_000, 1_000_000), 163);
        // One large partition among many that are nearly empty.
        assert_eq!(statement_blocks(1_000_000, 1_001_000), 16_367);
        assert_eq!(statement_blocks(1, 100_000), 1);
    }
}
