//! New versions with far fewer rows than those that they replace (`discovery.min_rows_ratio`): they wait for an operator.

use tokio_postgres::{Client, Error, Transaction};

/// A version with too few rows.
#[derive(Debug, Clone, Copy)]
pub struct TooFewRows {
    /// `longshore.file.id`.
    pub file_id: i64,
    /// Its rows.
    pub rows: i64,
    /// Those of the version that it replaced.
    pub earlier_rows: i64,
}

/// Which of these loaded files have fewer rows than `min_ratio` of those that they have just replaced. A reload may have so
/// few: an operator has asked for it.
pub async fn with_too_few_rows(
    transaction: &Transaction<'_>,
    min_ratio: f64,
    file_ids: &[i64],
) -> Result<Vec<TooFewRows>, Error> {
    let rows = transaction
        .query(
            "SELECT own.id, own_load.rows_loaded, max(earlier_load.rows_loaded)
             FROM longshore.file AS own
             JOIN longshore.file_load AS own_load ON own_load.file_id = own.id
             JOIN longshore.file AS earlier
               ON earlier.dataset_id = own.dataset_id AND earlier.uri = own.uri AND earlier.id < own.id
             JOIN longshore.file_load AS earlier_load
               ON earlier_load.file_id = earlier.id AND earlier_load.replaced_by = own.id
             WHERE own.id = ANY($1) AND NOT own.is_reload
             GROUP BY own.id, own_load.rows_loaded
             HAVING own_load.rows_loaded < $2 * max(earlier_load.rows_loaded)::double precision",
            &[&file_ids, &min_ratio],
        )
        .await?;
    let too_few = |row: &tokio_postgres::Row| {
        Ok(TooFewRows { file_id: row.try_get(0)?, rows: row.try_get(1)?, earlier_rows: row.try_get(2)? })
    };
    rows.iter().map(too_few).collect()
}

/// Notes files that FAILED for too few rows.
pub async fn mark_too_few_rows(transaction: &Transaction<'_>, file_ids: &[i64]) -> Result<(), Error> {
    let sql = "UPDATE longshore.file SET has_too_few_rows = true WHERE id = ANY($1)";
    transaction.execute(sql, &[&file_ids]).await?;
    Ok(())
}

/// How many files are FAILED for too few rows, and wait for an operator or for a newer version.
pub async fn files_with_too_few_rows(client: &Client) -> Result<i64, Error> {
    let row = client
        .query_one(
            "SELECT count(*) FROM longshore.file JOIN longshore.task ON task.id = file.task_id
             WHERE file.has_too_few_rows AND file.superseded_by IS NULL AND task.status = 'FAILED'",
            &[],
        )
        .await?;
    row.try_get(0)
}
