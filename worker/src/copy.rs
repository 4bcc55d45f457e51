//! COPY frames into the target table.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use deadpool_postgres::Transaction;
use futures_util::SinkExt;
use longshore_common::{dataset::Dataset, edge, ledger};
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::{CopyInSink, Statement};

use crate::{
    failure::Failure,
    progress::Progress,
    rows::{COPY_HEADER, COPY_TRAILER, RowPlan},
    savepoints::Savepoints,
};

/// A COPY ends after this many bytes, so that Postgres' errors surface.
const MAX_COPY_BYTES: usize = 64 << 20;

/// The table that a task loads into, within its transaction.
pub(crate) struct TargetTable<'a> {
    pub(crate) transaction: &'a Transaction<'a>,
    spec: &'a Dataset,
    /// It was compared with the spec, under a lock that keeps it as it is.
    is_checked: AtomicBool,
    /// Quoted for SQL.
    name: String,
    /// As Postgres prints it.
    relation: String,
    pub(crate) progress: &'a Progress,
    savepoints: &'a Savepoints,
    copy_statement: Statement,
}

impl<'a> TargetTable<'a> {
    pub(crate) async fn new(
        transaction: &'a Transaction<'a>,
        spec: &'a Dataset,
        plan: &RowPlan,
        progress: &'a Progress,
        savepoints: &'a Savepoints,
    ) -> Result<Self, Failure> {
        let name = ledger::quoted_table(spec);
        let columns: Vec<String> = plan.target_columns().into_iter().map(escape_identifier).collect();
        let copy = format!("COPY {name} ({}) FROM STDIN (FORMAT binary)", columns.join(", "));
        let copy_statement = transaction.prepare_cached(&copy).await.map_err(Failure::before_rows)?;
        let relation = spec.target.table_name().to_owned();
        let is_checked = AtomicBool::new(false);
        Ok(Self { transaction, spec, is_checked, name, relation, progress, savepoints, copy_statement })
    }

    /// Begins a part; gives the table's blocks before it. The first one locks the table and compares it with the spec, in the same
    /// round trip: nothing is sent to a table that would take the values for others.
    pub(crate) async fn begin_part(&self) -> Result<i64, Failure> {
        let has_savepoint = self.savepoints.take();
        if self.is_checked.load(Ordering::Relaxed) {
            let begun = ledger::begin_part(self.transaction, &self.name, has_savepoint).await;
            return self.moved(begun.map_err(Failure::before_rows)?);
        }
        let begun = ledger::begin_first_part(self.transaction, &self.name, has_savepoint).await;
        let (blocks, shape) = begun.map_err(Failure::before_rows)?;
        if let Some(misfit) = shape.misfit(self.spec) {
            return Err(Failure::Misfit(misfit));
        }
        self.is_checked.store(true, Ordering::Relaxed);
        self.moved(blocks)
    }

    /// Keeps the part; gives the table's blocks with it.
    pub(crate) async fn end_part(&self) -> Result<i64, Failure> {
        let has_savepoint = self.savepoints.has_one();
        self.moved(ledger::end_part(self.transaction, &self.name, has_savepoint).await?)
    }

    /// Undoes the part, if it can be undone without the others.
    pub(crate) async fn undo_part(&self) -> Result<(), Failure> {
        if !self.savepoints.has_one() {
            return Err(Failure::NoSavepoint);
        }
        ledger::undo_part(self.transaction).await?;
        self.savepoints.undone();
        self.progress.step();
        Ok(())
    }

    fn moved(&self, blocks: Option<i64>) -> Result<i64, Failure> {
        self.progress.step();
        blocks.ok_or_else(|| Failure::Fault("Postgres gave no size of the target table".to_owned()))
    }
}

/// Rows on their way into the target table. Dropped before its end, it takes back what it has sent since the last one.
pub(crate) struct TableCopy<'a> {
    table: &'a TargetTable<'a>,
    open: Option<OpenCopy>,
    rows_loaded: u64,
}

struct OpenCopy {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    bytes: usize,
    rows: u64,
}

impl<'a> TableCopy<'a> {
    pub(crate) fn new(table: &'a TargetTable<'a>) -> Self {
        Self { table, open: None, rows_loaded: 0 }
    }

    /// Sends whole tuples. Begins a COPY where none is open and ends one that has grown large.
    pub(crate) async fn send(&mut self, tuples: Bytes, rows: u64) -> Result<(), Failure> {
        if rows == 0 {
            return Ok(());
        }
        let mut copy = match self.open.take() {
            Some(copy) => copy,
            None => self.begin().await?,
        };
        copy.bytes += tuples.len();
        copy.rows += rows;
        if let Err(error) = copy.sink.send(tuples).await {
            // The sink only knows that the server ended the COPY; finishing it gives the server's reason.
            let reason = copy.sink.as_mut().finish().await.err().unwrap_or(error);
            return Err(self.refused(reason));
        }
        self.table.progress.step();
        edge::pass("worker::in_copy")?;
        let is_large = copy.bytes >= MAX_COPY_BYTES;
        self.open = Some(copy);
        if is_large {
            self.end().await?;
        }
        Ok(())
    }

    async fn begin(&self) -> Result<OpenCopy, Failure> {
        let copying = self.table.transaction.copy_in::<_, Bytes>(&self.table.copy_statement);
        let copy = copying.await.map_err(Failure::before_rows)?;
        let mut sink = Box::pin(copy);
        self.table.progress.step();
        sink.send(Bytes::from_static(&COPY_HEADER)).await?;
        Ok(OpenCopy { sink, bytes: 0, rows: 0 })
    }

    /// Ends the open COPY, if there is one; gives the rows of all so far, which are in the table then.
    pub(crate) async fn end(&mut self) -> Result<u64, Failure> {
        let Some(mut copy) = self.open.take() else { return Ok(self.rows_loaded) };
        // An error of this send shows again, with its reason, in what follows.
        let _ = copy.sink.send(Bytes::from_static(&COPY_TRAILER)).await;
        let ended = copy.sink.as_mut().finish().await;
        let rows = ended.map_err(|error| self.refused(error))?;
        self.table.progress.step();
        if rows != copy.rows {
            return Err(Failure::LeftOut { taken: rows, sent: copy.rows });
        }
        self.rows_loaded += rows;
        Ok(self.rows_loaded)
    }

    fn refused(&self, error: tokio_postgres::Error) -> Failure {
        Failure::from_copy(error, &self.table.relation, self.rows_loaded)
    }
}
