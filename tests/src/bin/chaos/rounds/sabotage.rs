//! The proof of the proof: the order of effects is broken on purpose, and that must show.

use anyhow::Context;
use clap::ValueEnum;
use futures_util::future;

use super::edges::{self, Action, Edge};
use crate::{findings::Findings, world::World};

/// A switch that only builds with fail points have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Sabotage {
    /// The message is acked when it arrives
    AckBeforeCommit,
    /// Rows commit first, LOADED follows in a transaction of its own
    LoadedApart,
    /// Settlements check neither attempt nor status
    NoFence,
    /// The relay marks tasks as published before it publishes them
    MarkBeforeConfirm,
}

pub(crate) const ALL: [Sabotage; 4] =
    [Sabotage::AckBeforeCommit, Sabotage::LoadedApart, Sabotage::NoFence, Sabotage::MarkBeforeConfirm];

impl Sabotage {
    /// As in `FAILPOINTS`, behind `sabotage::`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AckBeforeCommit => "ack_before_commit",
            Self::LoadedApart => "loaded_apart",
            Self::NoFence => "no_fence",
            Self::MarkBeforeConfirm => "mark_before_confirm",
        }
    }

    /// Where it cannot stay hidden, whatever the timing.
    pub(crate) fn unmasked_at(self) -> anyhow::Result<(Edge, Action)> {
        let (edge, action) = match self {
            // The message is gone with the worker that had it.
            Self::AckBeforeCommit => ("worker::in_copy", Action::Kill),
            // The rows are there, the task is not LOADED: it is loaded again.
            Self::LoadedApart => ("worker::after_commit", Action::Kill),
            // A load that has committed believes that it failed, and makes its LOADED task NEW.
            Self::NoFence => ("worker::after_commit", Action::Error),
            // Marked as published by a relay that died before it published.
            Self::MarkBeforeConfirm => ("relay::after_mark", Action::Kill),
        };
        Ok((Edge::named(edge).context("no such edge")?, action))
    }
}

/// Fails unless each sabotage is caught. Gives nothing of what was found: it is what had to be found.
pub(crate) async fn run(world: &World, sabotages: &[Sabotage]) -> anyhow::Result<Vec<Sabotage>> {
    let trials = sabotages.iter().map(async |sabotage| {
        let (edge, action) = sabotage.unmasked_at()?;
        let found = edges::try_edge(world, edge, action, Some(sabotage.name())).await;
        Ok((*sabotage, found.with_context(|| format!("sabotage {}", sabotage.name()))?))
    });
    let mut missed = Vec::new();
    for trial in future::join_all(trials).await {
        let (sabotage, Findings { violations, .. }): (Sabotage, Findings) =
            trial.map_err(|error: anyhow::Error| error)?;
        match violations.first() {
            Some(first) => println!("sabotage {} is caught: {first}", sabotage.name()),
            None => {
                println!("sabotage {} is NOT caught", sabotage.name());
                missed.push(sabotage);
            }
        }
    }
    Ok(missed)
}
