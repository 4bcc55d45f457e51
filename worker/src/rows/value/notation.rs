//! How a column's values are written: as SQL writes its type, or as the spec says.

use longshore_common::dataset::{Column, ColumnType};

use super::{Misfit, boolean::Words, format::Format, number::NumberNotation};

/// How a column's values are written.
#[derive(Debug)]
pub(in crate::rows) enum Notation {
    /// As SQL writes the type.
    Plain,
    /// With a decimal comma, groups of thousands or words for what is not finite.
    Number(NumberNotation),
    /// In the spec's own words.
    Words(Words),
    /// In a format of strftime's.
    Format(Format),
}

impl Notation {
    /// An error is the key and what is wrong with it.
    pub(in crate::rows) fn compile(column: &Column) -> Result<Self, (&'static str, String)> {
        if let Some(format) = &column.format {
            let format = Format::compile(column.column_type, format);
            return format.map(Self::Format).map_err(|message| ("format", message));
        }
        let words = Words::compile(column).map(Self::Words);
        let number = || NumberNotation::compile(column).map(Self::Number);
        Ok(words.or_else(number).unwrap_or(Self::Plain))
    }

    /// Appends the binary form of a text without padding to `out`. If it does not fit, `out` may hold a part of it.
    pub(in crate::rows) fn append(
        &self,
        column_type: ColumnType,
        text: &[u8],
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misfit> {
        match self {
            Self::Plain => super::append(column_type, text, out),
            Self::Number(number) => number.append(column_type, text, scratch, out),
            Self::Words(words) => words.append(text, out),
            Self::Format(format) => format.append(column_type, text, out),
        }
    }

    /// What a value must be, in words.
    pub(in crate::rows) fn expected(&self, column_type: ColumnType) -> String {
        match self {
            Self::Plain => super::expected(column_type),
            Self::Number(number) => super::expected(column_type) + &number.expected(),
            Self::Words(words) => words.expected(),
            Self::Format(format) => format.expected(column_type),
        }
    }
}
