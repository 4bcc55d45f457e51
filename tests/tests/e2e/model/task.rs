//! The model of one task: its states and transitions.

use longshore_common::ledger::{Rescue, SUSPECT_DEATHS};

use super::event::{Conclusion, Settlement};

/// So many dead workers make a task FAILED.
pub(super) const MAX_DEATHS: i32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    New,
    Processing,
    Loaded,
    Failed,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Processing => "PROCESSING",
            Self::Loaded => "LOADED",
            Self::Failed => "FAILED",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) status: Status,
    pub(super) attempt: i32,
    pub(super) deaths: i32,
    pub(super) is_due: bool,
    /// Which of its due times it is.
    pub(super) due_time: u32,
    pub(super) publications: i32,
    pub(super) is_published: bool,
    pub(super) failed_before: bool,
    pub(super) has_failure_msg: bool,
    /// One an attempt; empty while it runs.
    pub(super) outcomes: Vec<&'static str>,
    pub(super) files: Vec<i64>,
    /// The attempt whose rows are committed.
    pub(super) loaded_by: Option<i32>,
}

impl Task {
    pub(super) fn new(files: Vec<i64>) -> Self {
        Self {
            status: Status::New,
            attempt: 0,
            deaths: 0,
            is_due: true,
            due_time: 0,
            publications: 0,
            is_published: false,
            failed_before: false,
            has_failure_msg: false,
            outcomes: Vec::new(),
            files,
            loaded_by: None,
        }
    }

    /// A file's own task.
    pub(super) fn carved(file: i64) -> Self {
        Self { status: Status::Failed, failed_before: true, has_failure_msg: true, ..Self::new(vec![file]) }
    }

    pub(super) fn is_running(&self, attempt: i32) -> bool {
        self.status == Status::Processing && self.attempt == attempt
    }

    pub(super) fn is_to_publish(&self) -> bool {
        self.status == Status::New && self.is_due && !self.is_published
    }

    /// NEW and due → PROCESSING; gives the attempt and the files, and the task that got half of them.
    pub(super) fn take(&mut self) -> Option<(i32, Vec<i64>, Option<Self>)> {
        if self.status != Status::New || !self.is_due {
            return None;
        }
        self.status = Status::Processing;
        self.attempt += 1;
        self.outcomes.push("");
        let other = self.give_half_away();
        Some((self.attempt, self.files.clone(), other))
    }

    /// Half of the files go to another task, once two workers have died of them and nobody knows of which.
    pub(super) fn give_half_away(&mut self) -> Option<Self> {
        if self.deaths < SUSPECT_DEATHS || self.files.len() < 2 {
            return None;
        }
        self.deaths = self.deaths.min(MAX_DEATHS - 1).min(SUSPECT_DEATHS);
        let others = self.files.split_off(self.files.len().div_ceil(2));
        let (failed_before, has_failure_msg) = (self.failed_before, self.has_failure_msg);
        Some(Self { deaths: self.deaths, failed_before, has_failure_msg, ..Self::new(others) })
    }

    /// PROCESSING → LOADED or FAILED, at COMMIT.
    pub(super) fn conclude(&mut self, how: &Conclusion) {
        match how {
            Conclusion::Loaded { .. } => {
                self.end_attempt(Status::Loaded, "LOADED");
                self.has_failure_msg = false;
                self.loaded_by = Some(self.attempt);
            }
            Conclusion::Failed => self.fail(),
        }
    }

    /// PROCESSING → NEW or FAILED, if the attempt is the one that runs.
    pub(super) fn settle(&mut self, attempt: i32, how: Settlement) -> bool {
        let is_ours = self.is_running(attempt);
        match how {
            _ if !is_ours => {}
            Settlement::GiveBack => {
                self.end_attempt(Status::New, "STOPPED");
                self.renew(true);
            }
            Settlement::LastRetry if self.failed_before => self.fail(),
            Settlement::Retry | Settlement::LastRetry => {
                self.end_attempt(Status::New, "RETRY");
                self.renew(false);
                (self.failed_before, self.has_failure_msg) = (true, true);
            }
            Settlement::Fail => self.fail(),
        }
        is_ours
    }

    fn fail(&mut self) {
        self.end_attempt(Status::Failed, "FAILED");
        self.is_published = false;
        (self.failed_before, self.has_failure_msg) = (true, true);
    }

    /// PROCESSING → NEW or, after too many deaths, FAILED, if the attempt is the one that runs.
    pub(super) fn rescue(&mut self, attempt: i32) -> Rescue {
        if !self.is_running(attempt) {
            return Rescue::NotNeeded;
        }
        self.deaths += 1;
        let is_poison = self.deaths >= MAX_DEATHS && self.files.len() == 1;
        self.end_attempt(if is_poison { Status::Failed } else { Status::New }, "DIED");
        self.renew(true);
        self.has_failure_msg = true;
        if is_poison { Rescue::Poison } else { Rescue::New }
    }

    /// The attempt's worker lives: its death becomes a transient failure, and does not count.
    pub(super) fn take_death_back(&mut self, attempt: i32) -> bool {
        let Some(outcome) = self.outcomes.get_mut(attempt as usize - 1).filter(|outcome| **outcome == "DIED")
        else {
            return false;
        };
        *outcome = "RETRY";
        self.deaths = (self.deaths - 1).max(0);
        // What is loaded is not said to have failed.
        self.failed_before |= self.status != Status::Loaded;
        if self.status == Status::Failed && self.attempt == attempt {
            self.status = Status::New;
            self.renew(true);
        }
        true
    }

    /// NEW, and its message came while somebody held the lease.
    pub(super) fn publish_again_later(&mut self, attempt: i32) {
        if self.status == Status::New && self.attempt == attempt && self.is_due {
            self.renew(false);
        }
    }

    /// FAILED → NEW.
    pub(super) fn retry(&mut self) -> bool {
        let is_failed = self.status == Status::Failed;
        if is_failed {
            self.status = Status::New;
            self.renew(true);
            (self.failed_before, self.deaths) = (false, 0);
        }
        is_failed
    }

    /// Only what is NEW with the attempt and the due time that the relay read.
    pub(super) fn mark_published(&mut self, read: (i32, u32)) -> bool {
        let is_the_same = (self.attempt, self.due_time) == read;
        let is_marked = self.status == Status::New && !self.is_published && is_the_same;
        self.is_published |= is_marked;
        self.publications += i32::from(is_marked);
        is_marked
    }

    /// Its message counts as lost.
    pub(super) fn unpublish(&mut self) -> bool {
        let is_lost = self.status == Status::New && self.is_published;
        self.is_published &= !is_lost;
        is_lost
    }

    pub(super) fn set_due(&mut self, is_due: bool) {
        self.is_due = is_due;
        self.due_time += 1;
    }

    /// To be published, at once or later.
    fn renew(&mut self, is_due: bool) {
        self.is_published = false;
        self.set_due(is_due);
    }

    fn end_attempt(&mut self, status: Status, outcome: &'static str) {
        self.status = status;
        if let Some(last) = self.outcomes.last_mut() {
            *last = outcome;
        }
    }
}
