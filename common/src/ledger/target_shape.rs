//! What the target table is like, and whether a spec's rows can go into it.
//!
//! A load looks at it under a lock that keeps it so, before its first row: COPY in binary form takes a value's bytes as they are,
//! so that a column of another type of the same width would take every value, and each would be wrong.

use std::collections::HashMap;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::{Error, GenericClient, Row};

use super::target::{blocks_after, quoted_table};
use crate::dataset::{Column, ColumnType, Dataset, FILE_ID_COLUMN, LINE_COLUMN};

/// A table as Postgres has it.
#[derive(Debug, Default)]
pub struct TableShape {
    /// `pg_class.relkind`; `None` if there is no such table.
    kind: Option<String>,
    is_unlogged: bool,
    pub(super) columns: HashMap<String, ExistingColumn>,
}

#[derive(Debug)]
pub(super) struct ExistingColumn {
    pub(super) type_name: String,
    pub(super) is_not_null: bool,
    has_default: bool,
    is_generated: bool,
}

/// What a table lacks for a spec, and could be given.
#[derive(Debug, PartialEq)]
pub(super) enum Lack<'a> {
    /// A nullable column.
    Column(&'a Column),
    /// More digits before the point.
    Digits(&'a Column),
    /// NOT NULL. Loads need it not.
    NotNull(&'a Column),
}

/// Without parameters, so that a session that keeps it prepared keeps its plan: it runs once a task.
fn query(table: &str) -> String {
    format!(
        "SELECT class.relkind::text, class.relpersistence = 'u', attname::text, format_type(atttypid, atttypmod), attnotnull,
                atthasdef OR attidentity <> '', attgenerated <> ''
         FROM pg_class AS class
         LEFT JOIN pg_attribute ON attrelid = class.oid AND attnum > 0 AND NOT attisdropped
         WHERE class.oid = to_regclass({})",
        escape_literal(table)
    )
}

/// Begins the first part of a load, and gives what its table is like. It stays so until the transaction ends.
///
/// Both in one round trip. The lock comes first; it is the one that COPY takes.
pub async fn begin_first_part(
    transaction: &deadpool_postgres::Transaction<'_>,
    table: &str,
) -> Result<(Option<i64>, TableShape), Error> {
    let statement = transaction.prepare_cached(&query(table)).await?;
    let begin = format!("LOCK TABLE ONLY {table} IN ROW EXCLUSIVE MODE; {BEGIN_PART}");
    let beginning = blocks_after(transaction, &begin, table);
    let reading = transaction.query(&statement, &[]);
    // Polled in this order, and so sent in it.
    let (blocks, rows) = futures_util::future::join(beginning, reading).await;
    Ok((blocks?, TableShape::of(&rows?)?))
}

// A deferred constraint would speak at COMMIT, when nobody can tell whose row it means any more.
pub(super) const BEGIN_PART: &str = "SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT part";

/// What the spec's table is like, with its partitions, at which loads do not look.
pub(super) async fn read_shape(client: &impl GenericClient, spec: &Dataset) -> Result<TableShape, Error> {
    let table = quoted_table(spec);
    let mut shape = TableShape::of(&client.query(&query(&table), &[]).await?)?;
    let unlogged = "SELECT EXISTS (SELECT FROM pg_partition_tree(to_regclass($1)) AS part
        JOIN pg_class AS class ON class.oid = part.relid WHERE class.relpersistence = 'u')";
    shape.is_unlogged |= client.query_one(unlogged, &[&table]).await?.try_get::<_, bool>(0)?;
    Ok(shape)
}

impl TableShape {
    fn of(rows: &[Row]) -> Result<Self, Error> {
        let mut shape = Self::default();
        for row in rows {
            shape.kind = Some(row.try_get(0)?);
            shape.is_unlogged = row.try_get(1)?;
            if let Some(name) = row.try_get(2)? {
                let column = ExistingColumn {
                    type_name: row.try_get(3)?,
                    is_not_null: row.try_get(4)?,
                    has_default: row.try_get(5)?,
                    is_generated: row.try_get(6)?,
                };
                shape.columns.insert(name, column);
            }
        }
        Ok(shape)
    }

    pub(super) fn exists(&self) -> bool {
        self.kind.is_some()
    }

    /// Why no row of the spec's may go into the table, in a sentence that says what to do.
    pub fn misfit(&self, spec: &Dataset) -> Option<String> {
        let table = &spec.target.table;
        match self.compare(spec) {
            Err(misfit) => Some(misfit),
            Ok(lacks) => lacks.into_iter().find_map(|lack| match lack {
                Lack::Column(column) => Some(format!(
                    "table {table} has no column `{}`, which the spec has: if it was renamed, rename it back, or change the spec; \
                     `longshore dataset apply` adds it",
                    column.name
                )),
                Lack::Digits(column) => Some(self.other_type(spec, column)),
                Lack::NotNull(_) => None,
            }),
        }
    }

    /// What the table lacks for the spec and may be given; or why it cannot serve the spec.
    pub(super) fn compare<'a>(&self, spec: &'a Dataset) -> Result<Vec<Lack<'a>>, String> {
        let table = &spec.target.table;
        match self.kind.as_deref() {
            None => return Err(format!("there is no table {table}")),
            Some("r" | "p") => {}
            Some(kind) => return Err(format!("{table} is {}, no table: name another one", kind_name(kind))),
        }
        if self.is_unlogged {
            return Err(format!(
                "table {table} is UNLOGGED, and Postgres empties it after a crash, whatever was loaded: run ALTER TABLE {} SET \
                 LOGGED",
                quoted_table(spec)
            ));
        }
        self.check_lineage(spec)?;
        let mut lacks = Vec::new();
        for column in &spec.columns {
            lacks.extend(self.compare_column(spec, column)?);
        }
        self.check_others(spec)?;
        Ok(lacks)
    }

    fn check_lineage(&self, spec: &Dataset) -> Result<(), String> {
        let table = &spec.target.table;
        for (name, type_name) in [(FILE_ID_COLUMN, "bigint"), (LINE_COLUMN, "integer")] {
            match self.columns.get(name) {
                None => {
                    return Err(format!(
                        "table {table} has no column `{name}`: it was not made by Longshore, or somebody has dropped or renamed \
                         the column; put it back as {type_name} NOT NULL, or name another table"
                    ));
                }
                Some(found) if found.type_name != type_name || found.is_generated => {
                    return Err(format!(
                        "column `{name}` of {table} is {}, and must be {type_name}: run ALTER TABLE {} ALTER COLUMN {name} TYPE \
                         {type_name}",
                        found.described(),
                        quoted_table(spec)
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn compare_column<'a>(&self, spec: &'a Dataset, column: &'a Column) -> Result<Option<Lack<'a>>, String> {
        let (table, name) = (&spec.target.table, &column.name);
        let Some(found) = self.columns.get(name) else {
            return match column.required {
                false => Ok(Some(Lack::Column(column))),
                true => Err(format!(
                    "table {table} has no column `{name}`, which the spec requires, and rows that are there have no value for it: \
                     if it was renamed, rename it back; else drop `required`"
                )),
            };
        };
        let alter = format!("ALTER TABLE {} ALTER COLUMN {}", quoted_table(spec), escape_identifier(name));
        if found.is_generated {
            return Err(format!(
                "column `{name}` of {table} is GENERATED, so that no file can fill it: run {alter} DROP EXPRESSION, or take it out \
                 of the spec"
            ));
        }
        if found.type_name != catalog_type(column.column_type) {
            return match has_fewer_digits(&found.type_name, column.column_type) {
                true => Ok(Some(Lack::Digits(column))),
                false => Err(self.other_type(spec, column)),
            };
        }
        if found.is_not_null && !column.required {
            return Err(format!(
                "column `{name}` of {table} is NOT NULL, and the spec does not require it: write `required = true`, as a key needs, \
                 and apply the spec, or run {alter} DROP NOT NULL"
            ));
        }
        Ok((column.required && !found.is_not_null).then_some(Lack::NotNull(column)))
    }

    fn check_others(&self, spec: &Dataset) -> Result<(), String> {
        let is_known = |name: &String| {
            [FILE_ID_COLUMN, LINE_COLUMN].contains(&name.as_str())
                || spec.columns.iter().any(|column| column.name == *name)
        };
        let must_be_filled =
            |found: &ExistingColumn| found.is_not_null && !found.has_default && !found.is_generated;
        match self.columns.iter().find(|(name, found)| must_be_filled(found) && !is_known(name)) {
            Some((name, _)) => Err(format!(
                "column `{name}` of {} is NOT NULL without a default, and the spec does not fill it: put it into the spec, or run \
                 ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL",
                spec.target.table,
                quoted_table(spec),
                escape_identifier(name)
            )),
            None => Ok(()),
        }
    }

    fn other_type(&self, spec: &Dataset, column: &Column) -> String {
        let (table, name, wanted) = (&spec.target.table, &column.name, catalog_type(column.column_type));
        let found = self.columns.get(name).map(ExistingColumn::described).unwrap_or_default();
        format!(
            "column `{name}` of {table} is {found}, the spec says {wanted}: either run ALTER TABLE {} ALTER COLUMN {} TYPE {wanted}, or \
             write the table's type into the spec; then `longshore dataset apply`. In between, in either order, loads wait and write \
             nothing",
            quoted_table(spec),
            escape_identifier(name)
        )
    }
}

impl ExistingColumn {
    fn described(&self) -> String {
        let generated = if self.is_generated { " GENERATED" } else { "" };
        format!("{}{generated}", self.type_name)
    }
}

/// As `format_type` spells it.
pub(super) fn catalog_type(column_type: ColumnType) -> String {
    match column_type {
        ColumnType::Timestamp => "timestamp without time zone".to_owned(),
        ColumnType::TimestampTz => "timestamp with time zone".to_owned(),
        other => other.to_string(),
    }
}

/// Whether it is a numeric type with as many digits behind the point and fewer in all: every value of it is one of the wanted
/// type, with the same bytes.
fn has_fewer_digits(found: &str, wanted: ColumnType) -> bool {
    let ColumnType::Numeric { precision, scale } = wanted else { return false };
    match ColumnType::try_from(found.to_owned()) {
        Ok(ColumnType::Numeric { precision: found, scale: same }) => same == scale && found < precision,
        _ => false,
    }
}

fn kind_name(kind: &str) -> &'static str {
    match kind {
        "v" => "a view",
        "m" => "a materialized view",
        "f" => "a foreign table",
        _ => "another thing",
    }
}
