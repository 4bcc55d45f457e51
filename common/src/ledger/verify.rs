//! `longshore verify`: a target table against the ledger, file by file.
//!
//! One snapshot for all of it: a load commits rows and counts together, so that loads which run beside this are no difference.
//! The table is read once, part by part; the counts are kept in a temporary table, so that memory does not grow with the files.

use postgres_protocol::escape::escape_literal;
use serde::Serialize;
use tokio_postgres::{Client, Error, IsolationLevel, Transaction};

use super::{
    row_search::{from, within},
    table_shape::TableShape,
};

/// Files of each kind that are named.
const NAMED_FILES: i64 = 1000;

/// A target table that was held against the ledger.
#[derive(Debug, Default, Serialize)]
pub struct Verified {
    /// Rows in the table.
    pub rows: i64,
    /// Files whose rows are in it, by the ledger.
    pub files: i64,
    /// Files of which rows are missing.
    pub fewer: DifferingFiles,
    /// Loaded files of which there are more rows than were loaded.
    pub more: DifferingFiles,
    /// Files of which there are rows, and that are not loaded: replaced, unloaded, or not known at all.
    pub not_loaded: DifferingFiles,
}

impl Verified {
    /// Whether the table is as the ledger says.
    pub fn agrees(&self) -> bool {
        [&self.fewer, &self.more, &self.not_loaded].iter().all(|differing| differing.files == 0)
    }
}

/// Files that differ in the same way.
#[derive(Debug, Default, Serialize)]
pub struct DifferingFiles {
    /// How many.
    pub files: i64,
    /// Their rows in the table.
    pub rows_found: i64,
    /// Their rows by the ledger.
    pub rows_expected: i64,
    /// The first thousand of them.
    pub first: Vec<DifferingFile>,
}

/// A file whose rows in the table are not as many as the ledger says.
#[derive(Debug, Serialize)]
pub struct DifferingFile {
    /// The rows' `_file_id`; `None` where that is null.
    pub file_id: Option<i64>,
    /// Its URI; `None` if no file has this id.
    pub file_name: Option<String>,
    /// Its rows in the table.
    pub rows_found: i64,
    /// Its rows by the ledger.
    pub rows_expected: i64,
}

/// Counts the rows of a dataset's table, which is quoted for SQL, and compares. `on_progress` is told how many blocks were
/// read, and of how many. With `missing_rows_are_gone`, the ledger takes over what it found missing.
pub async fn verify(
    client: &mut Client,
    dataset_id: i32,
    table: &str,
    missing_rows_are_gone: bool,
    on_progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Verified, Error> {
    let transaction =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
    // Locked before the snapshot is taken: a TRUNCATE between the two would leave a table that is empty in this snapshot.
    let begin = format!(
        "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '1h';
         LOCK TABLE {table} IN ACCESS SHARE MODE;
         CREATE TEMPORARY TABLE rows_by_file (file_id bigint, rows bigint NOT NULL) ON COMMIT DROP"
    );
    transaction.batch_execute(&begin).await?;
    count_rows(&transaction, table, on_progress).await?;
    let verified = compare(&transaction, dataset_id).await?;
    if missing_rows_are_gone && verified.fewer.files > 0 {
        accept(&transaction, dataset_id).await?;
    }
    transaction.commit().await?;
    Ok(verified)
}

/// Whether the table of a dataset is there.
pub async fn has_table(client: &Client, table: &str) -> Result<bool, Error> {
    let sql = format!("SELECT to_regclass({}) IS NOT NULL", escape_literal(table));
    client.query_one(&sql, &[]).await?.try_get(0)
}

async fn count_rows(
    transaction: &Transaction<'_>,
    table: &str,
    on_progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<(), Error> {
    let shape = TableShape::of(transaction, table).await?;
    let total = shape.total_blocks.unsigned_abs();
    let mut start = 0;
    while start <= shape.blocks {
        let done = total * start.unsigned_abs() / shape.blocks.max(1).unsigned_abs();
        on_progress(done, total);
        let end = start + shape.statement_blocks;
        // The last one has no end: the table may have grown.
        let range = if end <= shape.blocks { within(start, end) } else { from(start) };
        let count = format!(
            "INSERT INTO pg_temp.rows_by_file
             SELECT _file_id, count(*) FROM {table} WHERE true {range} GROUP BY _file_id"
        );
        transaction.execute(&count, &[]).await?;
        start = end;
    }
    on_progress(total, total);
    transaction.batch_execute("ANALYZE pg_temp.rows_by_file").await
}

/// What the table has of each file, and what the ledger says of those that are loaded.
const COMPARED: &str = "found AS (
        SELECT file_id, sum(rows)::bigint AS rows FROM pg_temp.rows_by_file GROUP BY file_id
    ), loaded AS (
        SELECT file_load.file_id, rows_loaded, rows_loaded - rows_gone AS rows
        FROM longshore.file_load JOIN longshore.file ON file.id = file_load.file_id
        WHERE file.dataset_id = $1 AND removed_time IS NULL
    ), compared AS (
        SELECT coalesce(found.file_id, loaded.file_id) AS file_id, coalesce(found.rows, 0) AS found,
               coalesce(loaded.rows, 0) AS expected, rows_loaded, loaded.file_id IS NOT NULL AS is_loaded
        FROM found FULL JOIN loaded ON loaded.file_id = found.file_id
    )";

async fn compare(transaction: &Transaction<'_>, dataset_id: i32) -> Result<Verified, Error> {
    let sums = format!(
        "WITH {COMPARED} SELECT coalesce(sum(found), 0)::bigint, count(*) FILTER (WHERE expected > 0) FROM compared"
    );
    let sums = transaction.query_one(&sums, &[&dataset_id]).await?;
    let differing = format!(
        "WITH {COMPARED}, differing AS (
             SELECT file_id, found, expected,
                    CASE WHEN NOT is_loaded THEN 'not loaded' WHEN found < expected THEN 'fewer' ELSE 'more' END AS kind
             FROM compared WHERE found <> expected
         ), ranked AS (
             SELECT *, row_number() OVER (PARTITION BY kind ORDER BY file_id) AS rank, count(*) OVER of_kind AS files,
                    (sum(found) OVER of_kind)::bigint AS all_found, (sum(expected) OVER of_kind)::bigint AS all_expected
             FROM differing WINDOW of_kind AS (PARTITION BY kind)
         )
         SELECT kind, files, all_found, all_expected, ranked.file_id, uri, found, expected
         FROM ranked LEFT JOIN longshore.file ON file.id = ranked.file_id
         WHERE rank <= $2
         ORDER BY ranked.file_id"
    );
    let mut verified = Verified { rows: sums.try_get(0)?, files: sums.try_get(1)?, ..Verified::default() };
    for row in transaction.query(&differing, &[&dataset_id, &NAMED_FILES]).await? {
        let of_kind = match row.try_get(0)? {
            "fewer" => &mut verified.fewer,
            "more" => &mut verified.more,
            _ => &mut verified.not_loaded,
        };
        (of_kind.files, of_kind.rows_found, of_kind.rows_expected) =
            (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        of_kind.first.push(DifferingFile {
            file_id: row.try_get(4)?,
            file_name: row.try_get(5)?,
            rows_found: row.try_get(6)?,
            rows_expected: row.try_get(7)?,
        });
    }
    Ok(verified)
}

/// The ledger takes over what the table has. A load that has replaced one of these files since the snapshot makes this fail.
async fn accept(transaction: &Transaction<'_>, dataset_id: i32) -> Result<(), Error> {
    let accept = format!(
        "WITH {COMPARED}
         UPDATE longshore.file_load SET rows_gone = file_load.rows_loaded - found
         FROM compared WHERE compared.file_id = file_load.file_id AND is_loaded AND found < expected"
    );
    transaction.execute(&accept, &[&dataset_id]).await?;
    Ok(())
}
