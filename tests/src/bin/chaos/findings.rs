//! What rounds have found.

use std::collections::BTreeMap;

use crate::{service::Kind, work::State};

/// Added up over all rounds.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What must never be, a sentence each.
    pub(crate) violations: Vec<String>,
    /// What sabotages did, and was found.
    pub(crate) caught: Vec<String>,
    pub(crate) rows_checked: u64,
    pub(crate) rows_lost: u64,
    pub(crate) rows_twice: u64,
    /// `kill -9` that landed on unfinished work.
    pub(crate) kills: BTreeMap<(Kind, State), u32>,
    /// What was done at each edge, and how often.
    pub(crate) edges: BTreeMap<&'static str, Vec<&'static str>>,
    /// Other faults, by what they were.
    pub(crate) faults: BTreeMap<&'static str, u32>,
    pub(crate) broker_restarts: u32,
    pub(crate) database_restarts: u32,
    /// Changes of the folder that was scanned meanwhile.
    pub(crate) discovery_files: u32,
    pub(crate) discovery_scans: u32,
    pub(crate) discovery_kills: u32,
    /// Seconds.
    pub(crate) worker_takeovers: Vec<f64>,
    pub(crate) scanner_takeovers: Vec<f64>,
    pub(crate) broker_recoveries: Vec<f64>,
}

impl Findings {
    /// A part that broke off has found that something does not go on as it should; the others run all the same.
    pub(crate) fn of(found: anyhow::Result<Self>, what: &str) -> Self {
        found.unwrap_or_else(|error| {
            let violation = format!("{what} did not come to its end: {error:#}");
            Self { violations: vec![violation], ..Self::default() }
        })
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.violations.extend(other.violations);
        self.caught.extend(other.caught);
        self.rows_checked += other.rows_checked;
        self.rows_lost += other.rows_lost;
        self.rows_twice += other.rows_twice;
        for (key, count) in other.kills {
            *self.kills.entry(key).or_default() += count;
        }
        for (edge, actions) in other.edges {
            self.edges.entry(edge).or_default().extend(actions);
        }
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self.broker_restarts += other.broker_restarts;
        self.database_restarts += other.database_restarts;
        self.discovery_files += other.discovery_files;
        self.discovery_scans += other.discovery_scans;
        self.discovery_kills += other.discovery_kills;
        self.worker_takeovers.extend(other.worker_takeovers);
        self.scanner_takeovers.extend(other.scanner_takeovers);
        self.broker_recoveries.extend(other.broker_recoveries);
    }

    pub(crate) fn fault(&mut self, what: &'static str) {
        *self.faults.entry(what).or_default() += 1;
    }

    pub(crate) fn kills(&self) -> u32 {
        self.kills.values().sum()
    }
}
