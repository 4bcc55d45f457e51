//! What is wrong with the datasets' stores, said once and not with every scan. The records say it each time.

use std::collections::{HashMap, HashSet};

use longshore_common::ledger::ScanKind;
use tracing::{error, info, warn};

use crate::running::Job;

/// What was said.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    failing: HashMap<(i32, ScanKind), String>,
    unreadable: HashMap<i32, HashSet<String>>,
    short: HashSet<(i32, ScanKind)>,
}

impl Complaints {
    /// A scan failed: said when that begins and when the reason changes.
    pub(crate) fn failed(&mut self, job: &Job, reason: &str) {
        // Without numbers, because many a reason says how long something took.
        let essence: String = reason.chars().filter(|character| !character.is_ascii_digit()).collect();
        if self.failing.insert(job.key(), essence.clone()) != Some(essence) {
            let kind = job.kind.noun();
            error!(dataset = %job.dataset, "the {kind} failed and is tried again until it works: {reason}");
        }
    }

    /// A scan worked; these could not be read.
    pub(crate) fn worked(&mut self, job: &Job, unreadable: Vec<String>) {
        if self.failing.remove(&job.key()).is_some() {
            info!(dataset = %job.dataset, "the {} works again", job.kind.noun());
        }
        let said = self.unreadable.entry(job.dataset_id).or_default();
        if job.kind == ScanKind::Audit {
            // It sees everything: what it does not name can be read again.
            said.retain(|uri| unreadable.contains(uri));
        }
        for uri in unreadable {
            if said.insert(uri.clone()) {
                warn!(dataset = %job.dataset, %uri, "cannot be read; the files there are left out");
            }
        }
    }

    /// A scan that worked listed much less than one before, or as much as is usual.
    pub(crate) fn listed(&mut self, job: &Job, listed: u64, listed_before: Option<i64>) {
        match listed_before {
            Some(before) if self.short.insert(job.key()) => {
                let kind = job.kind.noun();
                warn!(
                    dataset = %job.dataset, listed, before,
                    "the {kind} listed much less than one before: is the source mounted here, and are its files still there?"
                );
            }
            Some(_) => {}
            None => drop(self.short.remove(&job.key())),
        }
    }

    /// Whether the dataset's last scan or audit failed.
    pub(crate) fn is_failing(&self, dataset_id: i32) -> bool {
        [ScanKind::Scan, ScanKind::Audit].iter().any(|kind| self.failing.contains_key(&(dataset_id, *kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_fails_until_both_its_scan_and_its_audit_work() {
        let job = |kind| Job::new(1, "orders", kind);
        let mut complaints = Complaints::default();
        complaints.failed(&job(ScanKind::Audit), "no answer");
        complaints.failed(&job(ScanKind::Scan), "no answer");
        complaints.worked(&job(ScanKind::Scan), Vec::new());
        assert!(complaints.is_failing(1) && !complaints.is_failing(2));
        complaints.worked(&job(ScanKind::Audit), Vec::new());
        assert!(!complaints.is_failing(1));
    }

    #[test]
    fn what_cannot_be_read_is_forgotten_only_when_an_audit_could_read_it() {
        let mut complaints = Complaints::default();
        let closed = || vec!["file:///in/closed".to_owned()];
        let worked = [
            (ScanKind::Scan, closed(), 1),
            (ScanKind::Scan, vec![], 1),
            (ScanKind::Audit, closed(), 1),
            (ScanKind::Audit, vec![], 0),
        ];
        for (kind, unreadable, said) in worked {
            complaints.worked(&Job::new(1, "orders", kind), unreadable);
            assert_eq!(complaints.unreadable[&1].len(), said);
        }
    }
}
