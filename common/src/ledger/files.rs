//! Comparing what a store lists with what is known, and recording what is new.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use crate::store::StoredFile;

/// What a listed file is to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Not known, recorded now as SCANNED.
    New,
    /// This very version was recorded before.
    Known,
    /// An earlier version of this URI is loaded: said, not loaded.
    ChangedAfterLoad,
    /// An earlier version of this URI is on its way: the next scan decides.
    EarlierVersionOnItsWay,
}

/// Compares a page with the ledger and records its new files, in one transaction; one answer a file, in their order.
///
/// Known files are found first and only new ones inserted: `ON CONFLICT DO NOTHING` would draw an id for each
/// file of every scan.
pub async fn compare_and_enlist(
    client: &mut Client,
    dataset_id: i32,
    page: &[StoredFile],
) -> Result<Vec<Comparison>, tokio_postgres::Error> {
    let identities: Vec<Uuid> = page.iter().map(|file| file.identity(dataset_id)).collect();
    let known: HashSet<Uuid> = client
        .query("SELECT identity FROM longshore.file WHERE identity = ANY($1)", &[&identities])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    if known.len() == identities.len() {
        return Ok(vec![Comparison::Known; page.len()]);
    }
    let transaction = client.transaction().await?;
    let unknown_uris: Vec<&str> = page
        .iter()
        .zip(&identities)
        .filter(|(_, identity)| !known.contains(identity))
        .map(|(file, _)| file.uri.as_str())
        .collect();
    let earlier = earlier_versions(&transaction, dataset_id, &unknown_uris).await?;
    let comparisons: Vec<Comparison> = page
        .iter()
        .zip(&identities)
        .map(|(file, identity)| match earlier.get(&file.uri) {
            _ if known.contains(identity) => Comparison::Known,
            None => Comparison::New,
            Some(EarlierVersion { on_its_way: true, .. }) => Comparison::EarlierVersionOnItsWay,
            Some(EarlierVersion { loaded: true, .. }) => Comparison::ChangedAfterLoad,
            // It failed: the new content is what was waited for.
            Some(_) => Comparison::New,
        })
        .collect();
    let new: Vec<(&StoredFile, Uuid)> = page
        .iter()
        .zip(&identities)
        .zip(&comparisons)
        .filter(|(_, comparison)| **comparison == Comparison::New)
        .map(|((file, identity), _)| (file, *identity))
        .collect();
    enlist(&transaction, dataset_id, &new).await?;
    transaction.commit().await?;
    Ok(comparisons)
}

struct EarlierVersion {
    loaded: bool,
    on_its_way: bool,
}

async fn earlier_versions(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    uris: &[&str],
) -> Result<HashMap<String, EarlierVersion>, tokio_postgres::Error> {
    let rows = transaction
        .query(
            "SELECT file.uri,
                    bool_or(task.status IS NOT DISTINCT FROM 'LOADED'),
                    bool_or(task.id IS NULL OR task.status IN ('NEW', 'PROCESSING'))
             FROM longshore.file
             LEFT JOIN longshore.task ON task.id = file.task_id
             WHERE file.dataset_id = $1 AND file.uri = ANY($2)
             GROUP BY file.uri",
            &[&dataset_id, &uris],
        )
        .await?;
    let version = |row: &tokio_postgres::Row| {
        (row.get(0), EarlierVersion { loaded: row.get(1), on_its_way: row.get(2) })
    };
    Ok(rows.iter().map(version).collect())
}

async fn enlist(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    new: &[(&StoredFile, Uuid)],
) -> Result<(), tokio_postgres::Error> {
    let uris: Vec<&str> = new.iter().map(|(file, _)| file.uri.as_str()).collect();
    let modified_times: Vec<DateTime<Utc>> = new.iter().map(|(file, _)| file.modified_time).collect();
    let sizes: Vec<i64> = new.iter().map(|(file, _)| file.size_in_bytes).collect();
    let etags: Vec<&str> = new.iter().map(|(file, _)| file.etag.as_str()).collect();
    let identities: Vec<Uuid> = new.iter().map(|(_, identity)| *identity).collect();
    transaction
        .execute(
            "WITH enlisted AS (
                 INSERT INTO longshore.file (dataset_id, uri, file_modified_time, size_in_bytes, etag, identity)
                 SELECT $1, listed.*
                 FROM unnest($2::text[], $3::timestamptz[], $4::bigint[], $5::text[], $6::uuid[]) AS listed
                 RETURNING id, uri
             )
             UPDATE longshore.file SET superseded_by = enlisted.id, modified_time = now()
             FROM enlisted
             WHERE file.dataset_id = $1 AND file.uri = enlisted.uri AND file.superseded_by IS NULL",
            &[&dataset_id, &uris, &modified_times, &sizes, &etags, &identities],
        )
        .await?;
    Ok(())
}
