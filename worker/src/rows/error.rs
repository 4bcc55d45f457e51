//! What fails a whole file.

use thiserror::Error;

use super::reject::RejectSummary;

/// Fails the whole file. No variant holds a value of the file; header names are shown only once every
/// column of the spec was found among them, so that they are names indeed.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FileError {
    /// Columns of the spec that the header lacks.
    #[error(
        "the header lacks {names}; it has {found}{other}",
        names = listed(names),
        found = counted(*found, "column"),
        other = delimiter_question(other_delimiter.as_ref())
    )]
    MissingColumn {
        /// Their names in the header, in the spec's order.
        names: Vec<String>,
        /// How many columns the header has.
        found: u64,
        /// What may be the file's delimiter.
        other_delimiter: Option<OtherDelimiter>,
    },
    /// Columns of the header that the spec does not name, while `csv.extra_columns` is `fail`.
    #[error(
        "the header has {count} that the spec does not name: {names}; add them to the spec or set \
         csv.extra_columns = \"ignore\"",
        count = counted(*count, "column"),
        names = listed(names)
    )]
    ExtraColumn {
        /// Their names, the first ten, each cut at 63 characters.
        names: Vec<String>,
        /// How many they are.
        count: u64,
    },
    /// Columns of the spec that the header names more than once.
    #[error("the header names {} more than once", listed(names))]
    DuplicateColumn {
        /// Their names in the header, in the spec's order.
        names: Vec<String>,
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
    /// A row begins on a line whose number the `_line` column cannot hold.
    #[error("the file has more than {} lines; split it", i32::MAX)]
    TooManyLines,
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

fn listed(names: &[String]) -> String {
    let shown = |name: &String| match name.as_str() {
        "" => "the column with an empty name".to_owned(),
        name => format!("`{name}`"),
    };
    names.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn joined(first: &[RejectSummary]) -> String {
    let shown: Vec<_> = first.iter().map(ToString::to_string).collect();
    shown.join("; ")
}
