//! One entry of a listing: a file that the dataset wants, or something that is left out, and why.

use chrono::{DateTime, Utc};

use super::file::StoredFile;

/// One entry of a listing.
#[derive(Debug, Clone)]
pub enum Listed {
    /// A file that the dataset wants.
    File {
        /// What identifies this version of the file.
        file: StoredFile,
        /// When the file last changed in any way; what `settle` is measured from. Kept by the store's own clock, so that a
        /// file whose modified time was set into the past or the future still settles.
        changed_time: DateTime<Utc>,
    },
    /// Something that is left out.
    Skipped(Skipped),
}

/// An entry that is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Why.
    pub reason: SkipReason,
    /// Its URI, percent-encoded, so that it fits in any line.
    pub uri: String,
}

/// Why an entry of the source is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// No pattern of `include` matches.
    PatternMismatch,
    /// Its name says that it is still being written: `.tmp`, `.part`, `.crdownload`, or a dot in front.
    HalfWritten,
    /// A folder whose name begins with a dot: snapshots, waste baskets, and what programs keep for themselves.
    HiddenFolder,
    /// A symbolic link.
    SymbolicLink,
    /// A symbolic link that leads nowhere.
    BrokenLink,
    /// A symbolic link to a folder that it lies in.
    LinkLoop,
    /// A FIFO, socket or device.
    NotRegular,
    /// An object whose key no request can name: an empty, `.` or `..` part, a slash at an end, a control character.
    UnreadableName,
    /// A file or folder that could not be looked at; the log says why, at its level debug.
    Unreadable,
}

impl SkipReason {
    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::PatternMismatch => "pattern_mismatch",
            Self::HalfWritten => "half_written",
            Self::HiddenFolder => "hidden_folder",
            Self::SymbolicLink => "symbolic_link",
            Self::BrokenLink => "broken_link",
            Self::LinkLoop => "link_loop",
            Self::NotRegular => "not_a_regular_file",
            Self::UnreadableName => "unreadable_name",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Whether a file of this name is still being written, by the habits of those that write files: they rename it when it is
/// complete.
pub(super) fn is_half_written(name: &[u8]) -> bool {
    let ends_in = |suffix: &str| {
        let start = name.len().checked_sub(suffix.len());
        start.is_some_and(|start| name[start..].eq_ignore_ascii_case(suffix.as_bytes()))
    };
    name.starts_with(b".") || [".tmp", ".part", ".crdownload"].into_iter().any(ends_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_that_are_still_written_are_known() {
        for name in ["a.csv.tmp", "a.PART", ".a.csv", ".a.csv.Xy7", "b.csv.crdownload", ".tmp"] {
            assert!(is_half_written(name.as_bytes()), "{name}");
        }
        for name in ["a.csv", "tmp", "part.csv", "a.tmp.csv", "apart", "crdownload.csv.gz", ""] {
            assert!(!is_half_written(name.as_bytes()), "{name}");
        }
    }
}
