//! Bytes of a file → text in UTF-8, and the way back from a line's offset in the text to its offset in the file.
//!
//! UTF-8 goes through as it is. Bytes that are no text in their encoding are not replaced by a character, which would be
//! loaded: in their place stands a byte that is no UTF-8 either, so that the record that holds it is rejected.

mod line_starts;
mod transcoder;

use encoding_rs::{Encoding, UTF_8};
use longshore_common::dataset::FileEncoding;
use transcoder::Transcoder;

const BYTE_ORDER_MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

/// The decoder of one file.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Unless a mark says otherwise.
    encoding: &'static Encoding,
    /// Whether a mark may still come.
    at_start: bool,
    /// The first bytes, until it is certain whether they are a mark and they have been taken.
    head: Vec<u8>,
    mark_length: usize,
    /// Of every encoding but UTF-8.
    transcoder: Option<Box<Transcoder>>,
}

impl Decoder {
    pub(super) fn new(encoding: FileEncoding) -> Self {
        let encoding = match encoding {
            FileEncoding::Auto => UTF_8,
            FileEncoding::Named(encoding) => encoding,
        };
        Self { encoding, at_start: true, head: Vec::new(), mark_length: 0, transcoder: None }
    }

    /// The text of the next bytes. What they leave unfinished comes with those that follow, or when the file has
    /// `ended`.
    pub(super) fn decode<'a>(&'a mut self, chunk: &'a [u8], ended: bool) -> &'a [u8] {
        let mut bytes = chunk;
        if self.at_start {
            self.head.extend_from_slice(chunk);
            if !ended && BYTE_ORDER_MARKS.iter().any(|mark| mark.starts_with(&self.head)) {
                return &[];
            }
            self.begin();
            bytes = &self.head[self.mark_length..];
        } else {
            self.head = Vec::new();
        }
        match &mut self.transcoder {
            Some(transcoder) => transcoder.decode(bytes, ended),
            None => bytes,
        }
    }

    fn begin(&mut self) {
        self.at_start = false;
        let (encoding, mark_length) = Encoding::for_bom(&self.head).unwrap_or((self.encoding, 0));
        self.mark_length = mark_length;
        if encoding != UTF_8 {
            self.transcoder = Some(Box::new(Transcoder::new(encoding, mark_length)));
        }
    }

    /// Where in the file the line begins that begins at this offset of the text. Lines before that will not be asked for.
    pub(super) fn line_offset(&mut self, text_offset: u64) -> u64 {
        match &mut self.transcoder {
            Some(transcoder) => transcoder.advance_to(text_offset),
            None => text_offset + self.mark_length as u64,
        }
    }

    /// Lines that begin before this offset of the text will not be asked for.
    pub(super) fn forget_lines_before(&mut self, text_offset: u64) {
        if let Some(transcoder) = &mut self.transcoder {
            transcoder.advance_to(text_offset);
        }
    }
}

#[cfg(test)]
mod tests;
