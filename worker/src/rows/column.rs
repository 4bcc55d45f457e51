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
    /// Given where a plain number is a value: no rule is to be held against it, and it is none of the texts for no value.
    plain_type: Option<ColumnType>,
    /// `None` for most columns, which then pay nothing for the keys of the others.
    special: Option<Box<Special>>,
}

/// What few columns have.
#[derive(Debug)]
struct Special {
    notation: Notation,
    rules: Rules,
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
        let is_special = !matches!(notation, Notation::Plain) || !rules.is_empty();
        Ok(Self {
            name: column.name.clone(),
            header_name: column.header_name().to_owned(),
            column_type,
            required: column.required,
            padding,
            plain_type: (!is_special && !nulls.may_be_numbers()).then_some(column_type),
            nulls,
            special: is_special.then(|| Box::new(Special { notation, rules })),
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
        if value::append_plain(self.plain_type, cell.head, cell.text.len(), out) {
            return Ok(());
        }
        self.append_any(cell.text, cell.quoted, scratch, out)
    }

    #[inline(never)]
    fn append_any(
        &self,
        field: &[u8],
        quoted: bool,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), ColumnFault> {
        let text = self.padding.strip(field).map_err(ColumnFault::Misfit)?;
        if self.nulls.has(text, quoted) {
            if self.required {
                return Err(ColumnFault::Required);
            }
            out.extend_from_slice(&NULL);
            return Ok(());
        }
        match &self.special {
            None => value::append(self.column_type, text, out).map_err(ColumnFault::Misfit),
            Some(special) => special.append(self.column_type, text, scratch, out),
        }
    }

    /// The name of the rule that the fault breaks, and what was expected, in words that hold no value of the file.
    pub(super) fn explain(&self, fault: ColumnFault) -> (&'static str, String) {
        match (fault, &self.special) {
            (ColumnFault::Rule(rule), Some(special)) => (rule.name(), special.rules.reason(rule)),
            (ColumnFault::Rule(rule), None) => (rule.name(), String::new()),
            (ColumnFault::Required, _) => ("required", "has no value, and one is required".to_owned()),
            (ColumnFault::Misfit(misfit), special) => {
                let notation = special.as_ref().map_or(&Notation::Plain, |special| &special.notation);
                (misfit.rule(), misfit.reason(self.column_type, &notation.expected(self.column_type)))
            }
        }
    }
}

impl Special {
    #[inline(never)]
    fn append(
        &self,
        column_type: ColumnType,
        text: &[u8],
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), ColumnFault> {
        // Behind the length come the bytes that rules are held against.
        let value = out.len() + 4;
        self.notation.append(column_type, text, scratch, out).map_err(ColumnFault::Misfit)?;
        self.rules.check(column_type, out.get(value..).unwrap_or_default()).map_err(ColumnFault::Rule)
    }
}

impl Padding {
    #[inline]
    fn strip(self, field: &[u8]) -> Result<&[u8], Misfit> {
        match self {
            Self::Nothing => Ok(field),
            Self::Spaces => Ok(without_spaces(field)),
            Self::WhiteSpace => {
                let text = std::str::from_utf8(field).map_err(|_| Misfit::Encoding)?;
                Ok(text.trim().as_bytes())
            }
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
