//! What a worker does with an attempt that did not load: on the session that loaded, or on another one.

use std::time::Duration;

use longshore_common::ledger::{self, Claim, Lock};

use super::{
    event::{Event, Locked, Settlement},
    part::Exit,
    worker::Worker,
    world::Session,
};

pub(super) fn chosen_by(cue: u8) -> Settlement {
    [Settlement::Retry, Settlement::LastRetry, Settlement::GiveBack, Settlement::Fail][usize::from(cue % 4)]
}

/// Tells how far the load is, on another session.
pub(super) async fn beat(worker: &mut Worker, claim: &Claim) {
    let books = worker.books().await;
    let (task, attempt, pid) = (claim.task_id, claim.attempt, books.pid);
    let beat = ledger::heartbeat(
        &books.client,
        &[ledger::Heartbeat { task_id: task, attempt, bytes_read: 1, rows_read: 1 }],
    )
    .await;
    // A heartbeat that fails is no reason to end a load.
    let told = worker.part.told(pid, beat, |answer| Event::Heartbeat { task, attempt, answer: *answer == 1 });
    worker.books = worker.books.take().filter(|_| told.is_ok());
}

/// Settles on `session`, which holds the lease.
pub(super) async fn settle(
    worker: &mut Worker,
    session: &Session,
    claim: &Claim,
    how: Settlement,
) -> Result<(), Exit> {
    worker.part.next(session.pid).await?;
    let (client, task, attempt, pid) = (&session.client, claim.task_id, claim.attempt, session.pid);
    let (for_a_day, over) = (Duration::from_secs(86_400), Duration::ZERO);
    let changed = match how {
        Settlement::Retry => ledger::retry_later(client, task, attempt, "an outage", for_a_day).await,
        Settlement::LastRetry => ledger::retry_later(client, task, attempt, "an outage", over).await,
        Settlement::GiveBack => ledger::give_back(client, task, attempt).await,
        Settlement::Fail => ledger::fail(&**client, task, attempt, "a refusal").await,
    };
    if let (Ok(true), Settlement::Retry | Settlement::LastRetry) = (&changed, how) {
        let backoff = worker.part.world.stop_clock(task).await;
        assert!(backoff.is_none_or(|seconds| (0.25..=300.0).contains(&seconds)), "backoff of {backoff:?} s");
    }
    worker.part.told(pid, changed, |changed| Event::Settled { task, attempt, how, changed: *changed })?;
    Ok(())
}

/// Settles on another session after the load's own one is lost: under the lease, which is free only when the old backend is
/// gone. Gives up only when the worker is killed.
pub(super) async fn settle_elsewhere(
    worker: &mut Worker,
    claim: &Claim,
    how: Settlement,
) -> Result<(), Exit> {
    loop {
        worker.books().await;
        // It is used as the load's session is: taken, and not given back if anything fails.
        let Some(books) = worker.books.take() else { continue };
        match try_elsewhere(worker, &books, claim, how).await {
            Ok(is_settled) => {
                worker.books = Some(books);
                if is_settled {
                    return Ok(());
                }
            }
            Err(Exit::Disconnected) => {}
            Err(Exit::Silenced) => worker.part.world.abandon(books),
            Err(Exit::Killed) => {
                worker.books = Some(books);
                return Err(Exit::Killed);
            }
        }
    }
}

/// `false` while the lease is not free.
async fn try_elsewhere(
    worker: &mut Worker,
    books: &Session,
    claim: &Claim,
    how: Settlement,
) -> Result<bool, Exit> {
    let (client, pid) = (&books.client, books.pid);
    let (task, attempt) = (claim.task_id, claim.attempt);
    worker.part.next(pid).await?;
    let answer = ledger::is_running(client, task, attempt).await;
    let is_running = |answer: &bool| Event::IsRunning { task, attempt, answer: *answer };
    if !worker.part.told(pid, answer, is_running)? {
        take_death_back(worker, books, claim).await?;
        return Ok(true);
    }
    worker.part.next(pid).await?;
    let holder = claim.backend_pid;
    let ended = ledger::end_lease_holder(client, claim.lease_key, holder).await;
    worker.part.world.forget(holder);
    worker.part.told(pid, ended, |()| Event::EndedHolder { task, holder })?;
    worker.part.next(pid).await?;
    let got = ledger::try_lock(client, Lock::Task(claim.lease_key)).await;
    let lock = Locked::Task(task);
    if !worker.part.told(pid, got, |got| Event::TriedLock { pid, lock, got: *got })? {
        return Ok(false);
    }
    settle(worker, books, claim, how).await?;
    worker.unlock(books, claim).await?;
    Ok(true)
}

/// The rescue took this worker for dead, perhaps.
async fn take_death_back(worker: &mut Worker, books: &Session, claim: &Claim) -> Result<(), Exit> {
    let (task, attempt, pid) = (claim.task_id, claim.attempt, books.pid);
    loop {
        worker.part.next(pid).await?;
        if !worker.part.world.is_concluding(task) {
            break;
        }
        worker.part.say("waits for the row of the task, which another attempt is about to commit");
    }
    let was_dead = ledger::take_death_back(
        &books.client,
        task,
        attempt,
        "an outage",
        std::time::Duration::from_secs(86_400),
    )
    .await;
    worker.part.told(pid, was_dead, |was_dead| Event::TookDeathBack {
        task,
        attempt,
        was_dead: *was_dead,
    })?;
    Ok(())
}
