//! How many files, tasks and loaded rows there are, without reading them: triggers append the differences to
//! `longshore.total_change`, and the sum with `longshore.total` is exact in every snapshot.

use tokio_postgres::Client;

/// All rows of both tables; their sums are the counts.
pub(super) const TOTALS: &str = "(TABLE longshore.total UNION ALL TABLE longshore.total_change)";

/// Differences that one call adds up, so that it stays short after a time without a scanner.
const MAX_CHANGES: i64 = 50_000;

/// Adds the differences to the totals and deletes them, in one statement, so that no snapshot counts one twice or not at all.
/// Gives how many there were. Beside another caller it takes those that the other leaves.
pub async fn add_up_totals(client: &Client) -> Result<u64, tokio_postgres::Error> {
    let row = client
        .query_one(
            "WITH next AS MATERIALIZED (
                 SELECT ctid FROM longshore.total_change LIMIT $1 FOR UPDATE SKIP LOCKED
             ), taken AS (
                 DELETE FROM longshore.total_change WHERE ctid = ANY (ARRAY(SELECT ctid FROM next))
                 RETURNING *
             ), added AS (
                 INSERT INTO longshore.total AS total
                 SELECT dataset_id, sum(files), sum(files_ignored), sum(tasks), sum(rows_read), sum(rows_loaded),
                        sum(rows_rejected)
                 FROM taken GROUP BY dataset_id ORDER BY dataset_id
                 ON CONFLICT (dataset_id) DO UPDATE
                 SET files = total.files + excluded.files, files_ignored = total.files_ignored + excluded.files_ignored,
                     tasks = total.tasks + excluded.tasks, rows_read = total.rows_read + excluded.rows_read,
                     rows_loaded = total.rows_loaded + excluded.rows_loaded,
                     rows_rejected = total.rows_rejected + excluded.rows_rejected
             )
             SELECT count(*) FROM taken",
            &[&MAX_CHANGES],
        )
        .await?;
    row.try_get::<_, i64>(0).map(i64::unsigned_abs)
}
