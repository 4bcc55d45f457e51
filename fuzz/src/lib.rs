//! What the fuzz targets hold every input to. The pure middle is seen only as its users see it: a spec in TOML goes in,
//! tuples and rejects come out.
//!
//! A panic is a finding, here and in the code under test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is what a fuzz target reports")]

mod reading;
pub mod records;
mod tuples;
pub mod typing;
