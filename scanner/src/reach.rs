//! What a scan looks at: the folders and files of the times from watermark − lookback to now.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use longshore_common::{
    ledger::StoredDataset,
    store::{Store, StoredFile},
};

use crate::pass::compared_from;

/// How far back a scan looks.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// Files modified before this are too old.
    pub(crate) compare_from: Option<DateTime<Utc>>,
    /// The only folders that are listed; all if it is empty.
    pub(crate) folders: Vec<String>,
}

impl Reach {
    /// That of a scan at `now`. A dataset without a watermark is looked at whole.
    pub(crate) fn of_scan(dataset: &StoredDataset, now: DateTime<Utc>) -> Self {
        let compare_from = compared_from(dataset, now);
        let folders = compare_from.and_then(|from| dataset.spec.discovery.partition.folders(from, now));
        Self { compare_from, folders: folders.unwrap_or_default() }
    }

    /// The same, for asking about single files.
    pub(crate) fn in_store(&self, store: &Store) -> StoreReach {
        StoreReach {
            compare_from: self.compare_from,
            folder_uris: self.folders.iter().map(|folder| store.folder_uri(folder)).collect(),
        }
    }
}

/// A reach in terms of a store's URIs.
#[derive(Debug)]
pub(crate) struct StoreReach {
    compare_from: Option<DateTime<Utc>>,
    folder_uris: BTreeSet<String>,
}

impl StoreReach {
    /// Whether a scan would have come to this file.
    pub(crate) fn covers(&self, file: &StoredFile) -> bool {
        let is_listed = || {
            // No folder lies in another, so the last one up to the name is the only one that can begin it.
            let before = self.folder_uris.range::<String, _>(..=&file.uri).next_back();
            self.folder_uris.is_empty() || before.is_some_and(|folder| file.uri.starts_with(folder))
        };
        self.compare_from.is_none_or(|from| file.modified_time >= from) && is_listed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_in_reach_by_its_time_and_its_folder() {
        let file = |uri: &str, seconds: i64| StoredFile {
            uri: uri.to_owned(),
            modified_time: DateTime::from_timestamp(seconds, 0).unwrap(),
            size_in_bytes: 1,
            etag: String::new(),
        };
        let folders = ["file:///in/2026/02/", "file:///in/2026/10/"];
        let reach = |folders: &[&str]| StoreReach {
            compare_from: DateTime::from_timestamp(100, 0),
            folder_uris: folders.iter().map(|folder| (*folder).to_owned()).collect(),
        };
        assert!(reach(&folders).covers(&file("file:///in/2026/02/a.csv", 100)));
        assert!(reach(&folders).covers(&file("file:///in/2026/10/deep/a.csv", 200)));
        assert!(!reach(&folders).covers(&file("file:///in/2026/10/a.csv", 99)));
        for outside in ["2026/01/a.csv", "2026/03/a.csv", "2026/02.csv", "2026/1/a.csv", "zz.csv", "a.csv"] {
            assert!(!reach(&folders).covers(&file(&format!("file:///in/{outside}"), 200)), "{outside}");
            assert!(reach(&[]).covers(&file(&format!("file:///in/{outside}"), 200)), "{outside}");
        }
    }
}
