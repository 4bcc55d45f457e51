//! The target table of a dataset: made from the spec, and widened where no row has to be rewritten, never changed otherwise.

use std::{collections::HashMap, fmt};

use postgres_protocol::escape::{escape_identifier, escape_literal};
use thiserror::Error;
use tokio_postgres::{SimpleQueryMessage, Transaction, error::SqlState};

use super::target_shape::{Lack, TableShape, begin_part_sql, catalog_type};
use crate::dataset::{Column, Dataset, FILE_ID_COLUMN, LINE_COLUMN};

/// What became of the target table.
#[derive(Debug, PartialEq, Eq)]
pub enum TableChange {
    /// It was made.
    Created,
    /// These columns are new, or take more.
    Changed(Vec<ColumnChange>),
    /// It was right already.
    Unchanged,
}

/// What became of a column.
#[derive(Debug, PartialEq, Eq)]
pub enum ColumnChange {
    /// It was added, nullable.
    Added(String),
    /// It has this type now, with more digits.
    Widened(String, String),
    /// It is NOT NULL now.
    NotNull(String),
}

impl fmt::Display for ColumnChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(name) => write!(formatter, "added {name}"),
            Self::Widened(name, type_name) => write!(formatter, "{name} is {type_name}"),
            Self::NotNull(name) => write!(formatter, "{name} is NOT NULL"),
        }
    }
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
    /// The dataset is.
    #[error("{0}; nothing was changed, try again later")]
    InUse(&'static str),
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
    blocks_after(transaction, begin_part_sql(has_savepoint), table).await
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
pub(super) async fn blocks_after(
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

/// Makes the table, if there is none, or gives it what it lacks.
pub(super) async fn change_table(
    transaction: &Transaction<'_>,
    spec: &Dataset,
    shape: &TableShape,
    lacks: &[Lack<'_>],
) -> Result<(), ApplyError> {
    if !shape.exists() {
        transaction.batch_execute(&create_statement(spec)).await?;
    }
    for lack in lacks {
        let alter = format!("ALTER TABLE {}", quoted_table(spec));
        match lack {
            Lack::Column(column) => {
                transaction.batch_execute(&format!("{alter} ADD COLUMN {}", definition(column))).await?;
            }
            // The same bytes: no row is rewritten, no index is built anew.
            Lack::Digits(Column { name, column_type, .. }) => {
                let name = escape_identifier(name);
                transaction.batch_execute(&format!("{alter} ALTER COLUMN {name} TYPE {column_type}")).await?;
            }
            Lack::NotNull(column) => set_not_null(transaction, &alter, column).await?,
        }
    }
    let comments = comment_statements(transaction, spec).await?;
    transaction.batch_execute(&comments).await?;
    Ok(())
}

/// How the table changes by what it lacks.
pub(super) fn table_change(shape: &TableShape, lacks: &[Lack<'_>]) -> TableChange {
    let change = |lack: &Lack<'_>| match lack {
        Lack::Column(column) => ColumnChange::Added(column.name.clone()),
        Lack::Digits(column) => ColumnChange::Widened(column.name.clone(), catalog_type(column.column_type)),
        Lack::NotNull(column) => ColumnChange::NotNull(column.name.clone()),
    };
    match (shape.exists(), lacks) {
        (false, _) => TableChange::Created,
        (true, []) => TableChange::Unchanged,
        (true, lacks) => TableChange::Changed(lacks.iter().map(change).collect()),
    }
}

/// Postgres reads the whole table for it, and keeps everybody out meanwhile: two seconds at most, or the operator does it.
async fn set_not_null(transaction: &Transaction<'_>, alter: &str, column: &Column) -> Result<(), ApplyError> {
    let name = escape_identifier(&column.name);
    let setting = format!("SET LOCAL statement_timeout = '2s'; {alter} ALTER COLUMN {name} SET NOT NULL");
    let Err(error) = transaction.batch_execute(&setting).await else {
        transaction.batch_execute("SET LOCAL statement_timeout TO DEFAULT").await?;
        return Ok(());
    };
    let refusal = |why: &str| {
        ApplyError::Refused(format!(
            "the spec requires column `{}`, and {why}, then apply again (loads wait and write nothing in between), or drop `required`",
            column.name
        ))
    };
    let check = format!("{alter} ADD CONSTRAINT not_null CHECK ({name} IS NOT NULL) NOT VALID");
    match error.code() {
        Some(state) if *state == SqlState::NOT_NULL_VIOLATION => {
            let why = format!(
                "rows of the table have NULL there: give them a value and run {alter} ALTER COLUMN {name} SET NOT NULL"
            );
            Err(refusal(&why))
        }
        Some(state) if *state == SqlState::QUERY_CANCELED => Err(refusal(&format!(
            "the table is too large to look for NULLs while everybody waits: run {check}; {alter} VALIDATE CONSTRAINT not_null; \
             {alter} ALTER COLUMN {name} SET NOT NULL; {alter} DROP CONSTRAINT not_null"
        ))),
        _ => Err(error.into()),
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

/// Only those that differ: COMMENT takes a lock that VACUUM and CREATE INDEX CONCURRENTLY hold for hours.
async fn comment_statements(
    transaction: &Transaction<'_>,
    spec: &Dataset,
) -> Result<String, tokio_postgres::Error> {
    let table = quoted_table(spec);
    let rows = transaction
        .query(
            "SELECT attname::text, coalesce(description, '') FROM pg_class AS class
             JOIN (SELECT attrelid, attname, attnum FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped
                   UNION ALL SELECT oid, NULL, 0 FROM pg_class) AS part ON attrelid = class.oid
             LEFT JOIN pg_description ON classoid = 'pg_class'::regclass AND objoid = class.oid AND objsubid = attnum
             WHERE class.oid = to_regclass($1)",
            &[&table],
        )
        .await?;
    let mut comments = HashMap::new();
    for row in &rows {
        comments.insert(row.try_get::<_, Option<String>>(0)?, row.try_get::<_, String>(1)?);
    }
    let mut statements = String::new();
    let mut comment = |name: Option<&str>, text: &str| {
        if comments.get(&name.map(str::to_owned)).is_some_and(|before| before == text) {
            return;
        }
        let what = match name {
            Some(name) => format!("COLUMN {table}.{}", escape_identifier(name)),
            None => format!("TABLE {table}"),
        };
        statements.push_str(&format!("COMMENT ON {what} IS {};", escape_literal(text)));
    };
    comment(None, &spec.description);
    for column in &spec.columns {
        comment(Some(&column.name), &column.description);
    }
    comment(Some(FILE_ID_COLUMN), "The file this row came from: longshore.file.id");
    comment(Some(LINE_COLUMN), "The physical line in that file, from 1");
    Ok(statements)
}
