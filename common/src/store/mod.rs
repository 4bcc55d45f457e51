//! The file store: what lies in a source, and the bytes of one file. The only user of object_store.

mod file;
mod listing;

pub use file::{OpenFile, StoreError, StoredFile};
pub use listing::{Listed, Skipped, list};
