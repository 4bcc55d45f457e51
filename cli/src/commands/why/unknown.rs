//! Why a file is not known, as far as specs and the records of scans tell: sentences, one after the other.

use chrono::Utc;
use deadpool_postgres::ClientWrapper;
use longshore_common::{
    ledger::{self, LastLook, StoredDataset},
    store::{SkipReason, Store},
};
use tokio_postgres::Client;

use super::moments::moment;
use crate::output::{one_line, time};

/// Sources that are named where none has the file.
const NAMED_SOURCES: usize = 5;

/// Of the file with this URI.
pub(super) async fn told(client: &ClientWrapper, uri: &str) -> anyhow::Result<String> {
    let mut sentences = vec![format!("no scan has recorded {}", one_line(uri))];
    if let Some(original) = ledger::moved_from(client, uri).await? {
        sentences
            .push(format!("It is where {original} was moved to after its load: `longshore why {original}`"));
    }
    let mut datasets = Vec::new();
    for dataset in ledger::datasets(client).await? {
        let dataset = match dataset {
            Ok(dataset) => dataset,
            Err(unreadable) => {
                sentences.push(one_line(&unreadable.to_string()));
                continue;
            }
        };
        match Store::of(&dataset.spec) {
            Ok(store) if store.covers(uri) => sentences.push(left_out(client, &dataset, &store, uri).await?),
            // A setting of buckets says nothing of a local file.
            Err(error) if scheme(uri) == scheme(&dataset.spec.source) => {
                let reason = one_line(&format!("{error:#}"));
                sentences
                    .push(format!("The source of dataset {} cannot be used: {reason}", dataset.spec.name));
            }
            _ => {}
        }
        datasets.push(dataset);
    }
    if sentences.len() == 1 {
        sentences.push(in_no_source(&datasets));
    }
    Ok(sentences.join(". "))
}

fn scheme(uri: &str) -> Option<&str> {
    uri.split_once("://").map(|(scheme, _)| scheme)
}

fn in_no_source(datasets: &[StoredDataset]) -> String {
    let source = |dataset: &StoredDataset| format!("{} ({})", dataset.spec.source, dataset.spec.name);
    let mut sources: Vec<String> = datasets.iter().take(NAMED_SOURCES).map(source).collect();
    if datasets.len() > sources.len() {
        sources.push(format!("{} more", datasets.len() - sources.len()));
    }
    match sources.as_slice() {
        [] => "There is no dataset yet; `longshore dataset apply` makes one".to_owned(),
        _ => format!("It lies in no dataset's source; these are {}", sources.join(", ")),
    }
}

/// Why this dataset, in whose source it lies, does not have it.
async fn left_out(
    client: &Client,
    dataset: &StoredDataset,
    store: &Store,
    uri: &str,
) -> anyhow::Result<String> {
    let name = &dataset.spec.name;
    if let Some(reason) = store.reason_by_name(uri) {
        return Ok(format!("Dataset {name} leaves it out by its name: {}", by_name(reason, dataset)));
    }
    let looks = ledger::last_looks(client, dataset.id, uri).await?;
    let now = Utc::now();
    let named = looks.iter().find_map(|look| Some((look, look.reason.as_deref()?)));
    if let Some((LastLook { kind, started_time, .. }, reason)) = named {
        let reason = one_line(reason);
        return Ok(format!(
            "The {} of dataset {name} of {} left it out: {reason}. What has its name now may be something else: the next scan looks again",
            kind.noun(),
            moment(*started_time, now)
        ));
    }
    let settle = dataset.spec.discovery.settle;
    Ok(match looks.first() {
        None => {
            format!(
                "Dataset {name} has never been scanned to its end; `longshore scans` tells why, `longshore scan {name}` scans"
            )
        }
        Some(LastLook { kind, started_time, .. }) => format!(
            "Dataset {name} would take it, and its last {} began at {}: either it has come since, or changed less than {settle} \
             before that (discovery.settle), or is not there, or is a link or no regular file, or is older than discovery.lookback or outside of \
             discovery.partition; `longshore audit {name}` looks at everything and names what is left out",
            kind.noun(),
            time(*started_time)
        ),
    })
}

fn by_name(reason: SkipReason, dataset: &StoredDataset) -> String {
    match reason {
        SkipReason::PatternMismatch => {
            let patterns = dataset.spec.include.join("`, `");
            format!("no pattern of `include` matches it (`{}`)", one_line(&patterns))
        }
        SkipReason::HalfWritten => {
            "one that begins with a dot or ends in .tmp, .part or .crdownload is still being written"
                .to_owned()
        }
        SkipReason::HiddenFolder => "a folder that it lies in begins with a dot".to_owned(),
        other => other.name().to_owned(),
    }
}
