//! What fails a whole file.

use std::fmt;

use longshore_common::dataset::HumanBytes;
use thiserror::Error;

use super::{fields::MAX_FIELDS, reject::RejectSummary};

const MAX_LISTED: usize = 10;
const MAX_NAME_CHARS: usize = 63;

/// Fails the whole file. No variant holds a value of the file; header names are shown only once every
/// column of the spec was found among them, so that they are names indeed.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FileError {
    /// Columns of the spec that the header lacks.
    #[error(
        "the header lacks {names}; it has {found}{other}",
        found = counted(*found, "column"),
        other = delimiter_question(other_delimiter.as_ref())
    )]
    MissingColumn {
        /// Their names in the header, in the spec's order.
        names: Names,
        /// How many columns the header has.
        found: u64,
        /// What may be the file's delimiter.
        other_delimiter: Option<OtherDelimiter>,
    },
    /// Columns of the header that the spec does not name, while `csv.extra_columns` is `fail`.
    #[error(
        "the header has {count} that the spec does not name: {names}; add them to the spec or set \
         csv.extra_columns = \"ignore\"",
        count = counted(names.count, "column")
    )]
    ExtraColumn {
        /// Their names in the header.
        names: Names,
    },
    /// Columns of the spec that the header names more than once.
    #[error("the header names {names} more than once")]
    DuplicateColumn {
        /// Their names in the header, in the spec's order.
        names: Names,
    },
    /// The header has more columns than are read.
    #[error(
        "the header, on line {line}, has {found} columns, at most {MAX_FIELDS} are read; are csv.delimiter, csv.header and \
         csv.skip_lines right?"
    )]
    TooManyColumns {
        /// Physical line on which the header begins, from 1.
        line: i32,
        /// How many columns it has.
        found: u64,
    },
    /// The first record is no header.
    #[error("the header, on line {line}, cannot be read: {reason}")]
    UnreadableHeader {
        /// Physical line on which it begins, from 1.
        line: i32,
        /// What is wrong with it.
        reason: String,
    },
    /// More rows than `rejects.max_rows` were rejected; reading stopped there.
    #[error(
        "{count} rejected, the limit is {limit} (rejects.max_rows); the first: {first}",
        count = counted(*count, "row"),
        first = joined(first)
    )]
    TooManyRejects {
        /// Rows rejected until reading stopped.
        count: u64,
        /// `rejects.max_rows`.
        limit: u64,
        /// The first three of them.
        first: Vec<RejectSummary>,
    },
    /// A larger share of the rows than `rejects.max_ratio` was rejected.
    #[error(
        "{rejected} of {read} rows rejected, the limit is a share of {limit} (rejects.max_ratio); \
         the first: {first}",
        first = joined(first)
    )]
    RejectRatio {
        /// Rows rejected.
        rejected: u64,
        /// Rows read.
        read: u64,
        /// `rejects.max_ratio`.
        limit: f64,
        /// The first three rejects.
        first: Vec<RejectSummary>,
    },
    /// The file has more rows than `csv.max_rows`; reading stopped there.
    #[error("the file has more than {limit} rows (csv.max_rows); split it, or raise the limit")]
    TooManyRows {
        /// `csv.max_rows`.
        limit: u64,
    },
    /// The file has more bytes than `csv.max_bytes`; reading stopped there.
    #[error(
        "the file has more than {} after decompression (csv.max_bytes); split it, or raise the limit",
        String::from(*limit)
    )]
    TooManyBytes {
        /// `csv.max_bytes`.
        limit: HumanBytes,
    },
    /// Decompression makes the file larger than `csv.max_ratio` allows; reading stopped there.
    #[error(
        "the archive has given {given} bytes from {stored} stored ones, more than {limit} times as many (csv.max_ratio); if that \
         is right, raise the limit"
    )]
    Ratio {
        /// Bytes after decompression.
        given: u64,
        /// Bytes of the stored file.
        stored: u64,
        /// `csv.max_ratio`.
        limit: u32,
    },
    /// A row begins on a line whose number the `_line` column cannot hold.
    #[error("the file has more than {} lines; split it", i32::MAX)]
    TooManyLines,
}

/// Names of columns, of which a message shows the first ten, each cut at 63 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    shown: Vec<String>,
    count: u64,
}

impl Names {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut list = Self { shown: Vec::new(), count: 0 };
        for name in names {
            if list.shown.len() < MAX_LISTED {
                list.shown.push(String::from_utf8_lossy(name).chars().take(MAX_NAME_CHARS).collect());
            }
            list.count += 1;
        }
        list
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.shown.iter().enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            match name.as_str() {
                "" => write!(formatter, "{separator}the column with an empty name")?,
                name => write!(formatter, "{separator}`{name}`")?,
            }
        }
        match self.count - self.shown.len() as u64 {
            0 => Ok(()),
            more => write!(formatter, " and {more} more"),
        }
    }
}

/// A character that would split the header into more columns than `csv.delimiter` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherDelimiter {
    /// In words.
    pub name: &'static str,
    /// How often the header's line has it.
    pub count: u64,
}

fn delimiter_question(other: Option<&OtherDelimiter>) -> String {
    other.map_or_else(String::new, |OtherDelimiter { name, count }| {
        format!("; is csv.delimiter right? the line has {}", counted(*count, name))
    })
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn joined(first: &[RejectSummary]) -> String {
    let shown: Vec<_> = first.iter().map(ToString::to_string).collect();
    shown.join("; ")
}
