//! One module a subcommand.

mod apply;
pub(crate) mod audit;
pub(crate) mod dataset;
pub(crate) mod files;
pub(crate) mod health;
mod infer;
mod loans;
pub(crate) mod migrate;
pub(crate) mod rejects;
pub(crate) mod retry;
pub(crate) mod sample;
pub(crate) mod scan;
pub(crate) mod scanner;
pub(crate) mod scans;
pub(crate) mod split;
pub(crate) mod status;
pub(crate) mod tasks;
pub(crate) mod undo;
pub(crate) mod validate;
pub(crate) mod verify;
pub(crate) mod why;
pub(crate) mod worker;
