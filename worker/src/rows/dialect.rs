//! How a file writes its records, made ready for the scan.

use longshore_common::dataset::{Csv, StrayQuotes};

/// The characters that mean something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub(super) delimiter: Delimiter,
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    pub(super) comment: Option<u8>,
    /// Whether quotes inside unquoted fields may have a record rejected.
    pub(super) checks_stray_quotes: bool,
}

impl Dialect {
    pub(super) fn new(csv: &Csv) -> Self {
        Self {
            delimiter: Delimiter::new(csv.delimiter),
            quote: csv.quote.0,
            escape: csv.escape.0,
            comment: csv.comment.0,
            checks_stray_quotes: csv.stray_quotes == StrayQuotes::RejectAmbiguous,
        }
    }
}

/// What stands between two fields, in UTF-8.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delimiter {
    bytes: [u8; 4],
    length: usize,
}

impl Delimiter {
    fn new(character: char) -> Self {
        let mut bytes = [0; 4];
        let length = character.encode_utf8(&mut bytes).len();
        Self { bytes, length }
    }

    #[inline]
    pub(super) fn length(&self) -> usize {
        self.length
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    #[inline]
    pub(super) fn begins(&self, text: &[u8]) -> bool {
        text.first() == Some(&self.bytes[0]) && (self.length == 1 || text.starts_with(self.bytes()))
    }

    /// The byte to look for: its last, so that whatever ends with it is there as a whole.
    pub(super) fn last_byte(&self) -> u8 {
        self.bytes[self.length - 1]
    }

    /// Whether a delimiter that begins at `from` or later ends with the byte at `at`, which is its last byte.
    #[inline]
    pub(super) fn ends_at(&self, text: &[u8], from: usize, at: usize) -> bool {
        self.length == 1 || (at + 1 - from >= self.length && text[from..=at].ends_with(self.bytes()))
    }
}
