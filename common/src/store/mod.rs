//! The file store: what lies in a source, and the bytes of one file. Nothing else touches a source's files.

mod file;
mod listing;
mod time;

pub use file::{OpenFile, StoreError, StoredFile, has_source};
pub use listing::{Listed, Skipped, list};
