//! What scanners do with tasks: the relay, and the rescue.

use longshore_common::ledger::{self, Lock, OpenTask, Unpublished};

use super::{
    event::{Event, Locked, Pid},
    part::{Exit, Part},
    world::Session,
};

/// A scanner's relay.
pub(super) async fn relay(mut part: Part) {
    let mut kept = None;
    while part.begin().await.is_some() {
        let session = open(&part, kept).await;
        let published = publish(&mut part, &session).await;
        kept = end_flow(&part, session, published).await;
    }
}

/// A scanner's rescue. Unlike the real one it waits for nothing: it may take any worker for dead whose lease is free.
pub(super) async fn rescuer(mut part: Part) {
    let mut kept = None;
    while let Some(cue) = part.begin().await {
        let session = open(&part, kept).await;
        let looked = look(&mut part, &session, cue).await;
        kept = end_flow(&part, session, looked).await;
    }
}

async fn open(part: &Part, kept: Option<Session>) -> Session {
    match kept {
        Some(session) => session,
        None => part.world.connect().await,
    }
}

/// The session, if it can be used again.
async fn end_flow(part: &Part, session: Session, ended: Result<(), Exit>) -> Option<Session> {
    match ended {
        Ok(()) => return Some(session),
        Err(Exit::Disconnected) => {}
        Err(Exit::Silenced) => part.world.abandon(session),
        Err(Exit::Killed) => part.report([part.world.kill(session).await]),
    }
    None
}

async fn publish(part: &mut Part, session: &Session) -> Result<(), Exit> {
    let (client, pid) = (&session.client, session.pid);
    let got = ledger::try_lock(client, Lock::Relay).await;
    let lock = Locked::Relay;
    if !part.told(pid, got, |got| Event::TriedLock { pid, lock, got: *got })? {
        return Ok(());
    }
    let cue = part.next(pid).await?;
    if cue >= 208 {
        let tasks = part.world.unpublish(client).await;
        part.told(pid, tasks, |tasks| Event::Unpublished { tasks: *tasks })?;
        part.next(pid).await?;
    }
    let limit = 1 + usize::from(cue % 4);
    let read = ledger::unpublished(client, None, limit as i64).await;
    let read = part.told(pid, read, |read| Event::Read {
        pid,
        tasks: read.iter().map(|task| (task.id, task.attempt)).collect(),
        limit,
    })?;
    let confirmed = send(part, pid, &read).await?;
    part.next(pid).await?;
    // Confirm, then mark.
    let marks = ledger::mark_published(client, &confirmed).await;
    let tasks = confirmed.iter().map(|task| task.id).collect();
    part.told(pid, marks, |marks| Event::MarkedPublished { pid, tasks, marks: *marks })?;
    part.next(pid).await?;
    let unlocked = ledger::unlock(client, Lock::Relay).await;
    part.told(pid, unlocked, |()| Event::Unlocked { pid, lock })
}

/// Publishes each; gives those that are confirmed. Some are refused, and of some the confirm is lost.
async fn send<'a>(part: &mut Part, pid: Pid, read: &'a [Unpublished]) -> Result<Vec<&'a Unpublished>, Exit> {
    let mut confirmed = Vec::new();
    for task in read {
        let cue = part.next(pid).await?;
        let (is_taken, is_confirmed) = match cue {
            0..180 => (true, true),
            180..200 => (true, false),
            _ => (false, false),
        };
        if is_taken {
            part.world.queue.borrow_mut().publish(task.id);
        }
        if is_confirmed {
            confirmed.push(task);
        }
        part.say(&format!("publish {}: taken {is_taken}, confirmed {is_confirmed}", task.id));
    }
    Ok(confirmed)
}

async fn look(part: &mut Part, session: &Session, cue: u8) -> Result<(), Exit> {
    let (client, pid) = (&session.client, session.pid);
    let open = ledger::open_tasks(client).await;
    let open = part.told(pid, open, |open| Event::SawOpen {
        tasks: open
            .iter()
            .map(|task| (task.id, task.attempt, task.holder.map(|holder| holder.pid)))
            .collect(),
    })?;
    let processing: Vec<OpenTask> = open.into_iter().filter(|task| task.is_processing).collect();
    let Some(seen) = processing.get(usize::from(cue) % processing.len().max(1)) else { return Ok(()) };
    part.next(pid).await?;
    let (task, lock) = (seen.id, Locked::Task(seen.id));
    let got = ledger::try_lock(client, Lock::Task(seen.lease_key)).await;
    if !part.told(pid, got, |got| Event::TriedLock { pid, lock, got: *got })? {
        return Ok(());
    }
    part.next(pid).await?;
    let outcome =
        ledger::rescue(client, task, seen.attempt, ledger::Gone::Died, super::task::MAX_DEATHS).await;
    let attempt = seen.attempt;
    part.told(pid, outcome, |outcome| Event::Rescued { task, attempt, outcome: *outcome })?;
    part.next(pid).await?;
    let unlocked = ledger::unlock(client, Lock::Task(seen.lease_key)).await;
    part.told(pid, unlocked, |()| Event::Unlocked { pid, lock })
}
