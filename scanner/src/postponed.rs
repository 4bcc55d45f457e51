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
    /// Of those of earlier scans.
    met: BTreeSet<String>,
    new: BTreeSet<String>,
    /// Those of earlier scans in which something lies that finds no place.
    kept: BTreeSet<String>,
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
        let is_listed = |uri: &&String| {
            listed.is_empty() || listed.iter().any(|folder| format!("{uri}/").starts_with(folder))
        };
        let names = self.before.keys().filter(|uri| store.covers(uri) && !is_listed(uri));
        names.cloned().collect()
    }

    /// Whether this is one of the names, or lies in a folder that is one, so that it is compared however old it is.
    pub(crate) fn covers(&self, uri: &str) -> bool {
        self.above(uri).next().is_some()
    }

    /// Those of the names of earlier scans that are this one, or a folder in which it lies.
    fn above<'a>(&'a self, uri: &'a str) -> impl Iterator<Item = &'a str> {
        let ends = std::iter::once(uri.len()).chain(uri.rmatch_indices('/').map(|(end, _)| end));
        let is_any = !self.before.is_empty();
        ends.take_while(move |_| is_any).map(|end| &uri[..end]).filter(|name| self.before.contains_key(*name))
    }

    /// A scan could not look at this name, or has left it for later. Whether the watermark may pass it.
    pub(crate) fn note(&mut self, uri: &str) -> bool {
        if let Some(is_passed) = self.before.get(uri).copied() {
            self.met.insert(uri.to_owned());
            return is_passed;
        }
        if self.new.len() < MAX_NAMES {
            self.new.insert(uri.to_owned());
        } else if !self.new.contains(uri) {
            let above: Vec<String> = self.above(uri).map(str::to_owned).collect();
            self.kept.extend(above);
        }
        false
    }

    /// The new names that find a place beside those that are met again, and the names of earlier scans that are over. What finds no
    /// place may lie in a folder that is one of the names, which stays then.
    fn changes(&self) -> (Vec<&str>, Vec<&str>) {
        let mut kept: BTreeSet<&str> = self.met.union(&self.kept).map(String::as_str).collect();
        let mut added = Vec::new();
        for uri in &self.new {
            if kept.len() + added.len() < MAX_NAMES {
                added.push(uri.as_str());
            } else {
                kept.extend(self.above(uri));
            }
        }
        let over = self.before.keys().map(String::as_str).filter(|uri| !kept.contains(uri)).collect();
        (added, over)
    }

    /// How many names the watermark has passed.
    pub(crate) fn passed(&self) -> u64 {
        self.met.iter().filter(|uri| self.before.get(*uri) == Some(&true)).count() as u64
    }

    /// After a scan that saw everything. To be committed before the watermark moves: a crash in between leaves a name too many,
    /// the other way round a name would be behind the watermark that no scan knows.
    pub(crate) async fn record(&self, client: &Client, dataset_id: i32) -> anyhow::Result<()> {
        let (added, over) = self.changes();
        if !added.is_empty() || !over.is_empty() {
            answered(ledger::record_postponed(client, dataset_id, &added, &over)).await?;
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
    fn a_thousand_names_are_remembered_and_those_that_are_met_again_count_once() {
        let numbered: Vec<String> = (0..MAX_NAMES / 2).map(|number| format!("old{number}")).collect();
        let names: Vec<(&str, bool)> = numbered.iter().map(|name| (name.as_str(), true)).collect();
        let mut postponed = postponed(&names);
        for number in 0..MAX_NAMES {
            assert!(!postponed.note(&format!("new{number}")));
        }
        for name in &numbered {
            assert!(postponed.note(name));
        }
        let (added, over) = postponed.changes();
        assert_eq!((added.len(), over.len()), (MAX_NAMES / 2, 0));
    }

    #[test]
    fn names_that_are_over_make_room_except_for_folders_of_what_found_none() {
        let numbered: Vec<String> = (0..MAX_NAMES).map(|number| format!("in/{number}")).collect();
        let names: Vec<(&str, bool)> = numbered.iter().map(|name| (name.as_str(), true)).collect();
        let mut postponed = postponed(&names);
        for number in 0..MAX_NAMES {
            postponed.note(&format!("in/new{number:04}"));
        }
        let (added, over) = postponed.changes();
        assert_eq!((added.len(), over.len()), (MAX_NAMES, MAX_NAMES));
        postponed.note("in/7/deep/a.csv");
        let (added, over) = postponed.changes();
        assert_eq!((added.len(), over.len()), (MAX_NAMES - 1, MAX_NAMES - 1));
        assert!(!over.contains(&"in/7"));
    }
}
