//! A worker: one message from its receipt to its answer, in the order of calls of the real one.

use longshore_common::ledger::{self, Claim, ClaimOutcome, Claimant, Held, Lock};
use uuid::Uuid;

use super::{
    event::{Event, Locked, Settlement},
    load::{self, Ended},
    part::{Exit, Part},
    settling,
    task::MAX_DEATHS,
    world::Session,
};

/// How the message is answered.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Ack,
    Requeue,
}

/// What follows a claim.
enum Next {
    Load(Box<Claim>),
    PublishAgainLater(i32),
    Answer(Answer),
}

pub(super) struct Worker {
    pub(super) part: Part,
    /// The session that loads.
    load: Option<Session>,
    /// The session for everything else.
    pub(super) books: Option<Session>,
}

impl Worker {
    pub(super) fn new(part: Part) -> Self {
        Self { part, load: None, books: None }
    }

    pub(super) async fn play(mut self) {
        while let Some(cue) = self.part.begin().await {
            let message = self.part.world.queue.borrow_mut().deliver(self.part.name, cue);
            let Some(task) = message else {
                self.part.say("no message");
                continue;
            };
            let session = match self.load.take() {
                Some(session) => session,
                None => self.part.world.connect().await,
            };
            let mut session = Some(session);
            match self.deal_with(&mut session, task, cue).await {
                Ok(()) => self.load = session,
                Err(_) => self.die(session).await,
            }
        }
    }

    /// Any error means that the worker is killed.
    async fn deal_with(&mut self, session: &mut Option<Session>, task: Uuid, cue: u8) -> Result<(), Exit> {
        let answer = self.work(session, task, cue).await?;
        self.part.next_but_death().await?;
        let mut queue = self.part.world.queue.borrow_mut();
        match answer {
            Answer::Ack => queue.ack(self.part.name),
            Answer::Requeue => queue.requeue(self.part.name),
        }
        self.part.say(&format!("{answer:?}"));
        Ok(())
    }

    async fn die(&mut self, session: Option<Session>) {
        let mut events = Vec::new();
        for session in session.into_iter().chain(self.books.take()) {
            events.push(self.part.world.kill(session).await);
        }
        self.part.world.queue.borrow_mut().requeue(self.part.name);
        self.part.report(events);
    }

    /// The session is gone from its place if it is lost.
    async fn work(&mut self, place: &mut Option<Session>, task: Uuid, cue: u8) -> Result<Answer, Exit> {
        let Some(mut session) = place.take() else { return Ok(Answer::Requeue) };
        let next = match self.claim(&mut session, task, cue).await {
            Ok(next) => next,
            Err(_) => return Ok(Answer::Requeue),
        };
        let claim = match next {
            Next::Load(claim) => claim,
            Next::Answer(answer) => {
                *place = Some(session);
                return Ok(answer);
            }
            Next::PublishAgainLater(attempt) => {
                let done = self.publish_again_later(&session, task, attempt).await;
                let is_done = done.is_ok();
                self.keep(done, place, session)?;
                return Ok(if is_done { Answer::Ack } else { Answer::Requeue });
            }
        };
        match load::load(self, &mut session, &claim).await {
            Ok(()) => {
                let done = self.unlock(&session, &claim).await;
                self.keep(done, place, session).map(|()| Answer::Ack)
            }
            Err(Ended::Failed(how)) => self.settle(place, session, &claim, how).await,
            Err(Ended::Early(exit)) => {
                self.keep(Err(exit), place, session)?;
                settling::settle_elsewhere(self, &claim, Settlement::Retry).await?;
                Ok(Answer::Ack)
            }
        }
    }

    async fn settle(
        &mut self,
        place: &mut Option<Session>,
        session: Session,
        claim: &Claim,
        how: Settlement,
    ) -> Result<Answer, Exit> {
        match settling::settle(self, &session, claim, how).await {
            Ok(()) => {
                let done = self.unlock(&session, claim).await;
                self.keep(done, place, session).map(|()| Answer::Ack)
            }
            Err(exit) => {
                self.keep(Err(exit), place, session)?;
                settling::settle_elsewhere(self, claim, how).await?;
                Ok(Answer::Ack)
            }
        }
    }

    /// Puts a session back that is of use, or that is to die with its worker.
    fn keep(
        &self,
        done: Result<(), Exit>,
        place: &mut Option<Session>,
        session: Session,
    ) -> Result<(), Exit> {
        match done {
            Ok(()) => *place = Some(session),
            Err(Exit::Killed) => {
                *place = Some(session);
                return Err(Exit::Killed);
            }
            Err(Exit::Silenced) => self.part.world.abandon(session),
            Err(Exit::Disconnected) => drop(session),
        }
        Ok(())
    }

    async fn claim(&mut self, session: &mut Session, task: Uuid, cue: u8) -> Result<Next, Exit> {
        let is_alone = cue % 4 != 3;
        let other_half = Uuid::now_v7();
        let claimant = Claimant { worker: self.part.name, max_deaths: MAX_DEATHS, is_alone, other_half };
        let outcome = ledger::claim(&mut session.client, task, claimant).await;
        let pid = session.pid;
        let outcome = self.part.told(pid, outcome, |outcome| {
            let claimed = match outcome {
                ClaimOutcome::Claimed(claim) => {
                    Some((claim.attempt, claim.files.iter().map(|file| file.id).collect()))
                }
                _ => None,
            };
            Event::Claim { pid, task, is_alone, other_half, claimed }
        })?;
        Ok(match outcome {
            ClaimOutcome::Claimed(claim) => Next::Load(claim),
            ClaimOutcome::Held(Held::New(attempt)) => Next::PublishAgainLater(attempt),
            ClaimOutcome::MustBeAlone => Next::Answer(Answer::Requeue),
            ClaimOutcome::Held(Held::Processing) | ClaimOutcome::NothingToDo(_) | ClaimOutcome::Unknown => {
                Next::Answer(Answer::Ack)
            }
        })
    }

    async fn publish_again_later(&mut self, session: &Session, task: Uuid, attempt: i32) -> Result<(), Exit> {
        self.part.next(session.pid).await?;
        let done = ledger::publish_again_later(&session.client, task, attempt).await;
        self.part.world.stop_clock(task).await;
        self.part.told(session.pid, done, |()| Event::PublishAgainLater { task, attempt })
    }

    pub(super) async fn unlock(&mut self, session: &Session, claim: &Claim) -> Result<(), Exit> {
        self.part.next(session.pid).await?;
        let unlocked = ledger::unlock(&session.client, Lock::Task(claim.lease_key)).await;
        let (pid, lock) = (session.pid, Locked::Task(claim.task_id));
        self.part.told(pid, unlocked, |()| Event::Unlocked { pid, lock })
    }

    pub(super) async fn books(&mut self) -> &Session {
        if self.books.is_none() {
            self.books = Some(self.part.world.connect().await);
        }
        self.books.as_ref().expect("it was opened")
    }
}
