//! One column's rules made ready for its values.

use longshore_common::dataset::{Column, ColumnType, Csv};

use super::{
    plan::PlanError,
    value::{self, Misfit},
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
    nulls: Nulls,
}

/// How a field breaks its column's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnFault {
    /// It has no value, and one is required.
    Required,
    /// It does not fit the type.
    Misfit(Misfit),
}

impl ColumnPlan {
    #[expect(clippy::unnecessary_wraps, reason = "rules to come can be wrong")]
    pub(super) fn compile(column: &Column, csv: &Csv) -> Result<Self, PlanError> {
        Ok(Self {
            name: column.name.clone(),
            header_name: column.header_name().to_owned(),
            column_type: column.column_type,
            required: column.required,
            nulls: Nulls::new(&csv.null),
        })
    }

    /// Appends the field as COPY wants it: its length and binary form, or NULL. After a fault `out` may hold a part.
    #[inline]
    pub(super) fn append(&self, text: &[u8], quoted: bool, out: &mut Vec<u8>) -> Result<(), ColumnFault> {
        if self.nulls.has(text, quoted, self.column_type) {
            if self.required {
                return Err(ColumnFault::Required);
            }
            out.extend_from_slice(&NULL);
            return Ok(());
        }
        value::append(self.column_type, text, out).map_err(ColumnFault::Misfit)
    }

    /// The name of the rule that the fault breaks, and what was expected, in words that hold no value of the file.
    pub(super) fn explain(&self, fault: ColumnFault) -> (&'static str, String) {
        match fault {
            ColumnFault::Required => ("required", "has no value, and one is required".to_owned()),
            ColumnFault::Misfit(misfit) => (misfit.rule(), misfit.reason(self.column_type)),
        }
    }
}

/// The texts that stand for no value.
#[derive(Debug)]
struct Nulls {
    empty: bool,
    others: Vec<Vec<u8>>,
    /// First bytes of the others: most fields are told from all of them at one look.
    begins: [bool; 256],
}

impl Nulls {
    fn new(texts: &[String]) -> Self {
        let others: Vec<_> =
            texts.iter().filter(|text| !text.is_empty()).map(|text| text.clone().into_bytes()).collect();
        let mut begins = [false; 256];
        for text in &others {
            begins[usize::from(text[0])] = true;
        }
        Self { empty: texts.iter().any(String::is_empty), others, begins }
    }

    /// In quotes only an empty text is no value, and not in a text column, where it is the empty text.
    #[inline]
    fn has(&self, text: &[u8], quoted: bool, column_type: ColumnType) -> bool {
        match text.first() {
            None if quoted => column_type != ColumnType::Text,
            None => self.empty,
            Some(_) if quoted => false,
            Some(&first) => self.begins[usize::from(first)] && self.others.iter().any(|other| other == text),
        }
    }
}
