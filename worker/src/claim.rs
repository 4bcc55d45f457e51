//! Claiming a task for a message, with the patience that a worker which has just died or settled asks for.

use std::time::Duration;

use anyhow::Context;
use longshore_common::{
    database::{self, Session},
    edge,
    ledger::{self, ClaimOutcome, Claimant, Held},
    queue::Received,
};
use uuid::Uuid;

use crate::task::Shared;

/// A lease is free some milliseconds after its holder has died or settled the task, and the message may be quicker.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// One second of looks.
const MAX_LOOKS: u32 = 20;

/// Tries to claim the message's task. The session is the one that loads it, if it is claimed.
pub(crate) async fn claim(
    shared: &Shared,
    received: &Received,
    is_alone: bool,
) -> anyhow::Result<(Session, ClaimOutcome)> {
    edge::pass("worker::before_claim")?;
    let limits = shared.config.limits;
    let other_half = Uuid::now_v7();
    let claimant =
        Claimant { worker: &shared.worker_name, max_deaths: limits.max_deaths, is_alone, other_half };
    let mut session = database::session(&shared.load_pool).await?;
    let mut looks = 0;
    loop {
        let claiming = ledger::claim(&mut session, received.task_id, claimant);
        let claimed = tokio::time::timeout(limits.stall_limit, claiming).await;
        let held = match claimed.context("Postgres does not answer")?? {
            // Delivered again, it is the message of a worker that has lost its channel, most likely with its life.
            ClaimOutcome::Held(Held::Processing) if received.is_redelivered => Held::Processing,
            ClaimOutcome::Held(Held::New(attempt)) => Held::New(attempt),
            outcome => {
                edge::pass("worker::after_claim")?;
                return Ok((session, outcome));
            }
        };
        looks += 1;
        if looks == MAX_LOOKS {
            if let Held::New(attempt) = held {
                let leaving = ledger::publish_again_later(&session, received.task_id, attempt);
                let left = tokio::time::timeout(limits.stall_limit, leaving).await;
                left.context("Postgres does not answer")??;
            }
            return Ok((session, ClaimOutcome::Held(held)));
        }
        shared.pause(LOOK_EVERY).await;
    }
}
