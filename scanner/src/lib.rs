//! Finds new files, groups them into tasks, publishes the tasks, and rescues those whose worker is gone.
//!
//! [`scan_dataset`] is one pass over one dataset; [`Relay`] and [`Rescuer`] are what a tick does; [`run`] is the
//! service that does all of it by schedule. Several may run at once: whoever gets a lock does the work.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic"))]

mod after_load;
mod after_loads;
mod answer;
mod audit;
mod batching;
mod complaints;
mod discovery;
mod hindrances;
mod lost_messages;
mod low_mark;
mod missing;
mod pace;
mod pass;
mod postponed;
mod reach;
mod relay;
mod rescue;
mod running;
mod scan;
mod schedule;
mod service;
mod trouble;
mod wake;
mod watch;

pub use after_load::AfterLoadReport;
pub use after_loads::work_off_all;
pub use batching::{BatchReport, HeldBack};
pub use relay::Relay;
pub use rescue::Rescuer;
pub use running::wait_after_failure;
pub use scan::{ScanMode, ScanOptions, ScanReport, scan_dataset};
pub use schedule::is_audit_due;
pub use service::{POOL_SIZE, ScannerConfig, run};
