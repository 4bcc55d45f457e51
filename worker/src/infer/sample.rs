//! The first bytes of a file, as often as they are wanted: the one place of inference that reads files.

use std::{
    fs::File,
    io::{Seek, SeekFrom},
    path::PathBuf,
};

use longshore_common::dataset::Csv;

use crate::archive::Content;

use super::error::InferError;

/// Bytes read at once.
const CHUNK_BYTES: usize = 128 << 10;

/// How much of a file is read, after decompression.
const SAMPLE_BYTES: u64 = 64 << 20;

/// A file to infer from.
#[derive(Debug)]
pub struct Sample {
    pub(super) name: String,
    pub(super) path: PathBuf,
    file: File,
    pub(super) max_bytes: u64,
}

/// How far a reading went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// To the end of the file.
    Whole,
    /// To the end of the sample; it may cut a record in two.
    Part,
}

/// The first bytes of a sample.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    pub(super) extent: Extent,
}

impl Sample {
    /// `name` is what errors and comments call the file, in one line; its dataset is named after the absolute `path`.
    pub fn new(name: String, path: PathBuf, file: File) -> Self {
        Self { name, path, file, max_bytes: SAMPLE_BYTES }
    }

    /// About so many bytes of it.
    pub(super) fn head(&self, head_bytes: usize) -> Result<Head, InferError> {
        let mut bytes = Vec::new();
        let extent = self.read(|chunk| {
            bytes.extend_from_slice(chunk);
            if bytes.len() < head_bytes { Seen::More } else { Seen::Enough }
        })?;
        Ok(Head { bytes, extent })
    }

    /// Shows the sample chunk by chunk, from its beginning, until it ends or the visitor has seen enough.
    pub(super) fn read(&self, mut visit: impl FnMut(&[u8]) -> Seen) -> Result<Extent, InferError> {
        let unreadable = |reason: String| InferError::Unreadable { file: self.name.clone(), reason };
        let mut file = self.file.try_clone().map_err(|error| unreadable(error.to_string()))?;
        file.seek(SeekFrom::Start(0)).map_err(|error| unreadable(error.to_string()))?;
        let size_in_bytes = file.metadata().map_or(0, |metadata| metadata.len());
        let mut content = Content::new(Box::new(file), &self.name, size_in_bytes, &Csv::default());
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut left = self.max_bytes;
        while left > 0 {
            let wanted = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let length = content
                .read_chunk(&mut chunk[..wanted])
                .map_err(|failure| unreadable(failure.for_operators()))?;
            if length == 0 {
                return Ok(Extent::Whole);
            }
            left -= length as u64;
            if let Seen::Enough = visit(&chunk[..length]) {
                return Ok(Extent::Part);
            }
        }
        // One more byte tells whether the file ends here.
        match content.read_chunk(&mut chunk[..1]) {
            Ok(0) => Ok(Extent::Whole),
            Ok(_) | Err(_) => Ok(Extent::Part),
        }
    }
}

/// Whether a visitor wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    More,
    Enough,
}
