//! The `[csv]` table: how the files of a dataset are written.

mod values;

use serde::{Deserialize, Serialize};

use super::{spec::BrokenRule, units::HumanBytes};

pub use values::{AsciiOrNone, FileEncoding, HeaderLines};

/// How files are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Csv {
    /// Between fields: any character but a line break or NUL.
    pub delimiter: char,
    /// Around fields; inside a quoted field it is doubled. None: no field stands in quotes.
    pub quote: AsciiOrNone,
    /// Inside quotes it makes a quote or itself literal; before anything else it stands for itself. Doubled quotes
    /// are read beside it.
    pub escape: AsciiOrNone,
    /// Lines that begin with it, where a record could begin, are left out.
    pub comment: AsciiOrNone,
    /// Lines before the first row; the last of them names the columns. Without any, columns are taken by position.
    pub header: HeaderLines,
    /// Physical lines before the header that are left out.
    pub skip_lines: u32,
    /// How bytes become characters.
    pub encoding: FileEncoding,
    /// Unquoted fields with one of these texts have no value.
    pub null: Vec<String>,
    /// A longer record is rejected; counted in UTF-8, whatever the file's encoding is.
    pub max_record_bytes: HumanBytes,
    /// A file with more rows fails.
    pub max_rows: u64,
    /// A file with more bytes after decompression fails.
    pub max_bytes: HumanBytes,
    /// A file fails that decompression makes larger by more than this factor.
    pub max_ratio: u32,
    /// What to do about columns of the file that the spec does not name.
    pub extra_columns: ExtraColumns,
    /// What to do about a record that quotes inside unquoted fields make ambiguous.
    pub stray_quotes: StrayQuotes,
}

/// What to do about a record whose fields have other limits if a quote inside an unquoted field is taken for a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrayQuotes {
    /// It is rejected: a separator may be missing before a quoted field.
    RejectAmbiguous,
    /// Such quotes are always text.
    Literal,
}

/// What to do about columns of the file that the spec does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExtraColumns {
    /// The file fails.
    Fail,
    /// They are left out.
    Ignore,
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            delimiter: ',',
            quote: AsciiOrNone(Some(b'"')),
            escape: AsciiOrNone(None),
            comment: AsciiOrNone(None),
            header: HeaderLines(1),
            skip_lines: 0,
            encoding: FileEncoding::Auto,
            null: vec![String::new(), "NA".to_owned()],
            max_record_bytes: HumanBytes(1 << 20),
            max_rows: 100_000_000,
            max_bytes: HumanBytes(64 << 30),
            max_ratio: 200,
            extra_columns: ExtraColumns::Fail,
            stray_quotes: StrayQuotes::RejectAmbiguous,
        }
    }
}

impl Csv {
    /// Whether the file names its columns.
    pub fn has_header(&self) -> bool {
        self.header.0 > 0
    }

    /// Checks what the types of the keys cannot say.
    pub(super) fn check(&self) -> Result<(), BrokenRule> {
        if matches!(self.delimiter, '\0' | '\n' | '\r') {
            return Err((
                "csv.delimiter",
                "allowed is one character that is no line break and no NUL".to_owned(),
            ));
        }
        self.check_characters()?;
        if !(1024..=16 << 20).contains(&self.max_record_bytes.0) {
            return Err(("csv.max_record_bytes", "allowed is `1 KiB` to `16 MiB`".to_owned()));
        }
        if self.max_rows == 0 || self.max_rows > i64::MAX as u64 {
            return Err(("csv.max_rows", "allowed is one row or more".to_owned()));
        }
        if self.max_bytes.0 == 0 {
            return Err(("csv.max_bytes", "allowed is one byte or more, such as `64 GiB`".to_owned()));
        }
        if self.max_ratio == 0 {
            return Err(("csv.max_ratio", "allowed is 1 or more, such as 200".to_owned()));
        }
        Ok(())
    }

    /// A character has one meaning.
    fn check_characters(&self) -> Result<(), BrokenRule> {
        let delimiter = u8::try_from(self.delimiter).ok().filter(u8::is_ascii);
        let Self {
            quote: AsciiOrNone(quote),
            escape: AsciiOrNone(escape),
            comment: AsciiOrNone(comment),
            ..
        } = *self;
        let same = |one: Option<u8>, other: Option<u8>| one.is_some() && one == other;
        if same(quote, delimiter) {
            return Err(("csv.quote", "must not be csv.delimiter".to_owned()));
        }
        if same(escape, quote) {
            let message =
                "must not be csv.quote; leave it out, because doubled quotes are always read as one";
            return Err(("csv.escape", message.to_owned()));
        }
        if same(escape, delimiter) {
            return Err(("csv.escape", "must not be csv.delimiter".to_owned()));
        }
        if escape.is_some() && quote.is_none() {
            let message = "has a meaning inside quotes only; leave it out or set csv.quote";
            return Err(("csv.escape", message.to_owned()));
        }
        if same(comment, delimiter) || same(comment, quote) {
            return Err(("csv.comment", "must be neither csv.delimiter nor csv.quote".to_owned()));
        }
        Ok(())
    }
}
