//! What the watermark does not wait for any longer: each such name is looked at by every scan instead.

use std::collections::{BTreeMap, BTreeSet};

use longshore_common::{
    ledger::{self, StoredDataset},
    store::Store,
};
use tokio_postgres::Client;

use crate::answer::answered;

/// Names that are remembered of a dataset; for more the watermark waits.
const MAX_NAMES: usize = 1000;

/// The names that a scan knows of, and those that it meets.
#[derive(Debug, Default)]
pub(crate) struct Postponed {
    /// Name to whether the watermark has passed it.
    before: BTreeMap<String, bool>,
    met: BTreeSet<String>,
    is_full: bool,
}

impl Postponed {
    /// What earlier scans have left. Names outside of the source are forgotten: it was another one then.
    pub(crate) async fn of(client: &Client, dataset: &StoredDataset) -> anyhow::Result<Self> {
        let names = answered(ledger::postponed_names(client, dataset.id)).await?;
        let before = names.into_iter().map(|name| (name.uri, name.is_passed)).collect();
        Ok(Self { before, ..Self::default() })
    }

    /// Those that a scan of these folders would not come to; none where it lists everything.
    pub(crate) fn out_of_reach(&self, store: &Store, folders: &[String]) -> Vec<String> {
        let listed: Vec<String> = folders.iter().map(|folder| store.folder_uri(folder)).collect();
        let is_listed =
            |uri: &&String| listed.is_empty() || listed.iter().any(|folder| uri.starts_with(folder));
        let names = self.before.keys().filter(|uri| store.covers(uri) && !is_listed(uri));
        names.cloned().collect()
    }

    /// Whether this is one of the names, or lies in a folder that is one, so that it is compared however old it is.
    pub(crate) fn covers(&self, uri: &str) -> bool {
        let is_known = |end: usize| self.before.contains_key(&uri[..end]);
        !self.before.is_empty()
            && (is_known(uri.len()) || uri.rmatch_indices('/').any(|(end, _)| is_known(end)))
    }

    /// A scan could not look at this name, or has left it for later. Whether the watermark may pass it.
    pub(crate) fn note(&mut self, uri: &str) -> bool {
        let is_passed = self.before.get(uri).copied();
        if is_passed.is_none() && self.before.len() + self.met.len() >= MAX_NAMES {
            self.is_full = true;
            return false;
        }
        self.met.insert(uri.to_owned());
        is_passed.unwrap_or(false)
    }

    /// How many names the watermark has passed.
    pub(crate) fn passed(&self) -> u64 {
        self.met.iter().filter(|uri| self.before.get(*uri) == Some(&true)).count() as u64
    }

    /// After a scan that saw everything. To be committed before the watermark moves: a crash in between leaves a name too many,
    /// the other way round a name would be behind the watermark that no scan knows.
    pub(crate) async fn record(&self, client: &Client, dataset_id: i32) -> anyhow::Result<()> {
        let met: Vec<&str> =
            self.met.iter().filter(|uri| !self.before.contains_key(*uri)).map(String::as_str).collect();
        let is_over = |uri: &&String| !self.is_full && !self.met.contains(*uri);
        // What lies in a folder of that name may be among what found no place.
        let looked_at: Vec<&str> = self.before.keys().filter(is_over).map(String::as_str).collect();
        if !met.is_empty() || !looked_at.is_empty() {
            answered(ledger::record_postponed(client, dataset_id, &met, &looked_at)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postponed(names: &[(&str, bool)]) -> Postponed {
        let before = names.iter().map(|(name, is_passed)| ((*name).to_owned(), *is_passed)).collect();
        Postponed { before, ..Postponed::default() }
    }

    #[test]
    fn a_name_covers_itself_and_what_lies_in_it() {
        let postponed = postponed(&[("file:///in/closed", true), ("file:///in/a.csv", false)]);
        for uri in ["file:///in/closed", "file:///in/closed/deep/b.csv", "file:///in/a.csv"] {
            assert!(postponed.covers(uri), "{uri}");
        }
        for uri in ["file:///in/closed2/b.csv", "file:///in/b.csv", "file:///in", "file:///in/a.csv2"] {
            assert!(!postponed.covers(uri), "{uri}");
        }
        assert!(!Postponed::default().covers("file:///in/a.csv"));
    }

    #[test]
    fn the_watermark_passes_what_it_has_waited_for_and_nothing_else() {
        let mut postponed = postponed(&[("old", true), ("young", false)]);
        assert!(postponed.note("old"));
        assert!(!postponed.note("young"));
        assert!(!postponed.note("new"));
        assert_eq!(postponed.passed(), 1);
    }

    #[test]
    fn what_finds_no_place_holds_the_watermark() {
        let mut postponed = postponed(&[("old", true)]);
        for number in 1..MAX_NAMES {
            postponed.note(&number.to_string());
        }
        assert!(!postponed.is_full);
        assert!(!postponed.note("one more") && postponed.is_full);
        assert!(postponed.note("old"));
        assert_eq!(postponed.met.len(), MAX_NAMES);
    }
}
