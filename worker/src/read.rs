//! The thread that reads a task's files: bytes → rows, handed over as parcels while the connection sends.
//!
//! A small file is handed over whole, and only once it is known to be good: its rows share a COPY with those of its
//! neighbours. A file that outgrows [`WHOLE_FILE_BYTES`] is handed over in parts, for a COPY of its own.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use longshore_common::{
    edge,
    ledger::{Claim, RejectedRow, TaskFile},
    store::{Store, StoreError, StoreThread},
};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::{
    archive::{CHUNK_BYTES, Content},
    failure::Failure,
    parcel::{Parcel, Part, ReadTotals, WholeFile, WholeFiles},
    progress::Progress,
    rows::{FileRows, Output, Reject, RowPlan},
};

/// A COPY frame is sent once it has this many bytes: large enough that the cost of a message does not show.
const FRAME_BYTES: usize = 256 << 10;
/// Tuples and rejects of a file that is handed over whole: what it costs to hold them back until its end.
const WHOLE_FILE_BYTES: usize = 512 << 10;
/// Small files in a parcel, where most of them are empty or bad.
const FILES_PER_PARCEL: usize = 1000;
/// Rejects are handed over once they have this many bytes.
const REJECT_BYTES_PER_PARCEL: usize = 256 << 10;
/// Parcels between this thread and the connection.
const PARCELS_AHEAD: usize = 2;

/// The running thread.
pub(crate) struct Reading {
    /// What it hands over. Dropped, it ends the thread.
    pub(crate) parcels: Receiver<Parcel>,
    /// A large file whose rest is not wanted any more.
    unwanted: Arc<AtomicUsize>,
    thread: StoreThread<()>,
}

impl Reading {
    /// Reads the claimed files, in their order. Fails while too many threads hang on the store.
    pub(crate) fn start(
        claim: &Claim,
        store: Store,
        plan: Arc<RowPlan>,
        progress: Arc<Progress>,
    ) -> Result<Self, StoreError> {
        let (sender, parcels) = mpsc::channel(PARCELS_AHEAD);
        let unwanted = Arc::new(AtomicUsize::new(usize::MAX));
        let source = store.folder_uri("");
        let reader = Reader {
            store,
            plan,
            progress,
            sender,
            unwanted: unwanted.clone(),
            chunk: vec![0; CHUNK_BYTES],
            output: Output::default(),
            waiting: Waiting::default(),
        };
        let files = claim.files.clone();
        // Reading blocks. When it ends early, nobody listens any more, and whoever did knows why.
        let thread =
            StoreThread::start(&source, &claim.task_id.to_string(), move || drop(reader.read_files(&files)))?;
        Ok(Self { parcels, unwanted, thread })
    }

    /// The rest of this large file is not wanted: Postgres refused it. It ends soon.
    pub(crate) fn skip_rest_of(&self, file: usize) {
        self.unwanted.store(file, Ordering::Relaxed);
    }

    /// After the last parcel: whether the thread ended as it should.
    pub(crate) async fn ended(self) -> Result<(), Failure> {
        let Self { parcels, mut thread, .. } = self;
        // Or the thread would wait for somebody to take its next one.
        drop(parcels);
        thread.ended().await.map_err(|error| Failure::Fault(format!("the reading thread ended: {error}")))
    }
}

/// Small files until they fill a parcel. The tuples of the good ones lie in the output.
#[derive(Default)]
struct Waiting {
    good: Vec<WaitingFile>,
    failed: Vec<(usize, Failure)>,
    reject_bytes: usize,
}

struct WaitingFile {
    place: usize,
    tuples: Range<usize>,
    rows: u64,
    rejects: Vec<RejectedRow>,
    totals: ReadTotals,
}

struct Reader {
    store: Store,
    plan: Arc<RowPlan>,
    progress: Arc<Progress>,
    sender: Sender<Parcel>,
    unwanted: Arc<AtomicUsize>,
    chunk: Vec<u8>,
    /// Tuples of the waiting files, then those of the current one; rows and rejects of the current one.
    output: Output,
    waiting: Waiting,
}

/// The file that is being read.
struct Current<'a> {
    place: usize,
    file: &'a TaskFile,
    /// Where its tuples begin in the output.
    start: usize,
    /// It is handed over in parts.
    is_large: bool,
}

impl Reader {
    fn read_files(mut self, files: &[TaskFile]) -> Result<(), Failure> {
        for (place, file) in files.iter().enumerate() {
            if self.sender.is_closed() {
                return Err(Failure::Stopped);
            }
            let start = self.output.tuples.len();
            let mut current = Current { place, file, start, is_large: false };
            let outcome = self.read_file(&mut current);
            match current.is_large {
                true => self.end_large(&current, outcome)?,
                false => self.end_small(&current, outcome)?,
            }
        }
        self.hand_over_waiting()
    }

    fn read_file(&mut self, current: &mut Current<'_>) -> Result<ReadTotals, Failure> {
        edge::pass_of("worker::read_file", &current.file.stored.uri)?;
        let open = self.store.open(&current.file.stored)?;
        let stored = &current.file.stored;
        let size_in_bytes = stored.size_in_bytes.unsigned_abs();
        let mut content = Content::new(open.content, &stored.uri, size_in_bytes, self.plan.csv());
        let mut rows = FileRows::new(self.plan.clone(), current.file.id);
        let mut totals = ReadTotals { file_changed_time: open.changed_time, ..ReadTotals::default() };
        loop {
            // Where the tests slow a store down.
            edge::pass("worker::read_chunk")?;
            let length = content.read_chunk(&mut self.chunk)?;
            match length {
                0 => rows.finish(&mut self.output)?,
                _ => rows.push(&self.chunk[..length], &mut self.output)?,
            }
            let counts = rows.counts();
            self.progress.read(length as u64, counts.rows_read - totals.rows_read);
            totals.rows_read = counts.rows_read;
            totals.rows_rejected = counts.rows_rejected;
            totals.bytes_read = content.bytes_given();
            if length == 0 {
                // After the last byte and before COMMIT: what was read is the version that was scanned, or nothing of it
                // stays.
                open.check.verify_unchanged()?;
                return Ok(totals);
            }
            self.hand_over_current(current)?;
        }
    }

    /// Sends what the current file has so far, once that is much.
    fn hand_over_current(&mut self, current: &mut Current<'_>) -> Result<(), Failure> {
        let reject_bytes = bytes_of(&self.output.rejects);
        let tuple_bytes = self.output.tuples.len() - current.start;
        if !current.is_large && tuple_bytes + reject_bytes > WHOLE_FILE_BYTES {
            let tuples = self.output.tuples.split_off(current.start);
            self.hand_over_waiting()?;
            self.output.tuples = tuples;
            (current.start, current.is_large) = (0, true);
            self.send(Parcel::Begin(current.place))?;
        }
        if current.is_large && (tuple_bytes > FRAME_BYTES || reject_bytes > REJECT_BYTES_PER_PARCEL) {
            self.hand_over_part(current)?;
        }
        let is_unwanted = current.is_large && self.unwanted.load(Ordering::Relaxed) == current.place;
        if is_unwanted || self.sender.is_closed() {
            return Err(Failure::Stopped);
        }
        Ok(())
    }

    fn hand_over_part(&mut self, current: &Current<'_>) -> Result<(), Failure> {
        let rejects = self.take_rejects(current);
        let tuples = self.take_tuples();
        let rows = std::mem::take(&mut self.output.rows);
        self.send(Parcel::Part(Part { tuples: tuples.into(), rows, rejects }))
    }

    fn end_large(
        &mut self,
        current: &Current<'_>,
        outcome: Result<ReadTotals, Failure>,
    ) -> Result<(), Failure> {
        match outcome {
            Ok(_) => self.hand_over_part(current)?,
            Err(_) => self.output = Output::default(),
        }
        self.send(Parcel::End(outcome))
    }

    fn end_small(
        &mut self,
        current: &Current<'_>,
        outcome: Result<ReadTotals, Failure>,
    ) -> Result<(), Failure> {
        let reject_bytes = bytes_of(&self.output.rejects);
        let rejects = self.take_rejects(current);
        let rows = std::mem::take(&mut self.output.rows);
        match outcome {
            Ok(totals) => {
                let tuples = current.start..self.output.tuples.len();
                self.waiting.good.push(WaitingFile { place: current.place, tuples, rows, rejects, totals });
                self.waiting.reject_bytes += reject_bytes;
            }
            Err(failure) => {
                self.output.tuples.truncate(current.start);
                self.waiting.failed.push((current.place, failure));
            }
        }
        let Waiting { good, failed, reject_bytes } = &self.waiting;
        let is_full = self.output.tuples.len() > FRAME_BYTES
            || *reject_bytes > REJECT_BYTES_PER_PARCEL
            || good.len() + failed.len() >= FILES_PER_PARCEL;
        if is_full { self.hand_over_waiting() } else { Ok(()) }
    }

    /// Sends the waiting files. The output holds their tuples and no others.
    fn hand_over_waiting(&mut self) -> Result<(), Failure> {
        let Waiting { good, failed, .. } = std::mem::take(&mut self.waiting);
        let tuples = Bytes::from(self.take_tuples());
        let whole = |WaitingFile { place, tuples: range, rows, rejects, totals }| WholeFile {
            place,
            part: Part { tuples: tuples.slice(range), rows, rejects },
            totals,
        };
        let good: Vec<_> = good.into_iter().map(whole).collect();
        if good.is_empty() && failed.is_empty() {
            return Ok(());
        }
        self.send(Parcel::Whole(WholeFiles { tuples, good, failed }))
    }

    fn take_tuples(&mut self) -> Vec<u8> {
        std::mem::replace(&mut self.output.tuples, Vec::with_capacity(FRAME_BYTES + CHUNK_BYTES))
    }

    fn take_rejects(&mut self, current: &Current<'_>) -> Vec<RejectedRow> {
        let file_id = current.file.id;
        let rejected = |Reject { line, byte_offset, column, raw, rule, reason }| RejectedRow {
            file_id,
            line,
            byte_offset,
            column,
            raw,
            rule,
            reason,
        };
        self.output.rejects.drain(..).map(rejected).collect()
    }

    fn send(&self, parcel: Parcel) -> Result<(), Failure> {
        // An error means that nobody takes parcels any more.
        self.sender.blocking_send(parcel).map_err(|_| Failure::Stopped)
    }
}

fn bytes_of(rejects: &[Reject]) -> usize {
    rejects.iter().map(|reject| size_of::<Reject>() + reject.raw.len() + reject.reason.len()).sum()
}
