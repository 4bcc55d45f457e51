//! End-to-end tests: the real binary, real servers, real files. Each is a sentence about what Longshore does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod after_load;
mod audits;
mod bad_files;
mod batches;
mod changes;
mod columns;
mod commands;
mod conformance;
mod continuous;
mod discovery;
mod fairness;
mod infer;
mod kept_statements;
mod links;
mod main_line;
mod many_files;
mod mid_copy;
mod model;
mod network;
mod outages;
mod partition;
mod postgres;
mod public_data;
mod publishing;
mod rejects;
mod s3;
mod scans;
mod secrets;
mod start_up;
mod stopping;
mod store_conformance;
mod taken_keys;
mod takeover;
mod traces;
mod undo;
mod validate;
mod why;
