//! A rejected row: where it stands, its text, and the rule it breaks.

use std::fmt;

use super::{
    breakage::Breakage, column::ColumnFault, split::Piece, stray_quotes::OtherReading, text_check::Flaw,
};

/// How much of a rejected row's text is kept, in bytes.
const MAX_RAW_BYTES: usize = 8 * 1024;

/// A row that was not loaded, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Physical line on which the row begins, from 1.
    pub line: i32,
    /// Offset of the row's first byte in the decompressed file.
    pub byte_offset: i64,
    /// The target column at fault; `None` if the row as a whole is.
    pub column: Option<String>,
    /// The row's text, at most 8 KiB: bytes that are not UTF-8 as U+FFFD, NUL as U+2400 (Postgres stores neither).
    pub raw: String,
    /// Short name of the rule, for counting: `field_count`, `required`, `type`, `range`, `encoding`, `nul_byte`,
    /// `quote_text_after`, `quote_unclosed`, `quote_ambiguous`, `record_too_long`, `min`, `max`, `allowed`, `pattern`, `max_length`.
    pub rule: &'static str,
    /// What was expected, in words. Never holds a value of the file, so that it can be logged.
    pub reason: String,
}

/// A reject without the row's text: what errors and logs may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectSummary {
    /// Physical line on which the row begins, from 1.
    pub line: i32,
    /// The target column at fault; `None` if the row as a whole is.
    pub column: Option<String>,
    /// What was expected, in words.
    pub reason: String,
}

impl fmt::Display for RejectSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}", self.line)?;
        if let Some(column) = &self.column {
            write!(formatter, ", column `{column}`")?;
        }
        write!(formatter, ": {}", self.reason)
    }
}

/// The rule that a row breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Broken(Breakage),
    /// Its stray quotes have two readings.
    Ambiguous(OtherReading),
    /// With the index of the column in which the flaw stands, if it is one of the spec.
    NotText(Flaw, Option<usize>),
    /// The record has another number of fields.
    FieldCount {
        expected: usize,
    },
    /// The column's index, in the spec's order.
    Column(usize, ColumnFault),
}

impl Reject {
    /// `line` is the piece's line, as the database holds it; `byte_offset` is where it begins in the file.
    pub(super) fn new(
        line: i32,
        byte_offset: u64,
        piece: &Piece<'_>,
        column: Option<&str>,
        rule: &'static str,
        reason: String,
    ) -> Self {
        Self {
            line,
            byte_offset: byte_offset as i64,
            column: column.map(str::to_owned),
            raw: shown(piece.bytes),
            rule,
            reason,
        }
    }

    pub(super) fn summary(&self) -> RejectSummary {
        RejectSummary { line: self.line, column: self.column.clone(), reason: self.reason.clone() }
    }
}

/// The bytes as text that Postgres can store.
fn shown(bytes: &[u8]) -> String {
    // Three bytes more than are kept: a character cut in two there lies behind the cut.
    let head = &bytes[..bytes.len().min(MAX_RAW_BYTES + 3)];
    let mut text = String::from_utf8_lossy(head).replace('\0', "\u{2400}");
    text.truncate(text.floor_char_boundary(MAX_RAW_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_text_is_cut_at_8_kib_on_a_character() {
        for (letter, padding) in [("a", 0), ("\u{e9}", 1), ("\u{20ac}", 1), ("\u{1d11e}", 3)] {
            let text = format!("{}{}", "x".repeat(padding), letter.repeat(9000));
            let shown = shown(text.as_bytes());
            assert!(text.starts_with(&shown), "{letter}");
            assert!((MAX_RAW_BYTES - 3..=MAX_RAW_BYTES).contains(&shown.len()), "{letter}: {}", shown.len());
        }
    }

    #[test]
    fn raw_text_shows_what_postgres_cannot_store() {
        assert_eq!(shown(b"a\0b\xffc"), "a\u{2400}b\u{fffd}c");
        assert!(shown(&[0xff; 9000]).len() <= MAX_RAW_BYTES);
        assert!(shown(&[0; 9000]).len() <= MAX_RAW_BYTES);
    }
}
