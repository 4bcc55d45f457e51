//! The thread that reads one file: stored bytes → decompressed bytes → rows, handed over as parcels.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use longshore_common::store::StoreError;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    failure::Failure,
    rows::{Counts, FileRows, Output, Reject, RowPlan},
};

/// Bytes read at once.
const CHUNK_BYTES: usize = 128 << 10;
/// A COPY frame is sent once it has this many bytes: large enough that the cost of a message does not show.
const FRAME_BYTES: usize = 256 << 10;
/// Rejects are handed over once this many wait, each of at most 8 KiB.
const REJECTS_PER_PARCEL: usize = 64;

/// How far a load is, for its heartbeat.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// After decompression.
    pub(crate) bytes_read: AtomicU64,
    /// Loaded and rejected.
    pub(crate) rows_read: AtomicU64,
    /// Everything else that moves a load on: an answer of Postgres or of the store.
    steps: AtomicU64,
}

impl Progress {
    /// Something moved.
    pub(crate) fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends once nothing has moved for `limit`.
    pub(crate) async fn stalled(&self, limit: Duration) {
        let moved = || self.bytes_read.load(Ordering::Relaxed) + self.steps.load(Ordering::Relaxed);
        let (mut last, mut since) = (moved(), Instant::now());
        while since.elapsed() < limit {
            tokio::time::sleep(limit / 10).await;
            let now = moved();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }
}

/// Rows that are ready for COPY, and rejects.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// Whole tuples.
    pub(crate) tuples: Bytes,
    /// How many.
    pub(crate) rows: u64,
    pub(crate) rejects: Vec<Reject>,
}

/// What a whole file amounted to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadTotals {
    pub(crate) counts: Counts,
    /// After decompression.
    pub(crate) bytes_read: u64,
}

/// Reads to the end. Blocks, so it runs on a thread of its own; ends early when `parcels` is closed.
pub(crate) fn read_file(
    file: File,
    uri: &str,
    plan: Arc<RowPlan>,
    file_id: i64,
    progress: &Progress,
    parcels: &mpsc::Sender<Parcel>,
) -> Result<ReadTotals, Failure> {
    let mut bytes = decompressed(file, uri)?;
    let mut rows = FileRows::new(plan, file_id);
    let mut output = Output::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut totals = ReadTotals { counts: Counts::default(), bytes_read: 0 };
    loop {
        // Where the tests slow a store down.
        fail::fail_point!("worker::read_chunk");
        let length = read_full(&mut bytes, &mut chunk).map_err(read_failure)?;
        if length == 0 {
            break;
        }
        rows.push(&chunk[..length], &mut output)?;
        note(progress, &mut totals, length, rows.counts());
        let is_ready = output.tuples.len() >= FRAME_BYTES || output.rejects.len() >= REJECTS_PER_PARCEL;
        if is_ready && parcels.blocking_send(take_parcel(&mut output)).is_err() {
            return Err(Failure::Stopped);
        }
    }
    rows.finish(&mut output)?;
    note(progress, &mut totals, 0, rows.counts());
    if parcels.blocking_send(take_parcel(&mut output)).is_err() {
        return Err(Failure::Stopped);
    }
    Ok(totals)
}

fn note(progress: &Progress, totals: &mut ReadTotals, length: usize, counts: Counts) {
    let new_rows = counts.rows_read - totals.counts.rows_read;
    totals.bytes_read += length as u64;
    totals.counts = counts;
    progress.bytes_read.fetch_add(length as u64, Ordering::Relaxed);
    progress.rows_read.fetch_add(new_rows, Ordering::Relaxed);
}

fn take_parcel(output: &mut Output) -> Parcel {
    let next = Vec::with_capacity(FRAME_BYTES + CHUNK_BYTES);
    let tuples = Bytes::from(std::mem::replace(&mut output.tuples, next));
    Parcel { tuples, rows: std::mem::take(&mut output.rows), rejects: std::mem::take(&mut output.rejects) }
}

/// Fills the chunk, because a decoder gives small pieces.
fn read_full(bytes: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match bytes.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The first bytes tell what a file is; a name that promises an archive which they are not is refused.
fn decompressed(file: File, uri: &str) -> Result<Box<dyn Read>, Failure> {
    let mut source = BufReader::with_capacity(CHUNK_BYTES, Source(file));
    let head = source.fill_buf().map_err(read_failure)?;
    let (is_gzip, is_zstd) = (head.starts_with(&GZIP_MAGIC), head.starts_with(&ZSTD_MAGIC));
    for (suffix, is_that, kind) in [(".gz", is_gzip, "gzip"), (".zst", is_zstd, "zstd")] {
        if uri.ends_with(suffix) && !is_that {
            return Err(Failure::Archive(format!(
                "the name ends in {suffix}, but the content is no {kind} archive"
            )));
        }
    }
    if is_gzip {
        Ok(Box::new(MultiGzDecoder::new(source)))
    } else if is_zstd {
        let decoder = zstd::stream::read::Decoder::with_buffer(source).map_err(read_failure)?;
        Ok(Box::new(decoder))
    } else {
        Ok(Box::new(source))
    }
}

/// Marks errors of the store, so that they are not taken for those of a decoder.
struct Source(File);

#[derive(Debug, thiserror::Error)]
#[error("reading failed")]
struct SourceError(#[source] io::Error);

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => io::Error::other(SourceError(error)),
        })
    }
}

fn read_failure(error: io::Error) -> Failure {
    if error.get_ref().is_some_and(|inner| inner.is::<SourceError>()) {
        return Failure::Store(StoreError::Unavailable(Box::new(error)));
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Failure::Archive("the archive ends early".to_owned()),
        _ => Failure::Archive(format!("the archive is corrupt ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(name: &str, content: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let mut text = String::new();
        let mut bytes =
            decompressed(File::open(&path).unwrap(), name).map_err(|failure| failure.to_string())?;
        bytes.read_to_string(&mut text).map_err(|error| read_failure(error).to_string())?;
        Ok(text)
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn archives_are_told_by_their_first_bytes() {
        let text = "a,b\n1,2\n".repeat(1000);
        let two_members = [gzip(&text), gzip(&text)].concat();
        assert_eq!(read("a.csv", text.as_bytes()).unwrap(), text);
        assert_eq!(read("a.csv.gz", &gzip(&text)).unwrap(), text);
        assert_eq!(read("a.csv", &gzip(&text)).unwrap(), text);
        assert_eq!(read("a.csv.gz", &two_members).unwrap(), text.repeat(2));
        assert_eq!(read("a.csv.zst", &zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap(), text);
        assert_eq!(read("a.csv", b"").unwrap(), "");
    }

    #[test]
    fn a_bad_archive_is_the_files_fault() {
        let archive = gzip(&"1234567890\n".repeat(10_000));
        assert!(read("a.csv.gz", b"a,b\n").unwrap_err().contains("no gzip archive"));
        assert!(read("a.csv.zst", b"").unwrap_err().contains("no zstd archive"));
        assert!(read("a.csv.gz", &archive[..archive.len() / 2]).unwrap_err().contains("ends early"));
        let mut corrupt = archive;
        let middle = corrupt.len() / 2;
        corrupt[middle..middle + 8].fill(0xff);
        assert!(read("a.csv.gz", &corrupt).unwrap_err().contains("archive"));
    }
}
