//! The harness of the end-to-end tests: real servers, the real binary, real files.
//!
//! Each test has a [`Stage`] of its own: a database, queue names and a folder that no other test uses. A missing
//! server or binary fails the test; nothing is ever skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod loans;
pub mod otlp;
mod page;
mod process;
mod proxy;
mod servers;
mod stage;

pub use loans::{HEADER, loan_file, loan_line};
pub use page::{assert_section, markdown_table};
pub use process::Process;
pub use proxy::Proxy;
pub use servers::{QueueState, Servers};
pub use stage::{Finished, Stage, eventually};
