//! What scanner and worker share. Each module is the only user of its outside: [`database`] of TLS and pools,
//! [`ledger`] of SQL on the system's own tables, [`queue`] of lapin, [`store`] of a source's files, [`telemetry`] of
//! opentelemetry. [`dataset`] is pure.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic"))]

pub mod backoff;
pub mod database;
pub mod dataset;
pub mod edge;
pub mod error;
pub mod ledger;
pub mod limits;
pub mod queue;
pub mod shutdown;
pub mod store;
pub mod telemetry;
mod tls;
