//! One column's keys made ready for its values.

use longshore_common::dataset::{Column, ColumnType, Csv};

use super::{
    fields::Cell,
    nulls::Nulls,
    plan::PlanError,
    rules::{Rule, Rules},
    value::{self, Misfit, Notation},
};

const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// What a field must be to become a value of its column.
#[derive(Debug)]
pub(super) struct ColumnPlan {
    /// In Postgres.
    pub(super) name: String,
    /// In the file's header.
    pub(super) header_name: String,
    column_type: ColumnType,
    required: bool,
    padding: Padding,
    nulls: Nulls,
    notation: Notation,
    /// Given where a plain number is a value of the type, in this notation as well, and none of the texts for no value.
    plain_type: Option<ColumnType>,
    /// `None` where every value is allowed: nothing is paid for the rules of other columns.
    rules: Option<Box<Rules>>,
}

/// What around a value is no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Padding {
    Nothing,
    Spaces,
    WhiteSpace,
}

/// How a field breaks its column's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnFault {
    /// It has no value, and one is required.
    Required,
    /// It does not fit the type.
    Misfit(Misfit),
    /// It fits the type, but the spec does not allow it.
    Rule(Rule),
}

impl ColumnPlan {
    pub(super) fn compile(column: &Column, csv: &Csv) -> Result<Self, PlanError> {
        let column_type = column.column_type;
        let refused = |(key, message): (&str, String)| PlanError {
            key: format!("columns.{}.{key}", column.name),
            message,
        };
        let padding = match column_type {
            ColumnType::Text if column.trim => Padding::WhiteSpace,
            ColumnType::Text => Padding::Nothing,
            _ => Padding::Spaces,
        };
        let nulls = column.null.as_ref().unwrap_or(&csv.null).iter();
        let nulls = Nulls::new(nulls.map(|text| padding.strip_text(text)), column_type);
        let notation = Notation::compile(column).map_err(refused)?;
        let rules = Rules::compile(column).map_err(refused)?;
        let is_plain = matches!(notation, Notation::Plain) && !nulls.may_be_numbers();
        Ok(Self {
            name: column.name.clone(),
            header_name: column.header_name().to_owned(),
            column_type,
            required: column.required,
            padding,
            nulls,
            notation,
            plain_type: is_plain.then_some(column_type),
            rules: (!rules.is_empty()).then(|| Box::new(rules)),
        })
    }

    /// Appends the field as COPY wants it: its length and binary form, or NULL. After a fault `out` may hold a part.
    /// `scratch` is overwritten.
    #[inline(always)]
    pub(super) fn append(
        &self,
        cell: Cell<'_>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), ColumnFault> {
        if self.rules.is_none() && value::append_plain(self.plain_type, cell.head, cell.length, out) {
            return Ok(());
        }
        let Cell { head, length, quoted } = cell;
        self.append_any(head, length, quoted, scratch, out)
    }

    /// As [`Self::append`]. Takes a cell in parts: in one piece it would be written to memory for each field.
    #[inline(never)]
    fn append_any(
        &self,
        head: &[u8],
        length: usize,
        quoted: bool,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), ColumnFault> {
        let cell = Cell { head, length, quoted };
        // Behind the length come the bytes that rules are held against.
        let value = out.len() + 4;
        if self.rules.is_none() || !value::append_plain(self.plain_type, cell.head, cell.length, out) {
            let text = self.padding.strip(cell.text());
            if self.nulls.has(text, cell.quoted) {
                if self.required {
                    return Err(ColumnFault::Required);
                }
                out.extend_from_slice(&NULL);
                return Ok(());
            }
            self.notation.append(self.column_type, text, scratch, out).map_err(ColumnFault::Misfit)?;
        }
        match &self.rules {
            None => Ok(()),
            Some(rules) => {
                let encoded = out.get(value..).unwrap_or_default();
                rules.check(self.column_type, encoded).map_err(ColumnFault::Rule)
            }
        }
    }

    /// The name of the rule that the fault breaks, and what was expected, in words that hold no value of the file.
    pub(super) fn explain(&self, fault: ColumnFault) -> (&'static str, String) {
        match fault {
            ColumnFault::Required => ("required", "has no value, and one is required".to_owned()),
            ColumnFault::Misfit(misfit) => {
                (misfit.rule(), misfit.reason(self.column_type, &self.notation.expected(self.column_type)))
            }
            ColumnFault::Rule(rule) => {
                (rule.name(), self.rules.as_ref().map_or(String::new(), |rules| rules.reason(rule)))
            }
        }
    }
}

impl Padding {
    #[inline]
    fn strip(self, field: &[u8]) -> &[u8] {
        match self {
            Self::Nothing => field,
            Self::Spaces => without_spaces(field),
            // A record that is no text was rejected as a whole.
            Self::WhiteSpace => std::str::from_utf8(field).map_or(field, |text| text.trim().as_bytes()),
        }
    }

    fn strip_text(self, text: &str) -> &str {
        match self {
            Self::Nothing => text,
            Self::Spaces => text.trim_matches(' '),
            Self::WhiteSpace => text.trim(),
        }
    }
}

/// Some writers pad numbers with spaces.
#[inline]
fn without_spaces(mut field: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = field {
        field = rest;
    }
    while let [rest @ .., b' '] = field {
        field = rest;
    }
    field
}

#[cfg(test)]
mod tests;
