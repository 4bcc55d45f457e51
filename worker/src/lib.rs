//! Consumes tasks, types their rows and loads them into Postgres.
//!
//! One message goes through `task`: claim, `load`, settle, ack. A load takes each file through `read` (bytes), [`rows`]
//! (records, types; pure) and `copy` (COPY frames); `failure` decides what becomes of whatever goes wrong.
//! [`dry_run()`] takes a file the same way and loads nothing; [`infer`] writes the spec of files that have none.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic"))]

mod archive;
mod claim;
mod config;
mod copy;
mod dry_run;
mod failure;
mod heartbeat;
pub mod infer;
mod large_file;
mod load;
mod outcomes;
mod parcel;
mod places;
mod progress;
mod read;
pub mod rows;
mod savepoints;
mod service;
mod settle;
mod small_files;
mod taken_keys;
mod task;
mod unclaimed;

pub use config::WorkerConfig;
pub use dry_run::{DryRun, DryRunStep, dry_run};
pub use service::{BOOKS_POOL_SIZE, Pools, StopReason, Stopped, run};
