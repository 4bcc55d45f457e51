//! What all rounds share.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use longshore_tests::Servers;
use rand::{SeedableRng, rngs::StdRng};

/// The servers, the program, and how much is to be done to them.
pub(crate) struct World {
    pub(crate) program: PathBuf,
    pub(crate) servers: Servers,
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
    /// Holds the files and logs of all rounds.
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
    pub(crate) size: Size,
}

/// How much is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) kills: u32,
    /// Of each server.
    pub(crate) restarts: u32,
    /// Pauses and errors at the edges too, all broker and network faults several times.
    pub(crate) is_full: bool,
    /// `LONGSHORE_STALL_LIMIT` of the round that stops processes.
    pub(crate) stall_limit: Duration,
}

impl World {
    /// Random numbers of a round's own: its faults are the same whatever other rounds run.
    pub(crate) fn random(&self, round: &str) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ crate::manifest::hash(round))
    }

    pub(crate) fn folder_of(&self, site: &str) -> PathBuf {
        self.folder.join(site)
    }
}

/// The folder that holds all crates.
pub(crate) fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}
