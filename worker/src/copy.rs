//! COPY frames into the target table.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt;
use longshore_common::{dataset::Dataset, ledger};
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::{CopyInSink, Transaction};

use crate::{
    failure::Failure,
    read::Progress,
    rows::{COPY_HEADER, COPY_TRAILER, RowPlan},
};

/// A COPY ends after this many bytes, so that Postgres' errors surface.
const MAX_COPY_BYTES: usize = 64 << 20;

/// The statement that all of a dataset's COPYs use.
pub(crate) fn copy_statement(dataset: &Dataset, plan: &RowPlan) -> String {
    let columns: Vec<String> = plan.target_columns().into_iter().map(escape_identifier).collect();
    format!("COPY {} ({}) FROM STDIN (FORMAT binary)", ledger::quoted_table(dataset), columns.join(", "))
}

/// The rows of one file on their way into the target table.
pub(crate) struct TableCopy<'a> {
    transaction: &'a Transaction<'a>,
    statement: &'a str,
    progress: &'a Progress,
    open: Option<OpenCopy>,
    rows_loaded: u64,
}

struct OpenCopy {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    bytes: usize,
    rows: u64,
}

impl<'a> TableCopy<'a> {
    pub(crate) fn new(transaction: &'a Transaction<'a>, statement: &'a str, progress: &'a Progress) -> Self {
        Self { transaction, statement, progress, open: None, rows_loaded: 0 }
    }

    /// Sends whole tuples. Begins a COPY where none is open and ends one that has grown large.
    pub(crate) async fn send(&mut self, tuples: Bytes, rows: u64) -> Result<(), Failure> {
        let mut copy = match self.open.take() {
            Some(copy) => copy,
            None => self.begin().await?,
        };
        copy.bytes += tuples.len();
        copy.rows += rows;
        if let Err(error) = copy.sink.send(tuples).await {
            // The sink only knows that the server ended the COPY; finishing it gives the server's reason.
            let reason = copy.sink.as_mut().finish().await.err().unwrap_or(error);
            return Err(Failure::from_copy(reason, self.rows_loaded));
        }
        self.progress.step();
        let is_large = copy.bytes >= MAX_COPY_BYTES;
        self.open = Some(copy);
        if is_large { self.end().await } else { Ok(()) }
    }

    async fn begin(&self) -> Result<OpenCopy, Failure> {
        let mut sink = Box::pin(self.transaction.copy_in::<_, Bytes>(self.statement).await?);
        self.progress.step();
        sink.send(Bytes::from_static(&COPY_HEADER)).await?;
        Ok(OpenCopy { sink, bytes: 0, rows: 0 })
    }

    /// Ends the open COPY, if there is one; every row so far is in the table then, or this fails.
    pub(crate) async fn end(&mut self) -> Result<(), Failure> {
        let Some(mut copy) = self.open.take() else { return Ok(()) };
        // An error of this send shows again, with its reason, in what follows.
        let _ = copy.sink.send(Bytes::from_static(&COPY_TRAILER)).await;
        let ended = copy.sink.as_mut().finish().await;
        let rows = ended.map_err(|error| Failure::from_copy(error, self.rows_loaded))?;
        self.progress.step();
        if rows != copy.rows {
            return Err(Failure::Fault(format!("COPY took {rows} rows of {} that were sent", copy.rows)));
        }
        self.rows_loaded += rows;
        Ok(())
    }

    /// Ends, and gives the rows that COPY reported in all.
    pub(crate) async fn finish(mut self) -> Result<u64, Failure> {
        self.end().await?;
        Ok(self.rows_loaded)
    }
}
