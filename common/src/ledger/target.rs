//! The target table of a dataset: made from the spec, widened by nullable columns, never changed otherwise.

use std::collections::HashMap;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use thiserror::Error;
use tokio_postgres::{SimpleQueryMessage, Transaction, error::SqlState};

use crate::dataset::{Column, ColumnType, Dataset, FILE_ID_COLUMN, LINE_COLUMN};

/// What became of the target table.
#[derive(Debug, PartialEq, Eq)]
pub enum TableChange {
    /// It was made.
    Created,
    /// These nullable columns were added.
    Widened(Vec<String>),
    /// It was right already.
    Unchanged,
}

/// Why a spec was not applied; nothing has changed.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The spec and what is in the database do not go together.
    #[error("{0}")]
    Refused(String),
    /// The table is in use.
    #[error(
        "the target table is in use (a load that runs, or an open transaction); nothing was changed, try again later"
    )]
    TableInUse(#[source] tokio_postgres::Error),
    /// The database failed.
    #[error("the database failed while the spec was applied")]
    Database(#[source] tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for ApplyError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(state) if *state == SqlState::LOCK_NOT_AVAILABLE => Self::TableInUse(error),
            _ => Self::Database(error),
        }
    }
}

struct ExistingColumn {
    type_name: String,
    is_not_null: bool,
    has_default: bool,
}

/// The table's name, quoted for SQL.
pub fn quoted_table(spec: &Dataset) -> String {
    format!("reporting.{}", escape_identifier(spec.target.table_name()))
}

/// Begins a part of a load, which can be undone without the rest if it has a savepoint; gives the table's blocks so far (`None` only if
/// Postgres answers without a number). What is loaded after this lies in later blocks, or in free space of earlier ones.
pub async fn begin_part(
    transaction: &Transaction<'_>,
    table: &str,
    has_savepoint: bool,
) -> Result<Option<i64>, tokio_postgres::Error> {
    // A deferred constraint would speak at COMMIT, when nobody can tell whose row it means any more.
    let statements = match has_savepoint {
        true => "SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT part;",
        false => "SET CONSTRAINTS ALL IMMEDIATE;",
    };
    blocks_after(transaction, statements, table).await
}

/// Keeps the part; gives the table's blocks with it.
pub async fn end_part(
    transaction: &Transaction<'_>,
    table: &str,
    has_savepoint: bool,
) -> Result<Option<i64>, tokio_postgres::Error> {
    blocks_after(transaction, if has_savepoint { "RELEASE SAVEPOINT part;" } else { "" }, table).await
}

/// Undoes the part, which has a savepoint.
pub async fn undo_part(transaction: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
    transaction.batch_execute("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part").await
}

/// Both in one round trip: small files have many parts.
async fn blocks_after(
    transaction: &Transaction<'_>,
    statements: &str,
    table: &str,
) -> Result<Option<i64>, tokio_postgres::Error> {
    let blocks = format!(
        "{statements} SELECT pg_relation_size({}::regclass) / current_setting('block_size')::bigint",
        escape_literal(table)
    );
    let messages = transaction.simple_query(&blocks).await?;
    let number = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    Ok(number)
}

pub(super) async fn create_or_widen(
    transaction: &Transaction<'_>,
    spec: &Dataset,
) -> Result<TableChange, ApplyError> {
    let existing = existing_columns(transaction, spec.target.table_name()).await?;
    let change = if existing.is_empty() {
        transaction.batch_execute(&create_statement(spec)).await?;
        TableChange::Created
    } else {
        let missing = compare(spec, &existing).map_err(ApplyError::Refused)?;
        for column in &missing {
            let add = format!("ALTER TABLE {} ADD COLUMN {}", quoted_table(spec), definition(column));
            transaction.batch_execute(&add).await?;
        }
        match missing.is_empty() {
            true => TableChange::Unchanged,
            false => TableChange::Widened(missing.iter().map(|column| column.name.clone()).collect()),
        }
    };
    transaction.batch_execute(&comment_statements(spec)).await?;
    Ok(change)
}

async fn existing_columns(
    transaction: &Transaction<'_>,
    table_name: &str,
) -> Result<HashMap<String, ExistingColumn>, tokio_postgres::Error> {
    let rows = transaction
        .query(
            "SELECT attribute.attname::text, format_type(attribute.atttypid, attribute.atttypmod),
                    attribute.attnotnull, attribute.atthasdef OR attribute.attidentity <> ''
             FROM pg_attribute AS attribute
             JOIN pg_class AS class ON class.oid = attribute.attrelid
             JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
             WHERE namespace.nspname = 'reporting' AND class.relname = $1
               AND attribute.attnum > 0 AND NOT attribute.attisdropped",
            &[&table_name],
        )
        .await?;
    let column = |row: &tokio_postgres::Row| {
        let existing =
            ExistingColumn { type_name: row.get(1), is_not_null: row.get(2), has_default: row.get(3) };
        (row.get(0), existing)
    };
    Ok(rows.iter().map(column).collect())
}

/// The spec's columns that the table lacks and may be given; or why the table cannot serve the spec.
fn compare<'a>(
    spec: &'a Dataset,
    existing: &HashMap<String, ExistingColumn>,
) -> Result<Vec<&'a Column>, String> {
    let table = &spec.target.table;
    for lineage in [FILE_ID_COLUMN, LINE_COLUMN] {
        if !existing.contains_key(lineage) {
            return Err(format!(
                "table {table} exists and has no column {lineage}: it was not made by Longshore; name another table"
            ));
        }
    }
    let mut missing = Vec::new();
    for column in &spec.columns {
        let name = &column.name;
        match existing.get(name) {
            None if column.required => {
                return Err(format!(
                    "column `{name}` is required, but rows of {table} have no value for it; drop `required`"
                ));
            }
            None => missing.push(column),
            Some(found) if found.type_name != catalog_type(column.column_type) => {
                let wanted = catalog_type(column.column_type);
                return Err(format!(
                    "column `{name}` of {table} is {}, the spec says {wanted}; a column keeps its type, unless you ALTER it yourself before the apply",
                    found.type_name
                ));
            }
            Some(found) if found.is_not_null && !column.required => {
                return Err(format!(
                    "column `{name}` of {table} is NOT NULL, and the spec does not require it; write `required = true`, as a key needs, or run ALTER TABLE {table} ALTER COLUMN {} DROP NOT NULL first",
                    escape_identifier(name)
                ));
            }
            Some(_) => {}
        }
    }
    let in_spec = |name: &String| spec.columns.iter().any(|column| column.name == *name);
    let orphan = existing.iter().find(|(name, found)| {
        found.is_not_null
            && !found.has_default
            && !in_spec(name)
            && ![FILE_ID_COLUMN, LINE_COLUMN].contains(&name.as_str())
    });
    match orphan {
        Some((name, _)) => {
            Err(format!("column `{name}` of {table} is NOT NULL and the spec does not fill it any more"))
        }
        None => Ok(missing),
    }
}

/// As `format_type` spells it.
fn catalog_type(column_type: ColumnType) -> String {
    match column_type {
        ColumnType::Timestamp => "timestamp without time zone".to_owned(),
        ColumnType::TimestampTz => "timestamp with time zone".to_owned(),
        other => other.to_string(),
    }
}

fn definition(column: &Column) -> String {
    let not_null = if column.required { " NOT NULL" } else { "" };
    format!("{} {}{not_null}", escape_identifier(&column.name), column.column_type)
}

fn create_statement(spec: &Dataset) -> String {
    let mut columns: Vec<String> = spec.columns.iter().map(definition).collect();
    columns.push(format!("{FILE_ID_COLUMN} bigint NOT NULL"));
    columns.push(format!("{LINE_COLUMN} integer NOT NULL"));
    format!("CREATE TABLE {} ({})", quoted_table(spec), columns.join(", "))
}

fn comment_statements(spec: &Dataset) -> String {
    let table = quoted_table(spec);
    let mut statements = format!("COMMENT ON TABLE {table} IS {};", escape_literal(&spec.description));
    let mut comment = |name: &str, text: &str| {
        let column = escape_identifier(name);
        statements.push_str(&format!("COMMENT ON COLUMN {table}.{column} IS {};", escape_literal(text)));
    };
    for column in &spec.columns {
        comment(&column.name, &column.description);
    }
    comment(FILE_ID_COLUMN, "The file this row came from: longshore.file.id");
    comment(LINE_COLUMN, "The physical line in that file, from 1");
    statements
}
