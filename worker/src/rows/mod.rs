//! Bytes of a CSV file in, binary COPY tuples and rejects out. Pure: no I/O, no clock, no globals, and memory
//! bounded by the longest record allowed plus one chunk, whatever the file holds.
//!
//! A chunk goes through `decode` (bytes → UTF-8), `split` with `scan` and `text_check` (text → records and their `fields`),
//! `header` (names → columns) and `encode` with `column`, `value` and `rules` (fields → a tuple, or the fault that rejects the
//! row); `stray_quotes` finds records that have two readings, and `file_rows` counts and limits. What all of them need of the spec is the `plan`.
//! `records` and `value_test` show the same splitting and typing to inference.

mod breakage;
mod column;
mod decode;
mod dialect;
mod encode;
mod error;
mod explored;
mod fields;
mod file_rows;
mod find;
mod header;
mod nulls;
mod plan;
#[cfg(test)]
mod properties;
mod records;
mod reject;
mod rules;
mod scan;
mod spec_text;
mod split;
mod stray_quotes;
#[cfg(test)]
mod testing;
mod text_check;
mod value;
mod value_test;

pub use encode::{COPY_HEADER, COPY_TRAILER};
pub use error::{FileError, Names, OtherDelimiter};
pub use file_rows::{Counts, FileRows, Output};
pub use plan::{PlanError, RowPlan};
pub(crate) use records::{Record, Records};
pub use reject::{Reject, RejectSummary};
pub(crate) use value_test::ValueTest;
