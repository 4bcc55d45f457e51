//! What all rounds share.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use longshore_tests::Servers;
use rand::{SeedableRng, rngs::StdRng};

use crate::{manifest::hash, rounds::Round};

/// The servers, the program, and how much is to be done to them.
pub(crate) struct World {
    pub(crate) program: PathBuf,
    pub(crate) servers: Servers,
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
    /// Holds the files and logs of all rounds.
    pub(crate) folder: PathBuf,
    pub(crate) seed: u32,
    pub(crate) size: Size,
    pub(crate) rounds: Vec<Round>,
    /// Sites stay when all is well, too.
    pub(crate) keep: bool,
}

/// How much is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) kills: u32,
    /// Of each server.
    pub(crate) restarts: u32,
    /// Pauses and errors at the edges too, all broker and network faults several times.
    pub(crate) is_full: bool,
    pub(crate) discovery: Discovery,
    /// `LONGSHORE_STALL_LIMIT` of the round that stops processes.
    pub(crate) stall_limit: Duration,
}

/// How much is to happen in a folder while it is scanned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Discovery {
    /// Written, renamed, overwritten or back-dated.
    pub(crate) files: u32,
    pub(crate) scans: u32,
    pub(crate) kills: u32,
}

impl World {
    /// Random numbers of a round's own: its faults are the same whatever other rounds run.
    pub(crate) fn random(&self, round: &str) -> StdRng {
        StdRng::seed_from_u64(u64::from(self.seed) ^ hash(round))
    }

    pub(crate) fn folder_of(&self, site: &str) -> PathBuf {
        self.folder.join(site)
    }
}

/// Waits until nobody else breaks the servers of this stack. They are ours until the file is closed.
pub(crate) fn lock_stack() -> anyhow::Result<File> {
    let stack = std::env::var_os("LONGSHORE_STACK_DIR")
        .context("LONGSHORE_STACK_DIR is not set: run `make chaos`")?;
    let path = Path::new(&stack).join("chaos.lock");
    let file = fs::File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("chaos: waiting for another one that works on this stack");
        file.lock()?;
    }
    Ok(file)
}

/// The folder that holds all crates.
pub(crate) fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}
