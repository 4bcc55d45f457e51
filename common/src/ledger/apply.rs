//! Storing a spec as a new version, together with its target table.

use tokio_postgres::{Client, Transaction, error::SqlState, types::Json};

use super::{
    leases::{AFTER_LOAD_SPEC_CLASS, APPLY_KEY, SINGLE_CLASS},
    source_change::change_source,
    target::{self, ApplyError, TableChange},
    target_shape::{Lack, read_shape},
    target_wait::end_wait_now,
};
use crate::dataset::Dataset;

/// What applying a spec did, or would do.
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
    /// Columns that the spec requires and that the table leaves nullable, because an earlier program did not change them.
    pub nullable_columns: Vec<String>,
    /// Files whose URIs were rewritten.
    pub renamed_files: u64,
}

/// How a spec is applied.
#[derive(Debug, Default)]
pub struct ApplyOptions {
    /// Nothing is changed.
    pub dry_run: bool,
    /// A table is made although the ledger has rows in one of its name, which is missing.
    pub new_table: bool,
    /// What a changed source means.
    pub source_change: SourceChange,
}

/// What a source at another place means for files that were loaded from the one before.
#[derive(Debug, Default)]
pub enum SourceChange {
    /// Nobody has said it.
    #[default]
    Unsaid,
    /// The files there are new ones.
    NewFiles,
    /// They are the same ones, whose URIs began otherwise.
    RenamePrefix {
        /// How they began.
        old: String,
        /// How they begin now.
        new: String,
    },
}

/// Stores `spec` as the current version of its dataset, in one transaction with creating or widening its table.
///
/// Who waits for a lock on a table makes everybody wait behind it, also those who only read: it waits a moment only, and
/// [`ApplyError::TableInUse`] asks the caller to try again.
pub async fn apply(
    client: &mut Client,
    spec: &Dataset,
    options: &ApplyOptions,
) -> Result<Applied, ApplyError> {
    let transaction = client.transaction().await?;
    // One apply at a time: two at once would both find the table missing.
    transaction.execute("SELECT pg_advisory_xact_lock($1, $2)", &[&SINGLE_CLASS, &APPLY_KEY]).await?;
    transaction.batch_execute(TABLE_LOCK_TIMEOUT).await?;
    refuse_foreign_table(&transaction, spec).await?;
    let before = stored(&transaction, spec).await?;
    let is_same = before.as_ref().is_some_and(|before| before.spec.as_ref() == Some(spec));
    let shape = read_shape(&transaction, spec).await?;
    let mut lacks = match shape.exists() {
        true => shape.compare(spec).map_err(ApplyError::Refused)?,
        false => Vec::new(),
    };
    let mut nullable_columns = Vec::new();
    if is_same {
        // It was applied before programs did this; an apply that changes nothing must not be refused for it.
        lacks.retain(|lack| match lack {
            Lack::NotNull(column) => {
                nullable_columns.push(column.name.clone());
                false
            }
            _ => true,
        });
    }
    if let Some(before) = before.as_ref().filter(|_| !shape.exists() && !options.new_table) {
        refuse_lost_table(&transaction, before.id, spec).await?;
    }
    let mut renamed_files = 0;
    if let Some(before) = &before {
        renamed_files = change_source(&transaction, before, spec, options).await?;
    }
    let table = target::table_change(&shape, &lacks);
    if !options.dry_run {
        if let Some(before) = before.as_ref().filter(|_| !is_same) {
            wait_for_after_loads(&transaction, before.id).await?;
        }
        target::change_table(&transaction, spec, &shape, &lacks).await?;
    }
    let Stored { version, is_new_version, columns_left_out } = store(&transaction, spec, before).await?;
    match options.dry_run {
        true => transaction.rollback().await?,
        false => transaction.commit().await?,
    }
    Ok(Applied { version, is_new_version, table, columns_left_out, nullable_columns, renamed_files })
}

/// A dataset as it was before.
pub(super) struct Before {
    pub(super) id: i32,
    version: i32,
    /// `None` if an older program has stored it and it does not read back; then the new one is a new version.
    pub(super) spec: Option<Dataset>,
}

async fn stored(transaction: &Transaction<'_>, spec: &Dataset) -> Result<Option<Before>, ApplyError> {
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
    let before = |row: tokio_postgres::Row| Before {
        id: row.get(0),
        version: row.get(1),
        spec: row.try_get::<_, Json<Dataset>>(2).ok().map(|Json(before)| before),
    };
    Ok(row.map(before))
}

/// An empty table in the place of one that has rows would be taken for it: their files count as loaded.
async fn refuse_lost_table(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    spec: &Dataset,
) -> Result<(), ApplyError> {
    let row = transaction
        .query_one(
            "SELECT count(*), coalesce(sum(rows_loaded - rows_gone), 0)::bigint
             FROM longshore.file_load JOIN longshore.file ON file.id = file_load.file_id
             WHERE file.dataset_id = $1 AND removed_time IS NULL AND rows_loaded > rows_gone",
            &[&dataset_id],
        )
        .await?;
    let (files, rows): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    match files {
        0 => Ok(()),
        _ => Err(ApplyError::Refused(format!(
            "there is no table {table}, and by the ledger it has {rows} rows of {files} files: was it renamed, or moved to another \
             schema? Then put it back (ALTER TABLE … RENAME TO, SET SCHEMA reporting), and loads go on. If it is gone for good, \
             `longshore dataset apply FILE --new-table` makes an empty one, and `longshore reload FILE --missing-rows-are-gone` loads a file again",
            table = spec.target.table
        ))),
    }
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

async fn store(
    transaction: &Transaction<'_>,
    spec: &Dataset,
    before: Option<Before>,
) -> Result<Stored, ApplyError> {
    let Some(Before { id, version: current, spec: before }) = before else {
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
    // The table was compared with the spec just now.
    end_wait_now(transaction, id).await?;
    if before.as_ref() == Some(spec) {
        return Ok(Stored { version: current, is_new_version: false, columns_left_out: Vec::new() });
    }
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

/// So short that nobody queues behind an apply that waits for the table.
const TABLE_LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '200ms'";

/// Waits until no loaded file is being moved or deleted as the version before says: who changes that may rest on it afterwards.
async fn wait_for_after_loads(transaction: &Transaction<'_>, dataset_id: i32) -> Result<(), ApplyError> {
    // Longer than what a table is waited for: nobody waits behind this lock but the next step after a load.
    transaction.batch_execute("SET LOCAL lock_timeout = '10s'").await?;
    let sql = "SELECT pg_advisory_xact_lock($1, $2)";
    match transaction.execute(sql, &[&AFTER_LOAD_SPEC_CLASS, &dataset_id]).await {
        Ok(_) => Ok(transaction.batch_execute(TABLE_LOCK_TIMEOUT).await?),
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
