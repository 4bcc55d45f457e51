//! The proof of the proof: the order of effects is broken on purpose, and that must show.

use clap::ValueEnum;
use futures_util::future;

use super::edges;
use crate::{
    edge::{Action, Case, RELAY_AFTER_MARK, WORKER_AFTER_COMMIT, WORKER_IN_COPY},
    findings::Findings,
    world::World,
};

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
    pub(crate) fn unmasked_by(self) -> Case {
        let (edge, action) = match self {
            // The message is gone with the worker that had it.
            Self::AckBeforeCommit => (WORKER_IN_COPY, Action::Kill),
            // The rows are there, the task is not LOADED: it is loaded again.
            Self::LoadedApart => (WORKER_AFTER_COMMIT, Action::Kill),
            // A load that has committed believes that it failed, and makes its LOADED task NEW.
            Self::NoFence => (WORKER_AFTER_COMMIT, Action::Error),
            // Marked as published by a relay that died before it published.
            Self::MarkBeforeConfirm => (RELAY_AFTER_MARK, Action::Kill),
        };
        Case { edge, action }
    }
}

/// What each of them does must be found; one that is not caught is a violation.
pub(crate) async fn run(world: &World, sabotages: &[Sabotage]) -> Findings {
    let trials = sabotages
        .iter()
        .map(|sabotage| edges::try_edge(world, sabotage.unmasked_by(), Some(sabotage.name())));
    let mut findings = Findings::default();
    for (sabotage, found) in sabotages.iter().zip(future::join_all(trials).await) {
        let name = sabotage.name();
        match found.map(|found| found.violations.into_iter().next()) {
            Ok(Some(first)) => findings.caught.push(first),
            Ok(None) => findings.violations.push(format!("the sabotage {name} was not caught")),
            Err(error) => findings.add(Findings::of(Err(error), name)),
        }
    }
    findings
}
