//! The rounds, one module a kind of fault.

mod after_load;
mod alter;
mod broker;
mod database;
mod discovery;
pub(crate) mod edges;
mod kills;
mod long;
mod mount;
mod network;
pub(crate) mod sabotage;
mod stops;

use clap::ValueEnum;

use crate::{findings::Findings, world::World};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Round {
    /// A process dies, fails or waits at each edge
    Edges,
    /// Scanners and workers are killed at random times
    Kills,
    /// SIGSTOP and SIGTERM
    Stops,
    /// RabbitMQ closes, crashes, forgets, takes nothing more
    Broker,
    /// Postgres terminates, crashes, recovers
    Database,
    /// Connections end, hang or lag
    Network,
    /// Files are written, renamed, overwritten and back-dated while scanners are killed
    Discovery,
    /// The target table is altered under loads
    Alter,
    /// Workers see an empty folder where their mount is missing
    Mount,
    /// Loaded files are deleted and moved while writers pause, Postgres crashes or fails over; not with --quick
    AfterLoad,
    /// A load of five minutes under a consumer time-out of one minute; not with --quick
    Long,
}

impl Round {
    /// Those of a run that names none.
    pub(crate) fn of_a_run(is_full: bool) -> Vec<Self> {
        let mut rounds = Self::value_variants().to_vec();
        rounds.retain(|round| is_full || !matches!(round, Self::Long | Self::AfterLoad));
        rounds
    }

    /// Whether it leaves the servers alone and measures no time: then others may run beside it.
    pub(crate) fn disturbs_nobody(self) -> bool {
        matches!(
            self,
            Self::Edges | Self::Stops | Self::Network | Self::Discovery | Self::Alter | Self::Mount
        )
    }

    pub(crate) async fn run(self, world: &World) -> anyhow::Result<Findings> {
        match self {
            Self::Edges => Ok(edges::run(world).await),
            Self::Kills => kills::run(world).await,
            Self::Stops => Ok(stops::run(world).await),
            Self::Broker => broker::run(world).await,
            Self::Database => database::run(world).await,
            Self::Network => network::run(world).await,
            Self::Discovery => discovery::run(world).await,
            Self::Alter => alter::run(world).await,
            Self::Mount => mount::run(world).await,
            Self::AfterLoad => Ok(after_load::run(world).await),
            Self::Long => long::run(world).await,
        }
    }
}
