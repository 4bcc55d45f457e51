//! Stored bytes → decompressed bytes, in memory that does not depend on what the archive claims.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use longshore_common::{
    dataset::{Csv, HumanBytes},
    store::StoreError,
};

use crate::{failure::Failure, rows::FileError};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Behind a first byte of 0x50 to 0x5f: a frame that decoders skip, with which some writers begin.
const ZSTD_SKIPPABLE_MAGIC: [u8; 3] = [0x2a, 0x4d, 0x18];
/// What is put into a folder of CSV files by mistake.
const FOREIGN_MAGICS: [(&[u8], &str); 3] = [
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"PAR1\x15", "a Parquet file"),
];
/// A zstd archive may ask for a window of 8 MiB, which is what every decoder has to offer. More is memory that a
/// stranger decides about.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Up to here, an archive may have any ratio: a few equal lines have a large one.
const RATIO_MIN_BYTES: u64 = 256 << 20;

/// Bytes read at once, by loads and dry runs.
pub(crate) const CHUNK_BYTES: usize = 128 << 10;

/// A file's content, decompressed where it is an archive: its first bytes tell, not its name.
pub(crate) struct Content {
    form: Form,
    name: String,
    size_in_bytes: u64,
    max_bytes: HumanBytes,
    max_ratio: u32,
    bytes_given: u64,
}

enum Form {
    Unread(Source),
    Plain(Source),
    Gzip(Box<MultiGzDecoder<Stored>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Stored>>),
    /// After an error.
    Broken,
}

/// What a decoder reads: the bytes by which it was chosen, then the rest.
type Stored = BufReader<Chain<Cursor<Vec<u8>>, Source>>;

impl Content {
    /// `name` is the file's name or URI: what it promises by `.gz` or `.zst` must be true. `size_in_bytes` is that of the stored file,
    /// 0 where nobody knows. `csv` bounds what it may become.
    pub(crate) fn new(stored: Box<dyn Read + Send>, name: &str, size_in_bytes: u64, csv: &Csv) -> Self {
        Self {
            form: Form::Unread(Source { stored, bytes: 0 }),
            name: name.to_owned(),
            size_in_bytes,
            max_bytes: csv.max_bytes,
            max_ratio: csv.max_ratio,
            bytes_given: 0,
        }
    }

    /// Fills the chunk as far as there is content; zero bytes are its end.
    pub(crate) fn read_chunk(&mut self, chunk: &mut [u8]) -> Result<usize, Failure> {
        let length = match &mut self.form {
            Form::Unread(_) => self.read_first(chunk)?,
            Form::Plain(source) => fill(source, chunk)?,
            Form::Gzip(decoder) => fill(decoder, chunk)?,
            Form::Zstd(decoder) => fill(decoder, chunk)?,
            Form::Broken => 0,
        };
        self.bytes_given += length as u64;
        self.check_bounds().inspect_err(|_| self.form = Form::Broken)?;
        Ok(length)
    }

    fn check_bounds(&self) -> Result<(), FileError> {
        // A file that begins with much of the same may be an ordinary one as a whole.
        let stored = self.size_in_bytes.max(self.stored_bytes());
        let (given, limit) = (self.bytes_given, self.max_ratio);
        if given > self.max_bytes.0 {
            return Err(FileError::TooManyBytes { limit: self.max_bytes });
        }
        if given > RATIO_MIN_BYTES && given / u64::from(limit) > stored {
            return Err(FileError::Ratio { given, stored, limit });
        }
        Ok(())
    }

    /// Bytes given so far, after decompression.
    pub(crate) fn bytes_given(&self) -> u64 {
        self.bytes_given
    }

    /// Bytes read from the store so far.
    pub(crate) fn stored_bytes(&self) -> u64 {
        match &self.form {
            Form::Unread(source) | Form::Plain(source) => source.bytes,
            Form::Gzip(decoder) => decoder.get_ref().get_ref().get_ref().1.bytes,
            Form::Zstd(decoder) => decoder.get_ref().get_ref().get_ref().1.bytes,
            Form::Broken => 0,
        }
    }

    fn read_first(&mut self, chunk: &mut [u8]) -> Result<usize, Failure> {
        let Form::Unread(mut source) = std::mem::replace(&mut self.form, Form::Broken) else { return Ok(0) };
        let length = fill(&mut source, chunk)?;
        let head = &chunk[..length];
        if let Some(what) = foreign_format(head) {
            return Err(Failure::Archive(format!("the content is {what}; only CSV, gzip and zstd are read")));
        }
        let is_gzip = head.starts_with(&GZIP_MAGIC);
        let is_skippable =
            head.first().is_some_and(|first| first >> 4 == 5) && head[1..].starts_with(&ZSTD_SKIPPABLE_MAGIC);
        let is_zstd = head.starts_with(&ZSTD_MAGIC) || is_skippable;
        for (suffix, is_that, kind) in [(".gz", is_gzip, "gzip"), (".zst", is_zstd, "zstd")] {
            if self.name.ends_with(suffix) && !is_that {
                return Err(Failure::Archive(format!(
                    "the name ends in {suffix}, but the content is no {kind} archive"
                )));
            }
        }
        if !is_gzip && !is_zstd {
            self.form = Form::Plain(source);
            return Ok(length);
        }
        let stored = BufReader::new(Cursor::new(head.to_vec()).chain(source));
        self.form = if is_gzip {
            Form::Gzip(Box::new(MultiGzDecoder::new(stored)))
        } else {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(stored).map_err(failure)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failure)?;
            Form::Zstd(Box::new(decoder))
        };
        match &mut self.form {
            Form::Gzip(decoder) => fill(decoder, chunk),
            Form::Zstd(decoder) => fill(decoder, chunk),
            Form::Unread(_) | Form::Plain(_) | Form::Broken => Ok(0),
        }
    }
}

/// What the file is, if its first bytes are another format's.
fn foreign_format(head: &[u8]) -> Option<&'static str> {
    // Behind `BZh` and a level comes the mark of the first block: a header's first name may be `BZh`.
    if head.starts_with(b"BZh") && head.get(4..).is_some_and(|behind| behind.starts_with(b"1AY&SY")) {
        return Some("a bzip2 archive");
    }
    FOREIGN_MAGICS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, what)| *what)
}

/// Fills the chunk as far as it goes, because a decoder gives small pieces.
fn fill(bytes: &mut impl Read, chunk: &mut [u8]) -> Result<usize, Failure> {
    let mut filled = 0;
    while filled < chunk.len() {
        match bytes.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failure(error)),
        }
    }
    Ok(filled)
}

/// Counts the stored bytes, and marks the store's errors so that they are not taken for those of a decoder.
struct Source {
    stored: Box<dyn Read + Send>,
    bytes: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("reading failed")]
struct SourceError(#[source] io::Error);

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stored.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => io::Error::other(SourceError(error)),
        })?;
        self.bytes += length as u64;
        Ok(length)
    }
}

fn failure(error: io::Error) -> Failure {
    let error = match error.downcast::<SourceError>() {
        Ok(SourceError(error)) => {
            return Failure::Store(match error.downcast::<StoreError>() {
                Ok(told) => told,
                Err(error) => StoreError::Unavailable(Box::new(error)),
            });
        }
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Failure::Archive("the archive ends early".to_owned()),
        _ => Failure::Archive(format!(
            "the archive is corrupt, or needs a window of more than 8 MiB ({error})"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(name: &str, stored: &[u8]) -> Result<String, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(stored).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let mut content = Content::new(Box::new(file), name, stored.len() as u64, &Csv::default());
        let (mut text, mut chunk) = (Vec::new(), vec![0; 1000]);
        loop {
            match content.read_chunk(&mut chunk).map_err(|failure| failure.to_string())? {
                0 => return Ok(String::from_utf8(text).unwrap()),
                length => text.extend_from_slice(&chunk[..length]),
            }
        }
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn archives_are_told_by_their_first_bytes() {
        let text = "a,b\n1,2\n".repeat(1000);
        let two_members = [gzip(text.as_bytes()), gzip(text.as_bytes())].concat();
        assert_eq!(read("a.csv", text.as_bytes()).unwrap(), text);
        assert_eq!(read("a.csv.gz", &gzip(text.as_bytes())).unwrap(), text);
        assert_eq!(read("a.csv", &gzip(text.as_bytes())).unwrap(), text);
        assert_eq!(read("a.csv.gz", &two_members).unwrap(), text.repeat(2));
        assert_eq!(read("a.csv.zst", &zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap(), text);
        let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
        let behind_a_skippable_frame = [b"\x52\x2a\x4d\x18\x03\0\0\0abc", &zstd[..]].concat();
        assert_eq!(read("a.csv.zst", &behind_a_skippable_frame).unwrap(), text);
        assert_eq!(read("a.csv", b"").unwrap(), "");
    }

    #[test]
    fn a_bad_archive_is_the_files_fault() {
        let archive = gzip("1234567890\n".repeat(10_000).as_bytes());
        assert!(read("a.csv.gz", b"a,b\n").unwrap_err().contains("no gzip archive"));
        assert!(read("a.csv.zst", b"").unwrap_err().contains("no zstd archive"));
        assert!(read("a.csv", b"PK\x03\x04\x14\0").unwrap_err().contains("Excel workbook"));
        assert!(read("a.csv", b"BZh51AY&SY\0").unwrap_err().contains("bzip2"));
        for text in ["BZh,PK\n1,2\n", "BZh", "PK,name\n", "PAR1,x\n"] {
            assert_eq!(read("a.csv", text.as_bytes()).unwrap(), text);
        }
        assert!(read("a.csv.gz", &archive[..archive.len() / 2]).unwrap_err().contains("ends early"));
        let mut corrupt = archive;
        let middle = corrupt.len() / 2;
        corrupt[middle..middle + 8].fill(0xff);
        assert!(read("a.csv.gz", &corrupt).unwrap_err().contains("archive"));
    }

    #[test]
    fn a_zstd_archive_that_wants_much_memory_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&b"1,2,3\n".repeat(2 << 20)).unwrap();
        let archive = encoder.finish().unwrap();
        assert!(read("a.csv.zst", &archive).unwrap_err().contains("8 MiB"));
    }

    /// Zeros beyond the bytes that any ratio is allowed for, and random bytes behind them: what reading that ends with, and where.
    fn read_zeros_and(random: usize) -> (Result<(), String>, u64) {
        // Zeros compress best: about 1030 to 1 by gzip, far more by zstd.
        let zeros = io::repeat(0).take(RATIO_MIN_BYTES + (8 << 20));
        let mut state = 1_u64;
        let random: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(random)
        .collect();
        let mut encoder = zstd::stream::read::Encoder::new(zeros.chain(&random[..]), 1).unwrap();
        let mut archive = tempfile::tempfile().unwrap();
        let size = io::copy(&mut encoder, &mut archive).unwrap();
        io::Seek::rewind(&mut archive).unwrap();
        let mut content = Content::new(Box::new(archive), "bomb.csv.zst", size, &Csv::default());
        let mut chunk = vec![0; 1 << 20];
        loop {
            match content.read_chunk(&mut chunk) {
                Ok(0) => break (Ok(()), content.bytes_given),
                Ok(_) => {}
                Err(failure) => break (Err(failure.to_string()), content.bytes_given),
            }
        }
    }

    #[test]
    fn an_archive_may_become_two_hundred_times_as_large_beyond_a_quarter_of_a_gibibyte() {
        let (ended, bytes_given) = read_zeros_and(0);
        assert!(ended.unwrap_err().contains("csv.max_ratio"));
        assert!(bytes_given <= RATIO_MIN_BYTES + (2 << 20));
    }

    #[test]
    fn a_file_is_judged_by_all_of_it_and_not_by_its_beginning() {
        assert_eq!(read_zeros_and(2 << 20).0, Ok(()));
    }
}
