//! One file into its target table, inside the task's transaction.

use std::sync::Arc;

use longshore_common::{
    dataset::Dataset,
    ledger::{self, FileLoad, RejectedRow, TaskFile},
    store::{self, OpenFile, StoreError},
};
use tokio::sync::mpsc;
use tokio_postgres::Transaction;
use tracing::{Instrument, info_span};

use crate::{
    copy::TableCopy,
    failure::Failure,
    read::{self, Parcel, Progress, ReadTotals},
    rows::{Reject, RowPlan},
};

/// Rejects wait in memory up to this many bytes of raw text.
const MAX_WAITING_REJECT_BYTES: usize = 1 << 20;
/// Parcels between the thread that parses and the connection that sends.
const PARCELS_AHEAD: usize = 2;

/// What all files of a task have in common.
pub(crate) struct LoadContext {
    pub(crate) spec: Dataset,
    pub(crate) plan: Arc<RowPlan>,
    pub(crate) copy_statement: String,
    pub(crate) progress: Arc<Progress>,
}

/// Loads the file's rows and records its rejects; gives its counts, which the caller records.
///
/// After an error the transaction must go back to before this call.
pub(crate) async fn load_file(
    context: &LoadContext,
    transaction: &Transaction<'_>,
    file: &TaskFile,
) -> Result<FileLoad, Failure> {
    let first_block = ledger::relation_blocks(transaction, &context.spec).await?;
    let open = open(&context.spec, file).await?;
    context.progress.step();
    let (totals, rows_loaded) =
        copy_rows(context, transaction, file, &open).instrument(info_span!("copy", file = file.id)).await?;
    // After the last byte and before COMMIT: what was read is the version that was scanned, or nothing of it stays.
    open.verify_unchanged().await?;
    context.progress.step();
    let end_block = ledger::relation_blocks(transaction, &context.spec).await?;
    Ok(FileLoad {
        file_id: file.id,
        rows_read: totals.counts.rows_read,
        rows_loaded,
        rows_rejected: totals.counts.rows_rejected,
        bytes_read: totals.bytes_read,
        first_block,
        end_block,
    })
}

async fn open(spec: &Dataset, file: &TaskFile) -> Result<OpenFile, StoreError> {
    match file.stored.clone().open().await {
        // Where the whole source is missing, it is this machine that lacks it: a mount, say. The file has no fault.
        Err(StoreError::Gone) if !store::has_source(&spec.source).await => {
            Err(StoreError::Unavailable(format!("{} is not there on this machine", spec.source).into()))
        }
        outcome => outcome,
    }
}

/// The thread parses ahead while the connection sends.
async fn copy_rows(
    context: &LoadContext,
    transaction: &Transaction<'_>,
    file: &TaskFile,
    open: &OpenFile,
) -> Result<(ReadTotals, u64), Failure> {
    let (sender, mut parcels) = mpsc::channel::<Parcel>(PARCELS_AHEAD);
    let reading = tokio::task::spawn_blocking({
        let (reader, uri, file_id) = (open.reader()?, file.stored.uri.clone(), file.id);
        let (plan, progress) = (context.plan.clone(), context.progress.clone());
        move || read::read_file(reader, &uri, plan, file_id, &progress, &sender)
    });
    let mut copy = TableCopy::new(transaction, &context.copy_statement, &context.progress);
    let mut rejects = WaitingRejects::default();
    while let Some(parcel) = parcels.recv().await {
        if parcel.rows > 0 {
            copy.send(parcel.tuples, parcel.rows).await?;
        }
        rejects.push(parcel.rejects);
        if rejects.bytes > MAX_WAITING_REJECT_BYTES {
            // No other statement may run while a COPY is open.
            copy.end().await?;
            rejects.write(transaction, file.id).await?;
        }
    }
    let read = reading.await.map_err(|error| Failure::Fault(format!("the reading thread ended: {error}")))?;
    let totals = read?;
    let rows_loaded = copy.finish().await?;
    rejects.write(transaction, file.id).await?;
    Ok((totals, rows_loaded))
}

#[derive(Default)]
struct WaitingRejects {
    rows: Vec<RejectedRow>,
    bytes: usize,
}

impl WaitingRejects {
    fn push(&mut self, rejects: Vec<Reject>) {
        for Reject { line, byte_offset, column, raw, rule, reason } in rejects {
            self.bytes += raw.len() + reason.len();
            self.rows.push(RejectedRow { line, byte_offset, column, raw, rule, reason });
        }
    }

    async fn write(&mut self, transaction: &Transaction<'_>, file_id: i64) -> Result<(), Failure> {
        if !self.rows.is_empty() {
            ledger::record_rejects(transaction, file_id, &self.rows).await?;
            self.rows.clear();
            self.bytes = 0;
        }
        Ok(())
    }
}
