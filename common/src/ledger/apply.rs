//! Storing a spec as a new version, together with its target table.

use tokio_postgres::{Client, Transaction, error::SqlState, types::Json};

use super::{
    leases::{AFTER_LOAD_SPEC_CLASS, APPLY_KEY, SINGLE_CLASS},
    target::{self, ApplyError, TableChange},
};
use crate::dataset::Dataset;

/// What applying a spec did.
#[derive(Debug)]
pub struct Applied {
    /// The version that is current now.
    pub version: i32,
    /// Whether that version is new; the same spec applied again stays the same version.
    pub is_new_version: bool,
    /// What became of the target table.
    pub table: TableChange,
    /// Columns of the version before that this one does not have. The table keeps them, NULL in rows to come.
    pub columns_left_out: Vec<String>,
}

/// Stores `spec` as the current version of its dataset, in one transaction with creating or widening its table.
pub async fn apply(client: &mut Client, spec: &Dataset) -> Result<Applied, ApplyError> {
    let transaction = client.transaction().await?;
    // One apply at a time: two at once would both find the table missing.
    transaction.execute("SELECT pg_advisory_xact_lock($1, $2)", &[&SINGLE_CLASS, &APPLY_KEY]).await?;
    // A load holds its lock on the table until it commits. Waiting for it without bound would make every other load and
    // every reader of the table wait behind this one.
    transaction.batch_execute("SET LOCAL lock_timeout = '10s'").await?;
    refuse_foreign_table(&transaction, spec).await?;
    let table = target::create_or_widen(&transaction, spec).await?;
    let Stored { version, is_new_version, columns_left_out } = store(&transaction, spec).await?;
    transaction.commit().await?;
    Ok(Applied { version, is_new_version, table, columns_left_out })
}

struct Stored {
    version: i32,
    is_new_version: bool,
    columns_left_out: Vec<String>,
}

async fn refuse_foreign_table(transaction: &Transaction<'_>, spec: &Dataset) -> Result<(), ApplyError> {
    let other = transaction
        .query_opt(
            "SELECT name FROM longshore.dataset WHERE target_table = $1 AND name <> $2",
            &[&spec.target.table, &spec.name],
        )
        .await?;
    if let Some(other) = other {
        let owner: String = other.get(0);
        let table = &spec.target.table;
        return Err(ApplyError::Refused(format!(
            "table {table} belongs to dataset `{owner}`; name another table"
        )));
    }
    let before = transaction
        .query_opt(
            "SELECT target_table FROM longshore.dataset WHERE name = $1 AND target_table <> $2",
            &[&spec.name, &spec.target.table],
        )
        .await?;
    if let Some(before) = before {
        let table: String = before.get(0);
        return Err(ApplyError::Refused(format!(
            "dataset `{}` loads into {table}; a dataset keeps its table, so give the new table a dataset of its own",
            spec.name
        )));
    }
    Ok(())
}

async fn store(transaction: &Transaction<'_>, spec: &Dataset) -> Result<Stored, ApplyError> {
    let row = transaction
        .query_opt(
            "SELECT dataset.id, dataset.current_version, dataset_version.spec
             FROM longshore.dataset
             JOIN longshore.dataset_version
               ON dataset_version.dataset_id = dataset.id AND dataset_version.version = dataset.current_version
             WHERE dataset.name = $1",
            &[&spec.name],
        )
        .await?;
    let Some(row) = row else {
        let id: i32 = transaction
            .query_one(
                "INSERT INTO longshore.dataset (name, target_table, current_version) VALUES ($1, $2, 1) RETURNING id",
                &[&spec.name, &spec.target.table],
            )
            .await?
            .get(0);
        insert_version(transaction, id, 1, spec).await?;
        return Ok(Stored { version: 1, is_new_version: true, columns_left_out: Vec::new() });
    };
    let (id, current): (i32, i32) = (row.get(0), row.get(1));
    // A stored spec of an older program may not read back; then the new one is a new version.
    let before: Option<Dataset> = row.try_get::<_, Json<Dataset>>(2).ok().map(|Json(before)| before);
    if before.as_ref() == Some(spec) {
        return Ok(Stored { version: current, is_new_version: false, columns_left_out: Vec::new() });
    }
    wait_for_after_loads(transaction, id).await?;
    insert_version(transaction, id, current + 1, spec).await?;
    let has = |name: &String| spec.columns.iter().any(|column| column.name == *name);
    let columns_before = before.iter().flat_map(|before| &before.columns).map(|column| &column.name);
    let columns_left_out = columns_before.filter(|name| !has(name)).cloned().collect();
    // Other files count now, however old they are: the next scan compares everything.
    let same_files = before.is_some_and(|before| {
        before.source == spec.source
            && before.include == spec.include
            && before.discovery.partition == spec.discovery.partition
            && before.discovery.follow_links == spec.discovery.follow_links
    });
    transaction
        .execute(
            "UPDATE longshore.dataset
             SET current_version = $2, modified_time = now(), watermark = CASE WHEN $3 THEN watermark END
             WHERE id = $1",
            &[&id, &(current + 1), &same_files],
        )
        .await?;
    Ok(Stored { version: current + 1, is_new_version: true, columns_left_out })
}

/// Waits until no loaded file is being moved or deleted as the version before says: who changes that may rest on it afterwards.
async fn wait_for_after_loads(transaction: &Transaction<'_>, dataset_id: i32) -> Result<(), ApplyError> {
    let sql = "SELECT pg_advisory_xact_lock($1, $2)";
    match transaction.execute(sql, &[&AFTER_LOAD_SPEC_CLASS, &dataset_id]).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Err(ApplyError::Refused(
            "loaded files of the dataset are being moved or deleted, and their store is slow; try again in a minute".to_owned(),
        )),
        Err(error) => Err(error.into()),
    }
}

async fn insert_version(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    version: i32,
    spec: &Dataset,
) -> Result<(), tokio_postgres::Error> {
    transaction
        .execute(
            "INSERT INTO longshore.dataset_version (dataset_id, version, spec) VALUES ($1, $2, $3)",
            &[&dataset_id, &version, &Json(spec)],
        )
        .await?;
    Ok(())
}
