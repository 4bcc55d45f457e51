//! Comparing what a store lists with what is known, and recording what is new.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Error, Transaction};
use uuid::Uuid;

use crate::{dataset::OnChange, store::StoredFile};

/// What a listed file is to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Not known, recorded now as SCANNED.
    New,
    /// This very version was recorded before.
    Known,
    /// An earlier version of this URI is loaded, and new content is not wanted (`ignore`): recorded, never loaded.
    Ignored,
    /// An earlier version of this URI is loaded, and an operator shall decide (`fail`): recorded with a FAILED task.
    Refused,
    /// An earlier version of this URI is on its way: the next scan decides.
    EarlierVersionOnItsWay,
}

/// Why the task of a [`Comparison::Refused`] file is FAILED.
pub const REFUSED_CHANGE: &str = "an earlier version of this file is loaded, and the dataset takes no new content under a known \
    name by itself (discovery.on_change = \"fail\"); the earlier rows are untouched. `longshore retry` of this task loads \
    this version in their place";

/// Compares a page with the ledger and records its new files, in one transaction; one answer a file, in their order.
///
/// Known files are found first and only new ones inserted: `ON CONFLICT DO NOTHING` would draw an id for each
/// file of every scan. The caller holds the dataset's scan lock, so that no listing is older than the books.
pub async fn compare_and_enlist(
    client: &mut Client,
    dataset_id: i32,
    on_change: OnChange,
    page: &[StoredFile],
) -> Result<Vec<Comparison>, Error> {
    let identities: Vec<Uuid> = page.iter().map(|file| file.identity(dataset_id)).collect();
    let known = known(client, &identities).await?;
    let is_known = |identity: &Uuid| known.get(identity).is_some_and(|is_superseded| !is_superseded);
    if identities.iter().all(is_known) {
        return Ok(vec![Comparison::Known; page.len()]);
    }
    let transaction = client.transaction().await?;
    let unknown = page.iter().zip(&identities).filter(|(_, identity)| !is_known(identity));
    let (uris, unknown): (Vec<&str>, Vec<Uuid>) =
        unknown.map(|(file, identity)| (file.uri.as_str(), *identity)).unzip();
    let earlier = earlier_versions(&transaction, dataset_id, &uris, &unknown).await?;
    let comparisons: Vec<Comparison> = page
        .iter()
        .zip(&identities)
        .map(|(file, identity)| match earlier.get(&file.uri) {
            _ if is_known(identity) => Comparison::Known,
            None => Comparison::New,
            Some(earlier) => earlier.compare(on_change),
        })
        .collect();
    let recorded: Vec<Recorded<'_>> = page
        .iter()
        .zip(&identities)
        .zip(&comparisons)
        .filter_map(|((file, identity), comparison)| Recorded::of(file, *identity, *comparison))
        .collect();
    let has_earlier = |file: &&Recorded<'_>| earlier.contains_key(&file.stored.uri);
    let came_back: Vec<Uuid> =
        recorded.iter().map(|file| file.identity).filter(|identity| known.contains_key(identity)).collect();
    let superseding: Vec<&Recorded<'_>> = recorded
        .iter()
        .filter(|file| !file.is_ignored && file.own_task.is_none())
        .filter(has_earlier)
        .collect();
    give_identities_free(&transaction, &came_back).await?;
    enlist(&transaction, dataset_id, &recorded).await?;
    supersede(&transaction, dataset_id, &superseding).await?;
    transaction.commit().await?;
    Ok(comparisons)
}

/// The known ones of these identities, and whether a version that was found later has superseded each: then it has come back,
/// if the store lists it again.
async fn known(client: &Client, identities: &[Uuid]) -> Result<HashMap<Uuid, bool>, Error> {
    let sql = "SELECT identity, superseded_by IS NOT NULL FROM longshore.file WHERE identity = ANY($1)";
    let rows = client.query(sql, &[&identities]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// What is known of a listed version's URI.
struct EarlierVersions {
    is_on_its_way: bool,
    /// Rows of the listed version itself are in the table: it was superseded, but not replaced.
    is_itself_loaded: bool,
    /// An operator has taken the rows of the listed version out of the table.
    is_itself_unloaded: bool,
    is_other_loaded: bool,
}

impl EarlierVersions {
    fn compare(&self, on_change: OnChange) -> Comparison {
        match on_change {
            _ if self.is_on_its_way => Comparison::EarlierVersionOnItsWay,
            // Others were loaded beside it, when the spec said so: it is to replace them.
            OnChange::Replace if self.is_itself_loaded && self.is_other_loaded => Comparison::New,
            _ if self.is_itself_loaded => Comparison::Known,
            _ if self.is_itself_unloaded && !self.is_other_loaded => Comparison::Known,
            OnChange::Ignore if self.is_other_loaded => Comparison::Ignored,
            OnChange::Fail if self.is_other_loaded => Comparison::Refused,
            // Where none is loaded, they failed, or were unloaded: the new content is what was waited for.
            OnChange::Replace | OnChange::Append | OnChange::Ignore | OnChange::Fail => Comparison::New,
        }
    }
}

async fn earlier_versions(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    uris: &[&str],
    identities: &[Uuid],
) -> Result<HashMap<String, EarlierVersions>, Error> {
    let rows = transaction
        .query(
            "SELECT file.uri,
                    bool_or(NOT file.is_ignored AND (task.id IS NULL OR task.status IN ('NEW', 'PROCESSING'))),
                    bool_or(is_loaded AND is_listed),
                    bool_or(removed_time IS NOT NULL AND replaced_by IS NULL AND is_listed),
                    bool_or(is_loaded AND NOT is_listed)
             FROM longshore.file
             LEFT JOIN longshore.task ON task.id = file.task_id
             LEFT JOIN longshore.file_load ON file_load.file_id = file.id
             CROSS JOIN LATERAL (
                 SELECT file_load.file_id IS NOT NULL AND removed_time IS NULL AS is_loaded, file.identity = ANY($3) AS is_listed
             ) AS version
             WHERE file.dataset_id = $1 AND file.uri = ANY($2)
             GROUP BY file.uri",
            &[&dataset_id, &uris, &identities],
        )
        .await?;
    let versions = |row: &tokio_postgres::Row| {
        let versions = EarlierVersions {
            is_on_its_way: row.get(1),
            is_itself_loaded: row.get(2),
            is_itself_unloaded: row.get(3),
            is_other_loaded: row.get(4),
        };
        (row.get(0), versions)
    };
    Ok(rows.iter().map(versions).collect())
}

/// A file that gets a row.
struct Recorded<'a> {
    stored: &'a StoredFile,
    identity: Uuid,
    is_ignored: bool,
    /// The FAILED task of a refused one.
    own_task: Option<Uuid>,
}

impl<'a> Recorded<'a> {
    fn of(stored: &'a StoredFile, identity: Uuid, comparison: Comparison) -> Option<Self> {
        let (is_ignored, own_task) = match comparison {
            Comparison::New => (false, None),
            Comparison::Ignored => (true, None),
            Comparison::Refused => (false, Some(Uuid::now_v7())),
            Comparison::Known | Comparison::EarlierVersionOnItsWay => return None,
        };
        Some(Self { stored, identity, is_ignored, own_task })
    }
}

/// An identity is one row's: it is the newest's, whose id says that it is newer.
async fn give_identities_free(transaction: &Transaction<'_>, identities: &[Uuid]) -> Result<(), Error> {
    if !identities.is_empty() {
        let sql = "UPDATE longshore.file SET identity = gen_random_uuid() WHERE identity = ANY($1)";
        transaction.execute(sql, &[&identities]).await?;
    }
    Ok(())
}

async fn enlist(transaction: &Transaction<'_>, dataset_id: i32, files: &[Recorded<'_>]) -> Result<(), Error> {
    if files.is_empty() {
        return Ok(());
    }
    let refused: Vec<Uuid> = files.iter().filter_map(|file| file.own_task).collect();
    if !refused.is_empty() {
        transaction
            .execute(
                "INSERT INTO longshore.task (id, dataset_id, status, failure_msg, first_failure_time)
                 SELECT id, $1, 'FAILED', $3, now() FROM unnest($2::uuid[]) AS refused (id)",
                &[&dataset_id, &refused, &REFUSED_CHANGE],
            )
            .await?;
    }
    let uris: Vec<&str> = files.iter().map(|file| file.stored.uri.as_str()).collect();
    let modified_times: Vec<DateTime<Utc>> = files.iter().map(|file| file.stored.modified_time).collect();
    let sizes: Vec<i64> = files.iter().map(|file| file.stored.size_in_bytes).collect();
    let etags: Vec<&str> = files.iter().map(|file| file.stored.etag.as_str()).collect();
    let identities: Vec<Uuid> = files.iter().map(|file| file.identity).collect();
    let ignored: Vec<bool> = files.iter().map(|file| file.is_ignored).collect();
    let tasks: Vec<Option<Uuid>> = files.iter().map(|file| file.own_task).collect();
    transaction
        .execute(
            "INSERT INTO longshore.file (dataset_id, uri, file_modified_time, size_in_bytes, etag, identity, is_ignored,
                                         task_id)
             SELECT $1, listed.*
             FROM unnest($2::text[], $3::timestamptz[], $4::bigint[], $5::text[], $6::uuid[], $7::boolean[], $8::uuid[])
                 AS listed",
            &[&dataset_id, &uris, &modified_times, &sizes, &etags, &identities, &ignored, &tasks],
        )
        .await?;
    Ok(())
}

/// Puts the new files in the place of all earlier versions: a retry leaves those alone from now on.
async fn supersede(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    files: &[&Recorded<'_>],
) -> Result<(), Error> {
    if files.is_empty() {
        return Ok(());
    }
    let uris: Vec<&str> = files.iter().map(|file| file.stored.uri.as_str()).collect();
    let identities: Vec<Uuid> = files.iter().map(|file| file.identity).collect();
    transaction
        .execute(
            "UPDATE longshore.file AS earlier SET superseded_by = newest.id, modified_time = now()
             FROM longshore.file AS newest
             WHERE newest.identity = ANY($3)
               AND earlier.dataset_id = $1 AND earlier.uri = ANY($2) AND earlier.uri = newest.uri
               AND earlier.id < newest.id AND earlier.superseded_by IS NULL",
            &[&dataset_id, &uris, &identities],
        )
        .await?;
    Ok(())
}
