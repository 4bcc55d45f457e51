//! The rounds, one module a kind of fault.

pub(crate) mod edges;
mod kills;
pub(crate) mod sabotage;

use clap::ValueEnum;

use crate::{findings::Findings, world::World};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Round {
    /// A process dies, fails or waits at each edge
    Edges,
    /// Scanners and workers are killed at random times
    Kills,
}

impl Round {
    pub(crate) async fn run(self, world: &World) -> anyhow::Result<Findings> {
        match self {
            Self::Edges => edges::run(world).await,
            Self::Kills => kills::run(world).await,
        }
    }
}
