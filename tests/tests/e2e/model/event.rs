//! What a player reports after a step: the call and its answer.

use longshore_common::ledger::Rescue;
use uuid::Uuid;

use super::claiming::Statement;

/// A server session, by the pid of its backend.
pub(super) type Pid = i32;

/// What a session can lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Locked {
    Task(Uuid),
    Relay,
}

/// How a worker settles an attempt that did not load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settlement {
    /// A transient failure within the time for retries.
    Retry,
    /// A transient failure after which no time for retries is left.
    LastRetry,
    GiveBack,
    Fail,
}

/// How a load ends, in its own transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Conclusion {
    Loaded {
        /// A file that got a FAILED task of its own.
        carved: Option<Carved>,
    },
    /// No file was left to load.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carved {
    pub(super) file: i64,
    pub(super) task: Uuid,
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    /// `claimed` holds the attempt and the files; without it, there was nothing to claim.
    Claim {
        pid: Pid,
        task: Uuid,
        is_alone: bool,
        other_half: Uuid,
        claimed: Option<(i32, Vec<i64>)>,
    },
    /// One statement of a claim.
    ClaimPart {
        pid: Pid,
        task: Uuid,
        is_alone: bool,
        other_half: Uuid,
        statement: Statement,
    },
    /// The last statement before COMMIT.
    Concluded {
        pid: Pid,
        task: Uuid,
        attempt: i32,
        how: Conclusion,
        changed: bool,
    },
    Committed {
        pid: Pid,
    },
    RolledBack {
        pid: Pid,
    },
    /// COMMIT and the end of its session met: it happened, or not.
    CommitUnknown {
        pid: Pid,
    },
    Settled {
        task: Uuid,
        attempt: i32,
        how: Settlement,
        changed: bool,
    },
    TookDeathBack {
        task: Uuid,
        attempt: i32,
        was_dead: bool,
    },
    PublishAgainLater {
        task: Uuid,
        attempt: i32,
    },
    IsRunning {
        task: Uuid,
        attempt: i32,
        answer: bool,
    },
    Heartbeat {
        task: Uuid,
        attempt: i32,
        answer: bool,
    },
    TriedLock {
        pid: Pid,
        lock: Locked,
        got: bool,
    },
    Unlocked {
        pid: Pid,
        lock: Locked,
    },
    /// The session `holder` was ended if it held the task's lease.
    EndedHolder {
        task: Uuid,
        holder: Pid,
    },
    Rescued {
        task: Uuid,
        attempt: i32,
        outcome: Rescue,
    },
    /// Task, attempt and who holds the lease, of each that is PROCESSING, and of each that is NEW and held.
    SawOpen {
        tasks: Vec<(Uuid, i32, Option<Pid>)>,
    },
    Read {
        pid: Pid,
        tasks: Vec<(Uuid, i32)>,
        limit: usize,
    },
    MarkedPublished {
        pid: Pid,
        tasks: Vec<Uuid>,
        marks: u64,
    },
    Retried {
        task: Uuid,
        retried: bool,
    },
    /// All that is NEW and published is to be published again.
    Unpublished {
        tasks: u64,
    },
    /// Time passed.
    Due {
        task: Uuid,
    },
    /// The session is gone, with its locks and its open transaction.
    Ended {
        pid: Pid,
    },
    /// A call failed, which only one on an ended session may.
    Error {
        pid: Pid,
        error: String,
    },
    /// Nothing that the tables could show.
    Said(String),
}

impl Event {
    /// For the list of steps.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Said(what) => what.clone(),
            event => format!("{event:?}"),
        }
    }

    /// Whether it can neither change the tables nor be wrong.
    pub(super) fn is_invisible(&self) -> bool {
        matches!(self, Self::Said(_))
    }
}
