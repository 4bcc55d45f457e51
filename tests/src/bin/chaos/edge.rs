//! The edges between two effects, and what can happen to a process there.

use std::fmt;

/// An edge of the code, by the name of its fail point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) name: &'static str,
    pub(crate) way: Way,
}

/// How a process is brought to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A scanner finds files.
    Scan,
    /// A scanner finds a dead worker's task.
    Rescue,
    /// A worker loads.
    Load,
    /// A worker's load fails.
    Failure,
}

/// What happens at an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Kill,
    Error,
    Pause,
}

/// A process acts at an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) edge: Edge,
    pub(crate) action: Action,
}

const fn edge(name: &'static str, way: Way) -> Edge {
    Edge { name, way }
}

/// All of them, in the order of the flow.
pub(crate) const ALL: [Edge; 20] = [
    edge("scanner::before_enlist", Way::Scan),
    edge("scanner::after_enlist", Way::Scan),
    edge("scanner::before_batch", Way::Scan),
    edge("scanner::after_batch", Way::Scan),
    edge("relay::before_publish", Way::Scan),
    edge("relay::after_publish", Way::Scan),
    edge("relay::after_confirm", Way::Scan),
    RELAY_AFTER_MARK,
    edge("rescue::before", Way::Rescue),
    edge("rescue::after", Way::Rescue),
    edge("worker::before_claim", Way::Load),
    edge("worker::after_claim", Way::Load),
    edge("worker::after_begin", Way::Load),
    WORKER_IN_COPY,
    edge("worker::before_commit", Way::Load),
    WORKER_AFTER_COMMIT,
    edge("worker::before_settle", Way::Failure),
    edge("worker::after_settle", Way::Failure),
    edge("worker::before_ack", Way::Load),
    edge("worker::after_ack", Way::Load),
];

pub(crate) const RELAY_AFTER_MARK: Edge = edge("relay::after_mark", Way::Scan);
pub(crate) const WORKER_IN_COPY: Edge = edge("worker::in_copy", Way::Load);
pub(crate) const WORKER_AFTER_COMMIT: Edge = edge("worker::after_commit", Way::Load);

impl Edge {
    /// Whether workers alone must go on after a process died here: nothing that they need is left to a scanner.
    pub(crate) fn leaves_work_to_workers(self) -> bool {
        self == RELAY_AFTER_MARK || matches!(self.way, Way::Load | Way::Failure)
    }
}

impl Action {
    pub(crate) const ALL: [Self; 3] = [Self::Kill, Self::Error, Self::Pause];

    /// As the fail points know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Error => "error",
            Self::Pause => "pause",
        }
    }
}

impl Case {
    /// For `FAILPOINTS`: once, for the process that comes first.
    pub(crate) fn fail_point(self) -> String {
        format!("{}=1*return({})", self.edge.name, self.action.name())
    }

    /// What the process prints before it acts.
    pub(crate) fn announcement(self) -> String {
        format!("fail point {}: {}", self.edge.name, self.action.name())
    }
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.edge.name, self.action.name())
    }
}
