//! An audit: a pass over the whole store that also finds what scans had missed and what is gone from the store.

use std::time::Duration;

use anyhow::Context;
use longshore_common::{
    ledger::{self, AuditFindings, NamedFiles, StoredDataset},
    store::{Listed, SkipReason, Store, StoredFile},
};
use tokio_postgres::Client;

use crate::{answer::answered, reach::Reach, reach::StoreReach};

/// How long Postgres may take to compare names: for any number, and for each that is known.
const COMPARE_LIMIT: Duration = Duration::from_secs(600);
const COMPARE_LIMIT_OF_FILE: Duration = Duration::from_micros(200);

/// What an audit notes on its way; the names are in Postgres, so that memory does not grow with the store.
pub(crate) struct Audit {
    scan_reach: StoreReach,
    source_uri: String,
    missed: NamedFiles,
}

impl Audit {
    /// Begins one. `scan_reach` is what a scan would have looked at instead.
    pub(crate) async fn begin(
        client: &Client,
        dataset: &StoredDataset,
        scan_reach: &Reach,
    ) -> anyhow::Result<Self> {
        let store = Store::of(&dataset.spec)?;
        answered(ledger::begin_comparison(client)).await?;
        Ok(Self {
            scan_reach: scan_reach.in_store(&store),
            source_uri: store.folder_uri(""),
            missed: NamedFiles::default(),
        })
    }

    /// Notes the names of a page, whatever becomes of its entries.
    pub(crate) async fn note(&self, client: &Client, page: &[Listed]) -> Result<(), tokio_postgres::Error> {
        let (uris, are_unreadable): (Vec<&str>, Vec<bool>) = page
            .iter()
            .map(|listed| match listed {
                Listed::File { file, .. } => (file.uri.as_str(), false),
                Listed::Skipped(skipped) => (skipped.uri.as_str(), skipped.reason == SkipReason::Unreadable),
            })
            .unzip();
        ledger::note_listed(client, &uris, &are_unreadable).await
    }

    /// Notes a file that was not known.
    pub(crate) fn note_new(&mut self, file: &StoredFile) {
        if !self.scan_reach.covers(file) {
            self.missed.add(&file.uri);
        }
    }

    /// Everything was listed: what was found.
    pub(crate) async fn finish(self, client: &Client, dataset_id: i32) -> anyhow::Result<AuditFindings> {
        let known = answered(ledger::known_files(client)).await?;
        let limit = COMPARE_LIMIT + COMPARE_LIMIT_OF_FILE.saturating_mul(known);
        let comparing = ledger::find_gone(client, dataset_id, &self.source_uri);
        let gone = tokio::time::timeout(limit, comparing).await.context("Postgres does not answer")??;
        Ok(AuditFindings { missed: self.missed, gone })
    }
}
