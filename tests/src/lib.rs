//! The harness of the end-to-end tests: real servers, the real binary, real files.
//!
//! Each test has a [`Stage`] of its own: a database, queue names and a folder that no other test uses. A missing
//! server or binary fails the test; nothing is ever skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

pub mod child;
mod figures;
pub mod limit;
mod loans;
pub mod otlp;
mod page;
mod pgbouncer;
mod process;
mod progress;
mod proxy;
mod s3;
mod servers;
mod stage;

pub use figures::{Goal, append_line, median, rounded, thousands};
pub use loans::{HEADER, gzip, loan_file, loan_line};
pub use page::{assert_section, markdown_table};
pub use pgbouncer::PgBouncer;
pub use process::{Process, on_a_mount_of_its_own, without_mount};
pub use progress::Progress;
pub use proxy::Proxy;
pub use s3::{S3Server, install_tls_provider};
pub use servers::{QueueState, Servers};
pub use stage::{Finished, Stage, connect, eventually};
