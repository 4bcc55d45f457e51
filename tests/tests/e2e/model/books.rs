//! The model: what the ledger should hold after each step. Pure.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{
    claiming::Claiming,
    event::{Conclusion, Event, Locked, Pid},
    seen::{Seen, SeenFile},
    task::{Status, Task},
};

pub(super) const ROWS_OF_A_FILE: i64 = 2;

/// What a load's transaction would change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    task: Uuid,
    how: Conclusion,
}

/// The ledger, the locks and the open transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Books {
    tasks: BTreeMap<Uuid, Task>,
    locks: BTreeMap<Locked, Pid>,
    pending: BTreeMap<Pid, Pending>,
    /// Calls that have not answered yet.
    claims: BTreeMap<Pid, Claiming>,
    ended: BTreeSet<Pid>,
    /// What each relay has read last: of each task, which of its due times with which attempt.
    read: BTreeMap<(Pid, Uuid), (i32, u32)>,
}

impl Books {
    pub(super) fn new(tasks: impl IntoIterator<Item = (Uuid, Vec<i64>)>) -> Self {
        let tasks = tasks.into_iter().map(|(id, files)| (id, Task::new(files))).collect();
        Self { tasks, ..Self::default() }
    }

    /// What the tables should say.
    pub(super) fn expected(&self) -> BTreeMap<Uuid, Seen> {
        self.tasks.iter().map(|(id, task)| (*id, self.expected_task(*id, task))).collect()
    }

    fn expected_task(&self, id: Uuid, task: &Task) -> Seen {
        let rows = if task.loaded_by.is_some() { ROWS_OF_A_FILE } else { 0 };
        let load = task.loaded_by.map(|attempt| (attempt, ROWS_OF_A_FILE));
        Seen {
            id,
            status: task.status.as_str().to_owned(),
            attempt: task.attempt,
            deaths: task.deaths,
            is_due: task.status == Status::New && task.is_due,
            is_published: task.is_published,
            publications: task.publications,
            failed_before: task.failed_before,
            has_failure_msg: task.has_failure_msg,
            holders: self.locks.get(&Locked::Task(id)).copied().into_iter().collect(),
            outcomes: task.outcomes.iter().map(|outcome| (*outcome).to_owned()).collect(),
            files: task.files.iter().map(|&id| SeenFile { id, rows, lines: rows, load }).collect(),
        }
    }

    /// The states that explain the events, which happened in this order; without any, why not.
    pub(super) fn after(&self, events: &[Event]) -> Result<Vec<Self>, String> {
        let Some((event, others)) = events.split_first() else { return Ok(vec![self.clone()]) };
        let mut next = self.clone();
        if let Event::CommitUnknown { pid } = event {
            let mut committed = self.clone();
            committed.commit(*pid);
            return match (committed.after(others), next.after(others)) {
                (Ok(states), Ok(more)) => Ok([states, more].concat()),
                (Ok(states), Err(_)) | (Err(_), Ok(states)) => Ok(states),
                (Err(objection), Err(_)) => Err(objection),
            };
        }
        next.apply(event)?;
        next.after(others)
    }

    fn apply(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::ClaimPart { pid, task, is_alone, other_half, statement } => {
                let row = self.tasks.get_mut(task).ok_or("a claim of no task")?;
                let claiming = self.claims.entry(*pid).or_insert_with(|| Claiming::look(row));
                let other = claiming.go_on(*statement, (*task, row), (*pid, *is_alone), &mut self.locks);
                self.tasks.extend(other.map(|other| (*other_half, other)));
            }
            Event::Claim { pid, task, claimed, .. } => {
                let claiming = self.claims.remove(pid).ok_or("a claim without its statements")?;
                agree("claim", &claiming.answer(*task, &mut self.locks), claimed)?;
            }
            Event::Concluded { pid, task, attempt, how, changed } => {
                let is_ours = self.task(*task)?.is_running(*attempt);
                if is_ours {
                    self.pending.insert(*pid, Pending { task: *task, how: how.clone() });
                }
                agree("conclude", &is_ours, changed)?;
            }
            Event::Committed { pid } => self.commit(*pid),
            Event::RolledBack { pid } => {
                self.pending.remove(pid);
            }
            Event::Settled { task, attempt, how, changed } => {
                agree("settle", &self.task(*task)?.settle(*attempt, *how), changed)?;
            }
            Event::TookDeathBack { task, attempt, was_dead } => {
                agree("take_death_back", &self.task(*task)?.take_death_back(*attempt), was_dead)?;
            }
            Event::PublishAgainLater { task, attempt } => self.task(*task)?.publish_again_later(*attempt),
            Event::IsRunning { task, attempt, answer } | Event::Heartbeat { task, attempt, answer } => {
                agree("is it running", &self.task(*task)?.is_running(*attempt), answer)?;
            }
            Event::TriedLock { pid, lock, got } => {
                let is_free = !self.locks.contains_key(lock);
                if is_free {
                    self.locks.insert(*lock, *pid);
                }
                agree("try_lock", &is_free, got)?;
            }
            Event::Unlocked { pid, lock } => {
                agree("unlock", &self.locks.remove(lock), &Some(*pid))?;
            }
            Event::EndedHolder { task, holder } => {
                if self.locks.get(&Locked::Task(*task)) == Some(holder) {
                    self.end(*holder);
                }
            }
            Event::Rescued { task, attempt, outcome } => {
                agree("rescue", &self.task(*task)?.rescue(*attempt), outcome)?;
            }
            Event::SawOpen { tasks } => {
                let mut seen = tasks.clone();
                seen.sort_unstable();
                agree("open_tasks", &self.open_tasks(), &seen)?;
            }
            Event::Read { pid, tasks, limit } => self.read(*pid, tasks, *limit)?,
            Event::MarkedPublished { pid, tasks, marks } => {
                let mut expected = 0;
                for task in tasks {
                    let Some(read) = self.read.get(&(*pid, *task)) else {
                        return Err("marked unread".into());
                    };
                    expected +=
                        u64::from(self.tasks.get_mut(task).is_some_and(|task| task.mark_published(*read)));
                }
                agree("mark_published", &expected, marks)?;
            }
            Event::Retried { task, retried } => agree("retry", &self.task(*task)?.retry(), retried)?,
            Event::Unpublished { tasks } => {
                let unpublished =
                    self.tasks.values_mut().map(Task::unpublish).filter(|changed| *changed).count();
                agree("unpublish", &(unpublished as u64), tasks)?;
            }
            Event::Due { task } => self.task(*task)?.set_due(true),
            Event::Ended { pid } => self.end(*pid),
            Event::Error { pid, error } => {
                if !self.ended.contains(pid) {
                    return Err(format!("a call failed though its session is well: {error}"));
                }
            }
            Event::CommitUnknown { .. } | Event::Said(_) => {}
        }
        Ok(())
    }

    fn task(&mut self, id: Uuid) -> Result<&mut Task, String> {
        self.tasks.get_mut(&id).ok_or_else(|| format!("there should be no task {id}"))
    }

    fn open_tasks(&self) -> Vec<(Uuid, i32, Option<Pid>)> {
        let seen =
            self.tasks.iter().map(|(id, task)| (id, task, self.locks.get(&Locked::Task(*id)).copied()));
        let is_open = |task: &Task, holder: Option<Pid>| match task.status {
            Status::Processing => true,
            Status::New => holder.is_some(),
            Status::Loaded | Status::Failed => false,
        };
        seen.filter(|(_, task, holder)| is_open(task, *holder))
            .map(|(id, task, holder)| (*id, task.attempt, holder))
            .collect()
    }

    fn read(&mut self, pid: Pid, tasks: &[(Uuid, i32)], limit: usize) -> Result<(), String> {
        let to_publish = self.tasks.iter().filter(|(_, task)| task.is_to_publish());
        let expected: Vec<(Uuid, i32)> = to_publish.map(|(id, task)| (*id, task.attempt)).collect();
        if tasks.len() != expected.len().min(limit) || !tasks.iter().all(|task| expected.contains(task)) {
            return Err(format!("unpublished, at most {limit}: expected {expected:?}, got {tasks:?}"));
        }
        for (id, attempt) in tasks {
            let due_time = self.task(*id)?.due_time;
            self.read.insert((pid, *id), (*attempt, due_time));
        }
        Ok(())
    }

    fn commit(&mut self, pid: Pid) {
        let Some(Pending { task: id, how }) = self.pending.remove(&pid) else { return };
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.conclude(&how);
        if let Conclusion::Loaded { carved: Some(carved) } = how {
            task.files.retain(|file| *file != carved.file);
            self.tasks.insert(carved.task, Task::carved(carved.file));
        }
    }

    fn end(&mut self, pid: Pid) {
        self.pending.remove(&pid);
        self.locks.retain(|_, holder| *holder != pid);
        self.ended.insert(pid);
    }
}

fn agree<T: PartialEq + std::fmt::Debug>(call: &str, expected: &T, got: &T) -> Result<(), String> {
    if expected == got { Ok(()) } else { Err(format!("{call}: expected {expected:?}, got {got:?}")) }
}
