//! End-to-end tests: the real binary, real servers, real files. Each is a sentence about what Longshore does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod bad_files;
mod columns;
mod commands;
mod discovery;
mod main_line;
mod secrets;
mod start_up;
mod stopping;
mod traces;
