//! How a player is led: for each cue it makes one call on the database or the broker, and reports it.

use std::{
    cell::Cell,
    ops::{Range, RangeInclusive},
    rc::Rc,
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::{
    event::{Event, Pid},
    world::World,
};

/// What a cue of this number does to a player, instead of letting it go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its process is killed.
    Kill,
    /// Its session is ended by the server.
    Terminate,
    /// Its session falls silent, and stays open.
    Silence,
    /// Its channel dies: what it has in hand is delivered again.
    Redeliver,
}

/// Cues that let a player go on; their number is its choice, where it has one.
pub(super) const FAULTLESS: Range<u8> = 0..224;
/// Cues that are a fault to a player inside a flow.
pub(super) const FAULTS: RangeInclusive<u8> = 224..=255;

impl Fault {
    pub(super) fn of(cue: u8) -> Option<Self> {
        match cue {
            0..=223 => None,
            224..=232 => Some(Self::Kill),
            233..=241 => Some(Self::Terminate),
            242..=246 => Some(Self::Silence),
            247..=255 => Some(Self::Redeliver),
        }
    }
}

/// Why a player left its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Killed,
    Silenced,
    /// A call failed: the session is gone.
    Disconnected,
}

pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) world: Rc<World>,
    pub(super) cues: UnboundedReceiver<u8>,
    pub(super) reports: UnboundedSender<Vec<Event>>,
    pub(super) is_idle: Rc<Cell<bool>>,
}

impl Part {
    /// The cue that begins a flow; `None` when the play is over.
    pub(super) async fn begin(&mut self) -> Option<u8> {
        self.is_idle.set(true);
        let cue = self.cues.recv().await;
        self.is_idle.set(false);
        cue
    }

    /// The cue for the next call of a flow, which is to be on the session `pid`. Faults that a player would not notice
    /// happen while it waits.
    pub(super) async fn next(&mut self, pid: Pid) -> Result<u8, Exit> {
        loop {
            let cue = self.cues.recv().await.ok_or(Exit::Killed)?;
            match Fault::of(cue) {
                None => return Ok(cue),
                Some(Fault::Kill) => return Err(Exit::Killed),
                Some(Fault::Silence) => {
                    self.say(&format!("session {pid} falls silent"));
                    return Err(Exit::Silenced);
                }
                Some(Fault::Terminate) => {
                    let ended = self.world.terminate(pid).await;
                    self.report([ended]);
                }
                Some(Fault::Redeliver) => {
                    self.world.queue.borrow_mut().requeue(self.name);
                    self.say("its channel dies");
                }
            }
        }
    }

    /// The cue for a call that no database is needed for: only death comes in between.
    pub(super) async fn next_but_death(&mut self) -> Result<(), Exit> {
        let cue = self.cues.recv().await.ok_or(Exit::Killed)?;
        if Fault::of(cue) == Some(Fault::Kill) { Err(Exit::Killed) } else { Ok(()) }
    }

    pub(super) fn report(&self, events: impl IntoIterator<Item = Event>) {
        // Nobody listens any more when a case has failed.
        let _ = self.reports.send(events.into_iter().collect());
    }

    pub(super) fn say(&self, what: &str) {
        self.report([Event::Said(what.to_owned())]);
    }

    /// Reports the call's answer, or that there was none.
    pub(super) fn told<T>(
        &self,
        pid: Pid,
        answer: Result<T, tokio_postgres::Error>,
        event: impl FnOnce(&T) -> Event,
    ) -> Result<T, Exit> {
        match answer {
            Ok(answer) => {
                self.report([event(&answer)]);
                Ok(answer)
            }
            Err(error) => {
                let error = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
                self.report([Event::Error { pid, error }]);
                Err(Exit::Disconnected)
            }
        }
    }
}
