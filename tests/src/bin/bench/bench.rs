//! What a figure works with.

use std::{path::PathBuf, rc::Rc};

use crate::{longshore::Longshore, million::Million, psql::Psql, server::Server};

/// A database, queues and a folder of its own: a figure finds nothing that another left, not even when that one failed.
pub(crate) struct Bench {
    /// Timed runs of each side.
    pub(crate) runs: u32,
    pub(crate) scale: f64,
    pub(crate) server: Server,
    pub(crate) longshore: Longshore,
    pub(crate) psql: Psql,
    /// Shared with the other figures of the run.
    pub(crate) million: Rc<Million>,
    /// For files; removed in the end.
    pub(crate) folder: PathBuf,
}

impl Bench {
    /// What a run has of a number that is meant for a whole one.
    pub(crate) fn scaled(&self, whole: u64) -> u64 {
        (whole as f64 * self.scale).round().max(1.0) as u64
    }
}
