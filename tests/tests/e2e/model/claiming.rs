//! A claim as the model sees it: the one call that is several statements, between which those of others may come.

use std::collections::BTreeMap;

use longshore_common::ledger::{Rescue, SUSPECT_DEATHS};
use uuid::Uuid;

use super::{
    event::{Event, Locked, Pid},
    task::{Status, Task},
};

/// A statement of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statement {
    Look,
    Lock,
    Rescue,
    Take,
}

/// A claim between its statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claiming {
    seen: Task,
    is_over: bool,
    has_lease: bool,
    deaths: i32,
    claimed: Option<(i32, Vec<i64>)>,
}

/// The event, or what it consists of; the answer comes last.
pub(super) fn statements(event: &Event) -> Vec<Event> {
    let mut events = Vec::new();
    if let Event::Claim { pid, task, is_alone, other_half, .. } = *event {
        let part = |statement| Event::ClaimPart { pid, task, is_alone, other_half, statement };
        events.extend([Statement::Look, Statement::Lock, Statement::Rescue, Statement::Take].map(part));
    }
    events.push(event.clone());
    events
}

impl Claiming {
    pub(super) fn look(task: &Task) -> Self {
        let is_over = match task.status {
            Status::Loaded | Status::Failed => true,
            Status::New => !task.is_due,
            Status::Processing => false,
        };
        Self { seen: task.clone(), is_over, has_lease: false, deaths: task.deaths, claimed: None }
    }

    /// Gives a task that was made.
    pub(super) fn go_on(
        &mut self,
        statement: Statement,
        (id, task): (Uuid, &mut Task),
        (pid, is_alone): (Pid, bool),
        locks: &mut BTreeMap<Locked, Pid>,
    ) -> Option<Task> {
        match statement {
            _ if self.is_over => {}
            Statement::Look => {}
            Statement::Lock => {
                self.has_lease = *locks.entry(Locked::Task(id)).or_insert(pid) == pid;
                self.is_over = !self.has_lease;
            }
            Statement::Rescue if self.seen.status == Status::Processing => {
                match task.rescue(self.seen.attempt) {
                    Rescue::New => self.deaths += 1,
                    Rescue::Poison => {}
                    Rescue::NotNeeded => self.is_over = true,
                }
            }
            Statement::Rescue => {}
            Statement::Take if self.deaths >= SUSPECT_DEATHS && !is_alone => {}
            Statement::Take => {
                if let Some((attempt, files, other)) = task.take() {
                    self.claimed = Some((attempt, files));
                    return other;
                }
            }
        }
        None
    }

    /// What the claim answers; without a claim, the lease is given back.
    pub(super) fn answer(self, task: Uuid, locks: &mut BTreeMap<Locked, Pid>) -> Option<(i32, Vec<i64>)> {
        if self.has_lease && self.claimed.is_none() {
            locks.remove(&Locked::Task(task));
        }
        self.claimed
    }
}
