//! The header's names → which field each column of the spec is.

use std::collections::{HashMap, HashSet};

use longshore_common::dataset::ExtraColumns;
use memchr::memchr_iter;

use super::{
    column::ColumnPlan,
    error::{FileError, Names, OtherDelimiter},
};

const COMMON_DELIMITERS: [(u8, &str); 4] =
    [(b',', "comma"), (b';', "semicolon"), (b'\t', "tab"), (b'|', "bar")];

/// What rows are read by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Per column of the spec, the index of its field.
    pub(super) field_of_column: Vec<usize>,
    /// Fields that every row must have.
    pub(super) field_count: usize,
}

impl Header {
    /// Without names, the first field is the first column.
    pub(super) fn by_position(columns: usize, field_count: usize) -> Self {
        Self { field_of_column: (0..columns).collect(), field_count }
    }

    /// Names are compared byte by byte: the spec says exactly what the file must say.
    pub(super) fn resolve(
        columns: &[ColumnPlan],
        extra_columns: ExtraColumns,
        line: &[u8],
        names: &[Vec<u8>],
    ) -> Result<Self, FileError> {
        let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            places.entry(name).or_default().push(index);
        }
        let found =
            |column: &ColumnPlan| places.get(column.header_name.as_bytes()).map_or(&[][..], Vec::as_slice);
        let named = |wanted: &dyn Fn(usize) -> bool| {
            let chosen = columns.iter().filter(|column| wanted(found(column).len()));
            Names::new(chosen.map(|column| column.header_name.as_bytes()))
        };

        // Missing names come first: if the first line is no header at all, its values must not be shown.
        let missing = named(&|count| count == 0);
        if !missing.is_empty() {
            let other_delimiter = other_delimiter(line, names.len());
            return Err(FileError::MissingColumn {
                names: missing,
                found: names.len() as u64,
                other_delimiter,
            });
        }
        let duplicate = named(&|count| count > 1);
        if !duplicate.is_empty() {
            return Err(FileError::DuplicateColumn { names: duplicate });
        }
        if extra_columns == ExtraColumns::Fail {
            refuse_extra(columns, names)?;
        }
        let field_of_column = columns.iter().flat_map(|column| found(column).first().copied()).collect();
        Ok(Self { field_of_column, field_count: names.len() })
    }
}

/// The common delimiter that would have given the most columns, if more than were found.
fn other_delimiter(line: &[u8], found: usize) -> Option<OtherDelimiter> {
    let others = COMMON_DELIMITERS.map(|(byte, name)| {
        let count = memchr_iter(byte, line).count();
        OtherDelimiter { name, count: count as u64 }
    });
    others.into_iter().filter(|other| other.count >= found as u64).max_by_key(|other| other.count)
}

fn refuse_extra(columns: &[ColumnPlan], names: &[Vec<u8>]) -> Result<(), FileError> {
    let known: HashSet<&[u8]> = columns.iter().map(|column| column.header_name.as_bytes()).collect();
    let extra = names.iter().map(Vec::as_slice).filter(|name| !known.contains(name));
    match Names::new(extra) {
        names if names.is_empty() => Ok(()),
        names => Err(FileError::ExtraColumn { names }),
    }
}

#[cfg(test)]
mod tests;
