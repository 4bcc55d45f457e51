//! The dataset spec: what a user writes in TOML, checked once, and stored in Postgres as JSON.
//! Pure: no I/O and no clock.

mod column;
mod csv;
mod error;
mod parse;
mod spec;
mod units;

pub use column::{Column, ColumnType};
pub use csv::{AsciiOrNone, Csv, ExtraColumns, FileEncoding, HeaderLines};
pub use error::SpecError;
pub use parse::parse_spec;
pub use spec::{Batch, Dataset, Discovery, FILE_ID_COLUMN, LINE_COLUMN, Rejects, Target};
pub use units::{HumanBytes, HumanDuration, Schedule};
