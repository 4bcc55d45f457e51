//! Whether a text is a value of a column, without a file around it: what inference asks.

use longshore_common::dataset::{Column, Csv};

use super::{column::ColumnPlan, fields::Cell, plan::PlanError};

/// A column's rules, to try texts on.
#[derive(Debug)]
pub(crate) struct ValueTest {
    column: ColumnPlan,
    scratch: Vec<u8>,
    out: Vec<u8>,
}

impl ValueTest {
    /// No text stands for no value here.
    pub(crate) fn compile(column: &Column) -> Result<Self, PlanError> {
        let csv = Csv { null: Vec::new(), ..Csv::default() };
        Ok(Self { column: ColumnPlan::compile(column, &csv)?, scratch: Vec::new(), out: Vec::new() })
    }

    /// Whether a field with this text would load.
    pub(crate) fn takes(&mut self, text: &[u8]) -> bool {
        self.out.clear();
        let cell = Cell { head: text, length: text.len(), quoted: false };
        self.column.append(cell, &mut self.scratch, &mut self.out).is_ok()
    }
}
