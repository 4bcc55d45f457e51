//! The dataset spec: what a user writes in TOML, checked once, and stored in Postgres as JSON.
//! Pure: no I/O and no clock.

mod after_load;
mod column;
mod column_check;
mod column_type;
mod csv;
mod error;
mod literal;
mod parse;
mod partition;
mod schedule;
mod source;
mod spec;
mod units;

pub use after_load::AfterLoad;
pub use column::Column;
pub use column_check::MAX_COLUMNS;
pub use column_type::ColumnType;
pub use csv::{AsciiOrNone, Csv, ExtraColumns, FileEncoding, HeaderLines, StrayQuotes};
pub use error::SpecError;
pub use literal::Literal;
pub use parse::parse_spec;
pub use partition::Partition;
pub use schedule::{Cron, Schedule};
pub use source::BucketSource;
pub(crate) use source::split_bucket;
pub use spec::{Batch, Dataset, Discovery, FILE_ID_COLUMN, LINE_COLUMN, OnChange, Rejects, Target};
pub use units::{HumanBytes, HumanDuration};
