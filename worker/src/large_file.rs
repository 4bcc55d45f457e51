//! A large file into its target table: a part of the load with COPYs of its own.

use longshore_common::ledger::{self, FileLoad, RejectedRow};

use crate::{
    copy::{TableCopy, TargetTable},
    failure::Failure,
    parcel::{Parcel, Part, ReadTotals},
    read::Reading,
};

/// Rejects wait until they have this many bytes: no other statement can run while a COPY is open.
const MAX_WAITING_REJECT_BYTES: usize = 1 << 20;

/// Loads the file at `place`, whose parts come next, and records its rejects; the caller records its counts. After a
/// failure of the file's own, nothing of it is left in the transaction.
pub(crate) async fn load(
    table: &TargetTable<'_>,
    reading: &mut Reading,
    place: usize,
    file_id: i64,
) -> Result<FileLoad, Failure> {
    let first_block = table.begin_part().await?;
    match copy_parts(table, reading, place).await {
        Ok((totals, rows_loaded)) => {
            let end_block = table.end_part().await?;
            Ok(totals.file_load(file_id, rows_loaded, first_block..end_block))
        }
        Err(failure) if failure.verdict().is_of_file() => {
            table.undo_part().await?;
            Err(failure)
        }
        Err(failure) => Err(failure),
    }
}

/// What the file amounted to, and the rows that COPY took.
async fn copy_parts(
    table: &TargetTable<'_>,
    reading: &mut Reading,
    place: usize,
) -> Result<(ReadTotals, u64), Failure> {
    let mut rows = Rows { table, copy: TableCopy::new(table), rejects: Vec::new(), reject_bytes: 0 };
    let mut refusal = None;
    let totals = loop {
        match reading.parcels.recv().await {
            Some(Parcel::Part(_)) if refusal.is_some() => {}
            Some(Parcel::Part(part)) => match rows.take(part).await {
                Err(failure) if failure.verdict().is_of_file() => {
                    // The thread learns of it between two chunks; what it sends until then is dropped.
                    reading.skip_rest_of(place);
                    refusal = Some(failure);
                }
                taken => taken?,
            },
            Some(Parcel::End(outcome)) => break outcome,
            Some(Parcel::Begin(_) | Parcel::Whole(_)) | None => {
                return Err(Failure::Fault("the reading thread left a file unfinished".to_owned()));
            }
        }
    };
    match refusal {
        Some(failure) => Err(failure),
        None => Ok((totals?, rows.end().await?)),
    }
}

struct Rows<'a> {
    table: &'a TargetTable<'a>,
    copy: TableCopy<'a>,
    rejects: Vec<RejectedRow>,
    reject_bytes: usize,
}

impl Rows<'_> {
    async fn take(&mut self, part: Part) -> Result<(), Failure> {
        self.copy.send(part.tuples, part.rows).await?;
        self.reject_bytes += part.rejects.iter().map(RejectedRow::size_in_bytes).sum::<usize>();
        self.rejects.extend(part.rejects);
        if self.reject_bytes > MAX_WAITING_REJECT_BYTES {
            self.end().await?;
        }
        Ok(())
    }

    /// Ends the open COPY and writes the waiting rejects; gives the rows that COPY has taken in all.
    async fn end(&mut self) -> Result<u64, Failure> {
        let rows_loaded = self.copy.end().await?;
        if !self.rejects.is_empty() {
            ledger::record_rejects(self.table.transaction, &self.rejects).await?;
            self.table.progress.step();
            self.rejects.clear();
            self.reject_bytes = 0;
        }
        Ok(rows_loaded)
    }
}
