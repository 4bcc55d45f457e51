//! How a record breaks the CSV grammar or its bound.

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breakage {
    /// A closing quote is followed by something other than a delimiter or the end of the record.
    TextAfterQuote,
    /// A quote is not closed before the input, or the record's bound, ends.
    UnclosedQuote,
    /// The record is longer than allowed.
    TooLong,
}

impl Breakage {
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::TextAfterQuote => "quote_text_after",
            Self::UnclosedQuote => "quote_unclosed",
            Self::TooLong => "record_too_long",
        }
    }

    /// One sentence for people.
    pub(super) fn reason(self, max_record_bytes: usize) -> String {
        match self {
            Self::TextAfterQuote => {
                "text follows a closing quote; only a delimiter or a line break may".to_owned()
            }
            Self::UnclosedQuote => format!(
                "a quote is opened and not closed before the file ends or the record has {max_record_bytes} bytes \
                 (csv.max_record_bytes)"
            ),
            Self::TooLong => format!("longer than {max_record_bytes} bytes (csv.max_record_bytes)"),
        }
    }
}
