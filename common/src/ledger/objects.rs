//! Which version of a URI has its rows in the table: settled just before a load becomes visible, under the locks of its
//! files' objects. Whichever of two versions commits first, the newer one's rows remain, once.
//!
//! Each URI that was ever loaded has its object: loads make it, and migration V4 made those of the loads before it. (No
//! program from before V4 was ever released, so none loads beside this one.)
//!
//! The newer version is the one that a scan found later, by `file.id`; modified times can be set.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use tokio_postgres::{Error, Transaction};
use uuid::Uuid;

use super::{
    claims::TaskFile,
    removal::{RemovalError, RemovalFrom},
};
use crate::dataset::OnChange;

/// A file of a load that cannot stay. If anything of it is in the transaction already, the caller goes back to before that.
#[derive(Debug)]
pub struct KeptOut {
    /// `longshore.file.id`.
    pub file_id: i64,
    /// Why.
    pub why: WhyKeptOut,
}

/// What became of the places that files were to take.
#[derive(Debug, Default)]
pub struct PlacesTaken {
    /// The files that cannot stay.
    pub kept_out: Vec<KeptOut>,
    /// Whether rows of earlier versions were removed.
    pub has_made_room: bool,
}

/// Why a file of a load cannot stay.
#[derive(Debug)]
pub enum WhyKeptOut {
    /// A newer version of it is loaded: this `longshore.file.id`.
    Superseded(i64),
    /// The earlier version's rows cannot be removed: another table's foreign key, a trigger or a missing privilege holds
    /// them, or they are not all there.
    EarlierIsHeld(RemovalError),
}

/// The key of a URI's row in `longshore.object`.
pub(super) fn object_key(dataset_id: i32, uri: &str) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(dataset_id.to_be_bytes());
    digest.update(uri);
    let mut key = [0; 16];
    key.copy_from_slice(&digest.finalize()[..16]);
    Uuid::from_bytes(key)
}

/// Which of these files, of which nothing is in the tables yet, would replace a loaded version.
pub async fn replacing(
    transaction: &Transaction<'_>,
    on_change: OnChange,
    file_ids: &[i64],
) -> Result<HashSet<i64>, Error> {
    Ok(earlier_loads(transaction, on_change, file_ids).await?.into_keys().collect())
}

/// Takes the places of the loaded files' URIs: locks them until the transaction ends, and removes the rows of the versions
/// that these files replace.
///
/// What takes no place that anybody had before, the usual case, is one statement. It gives one count, so that a migration
/// cannot make Postgres refuse it in mid-load.
pub async fn take_places(
    transaction: &deadpool_postgres::Transaction<'_>,
    dataset_id: i32,
    on_change: OnChange,
    files: &[&TaskFile],
    removal: &RemovalFrom<'_>,
) -> Result<PlacesTaken, RemovalError> {
    if files.is_empty() {
        return Ok(PlacesTaken::default());
    }
    let keys: Vec<Uuid> = files.iter().map(|file| object_key(dataset_id, &file.stored.uri)).collect();
    let ids: Vec<i64> = files.iter().map(|file| file.id).collect();
    let insert = transaction
        .prepare_cached(
            "WITH taken AS (
                 INSERT INTO longshore.object (key, dataset_id, file_id)
                 SELECT key, $1, file_id FROM unnest($2::uuid[], $3::bigint[]) AS loaded (key, file_id)
                 ORDER BY key
                 ON CONFLICT (key) DO NOTHING
                 RETURNING file_id
             )
             SELECT count(*) FROM taken",
        )
        .await?;
    let free: i64 = transaction.query_one(&insert, &[&dataset_id, &keys, &ids]).await?.try_get(0)?;
    (removal.on_step)();
    if free.unsigned_abs() == keys.len() as u64 {
        return Ok(PlacesTaken::default());
    }
    let by_key: HashMap<Uuid, i64> = keys.iter().copied().zip(ids).collect();
    // All loads lock in the order of the keys, so that none waits for one that waits for it.
    let objects = transaction
        .query(
            "SELECT key, file_id FROM longshore.object WHERE key = ANY($1) ORDER BY key FOR UPDATE",
            &[&keys],
        )
        .await?;
    (removal.on_step)();
    let (mut superseded, mut contested) = (Vec::new(), Vec::new());
    for object in &objects {
        let (key, current): (Uuid, Option<i64>) = (object.try_get(0)?, object.try_get(1)?);
        match (by_key.get(&key), current) {
            (Some(own), Some(current)) if current > *own => superseded.push((*own, current)),
            // Where it is our own, it was inserted a moment ago.
            (Some(own), current) if current != Some(*own) => contested.push((key, *own)),
            _ => {}
        }
    }
    let newer = newer_loads(transaction, &contested).await?;
    contested.retain(|(_, own)| !newer.contains_key(own));
    superseded.extend(newer);
    let mut places = replace(transaction, on_change, contested, removal).await?;
    let superseded = superseded.into_iter();
    places
        .kept_out
        .extend(superseded.map(|(file_id, by)| KeptOut { file_id, why: WhyKeptOut::Superseded(by) }));
    Ok(places)
}

/// For files whose place is taken by no newer version: the newer one that was loaded nevertheless. Its rows were unloaded,
/// which does not bring older ones back.
async fn newer_loads(
    transaction: &Transaction<'_>,
    contested: &[(Uuid, i64)],
) -> Result<HashMap<i64, i64>, Error> {
    if contested.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<i64> = contested.iter().map(|(_, own)| *own).collect();
    let rows = transaction
        .query(
            "SELECT own.id, max(newer.id)
             FROM longshore.file AS own
             JOIN longshore.file AS newer
               ON newer.dataset_id = own.dataset_id AND newer.uri = own.uri AND newer.id > own.id
             JOIN longshore.file_load ON file_load.file_id = newer.id
             WHERE own.id = ANY($1)
             GROUP BY own.id",
            &[&ids],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Records which newer versions have kept files out.
pub async fn record_superseded(
    transaction: &deadpool_postgres::Transaction<'_>,
    superseded: &[(i64, i64)],
) -> Result<(), Error> {
    let (ids, newer): (Vec<i64>, Vec<i64>) = superseded.iter().copied().unzip();
    transaction
        .execute(
            "UPDATE longshore.file SET superseded_by = newer.id
             FROM unnest($1::bigint[], $2::bigint[]) AS newer (than, id)
             WHERE file.id = newer.than AND file.superseded_by IS NULL",
            &[&ids, &newer],
        )
        .await?;
    Ok(())
}

/// A file that takes a place, and the loaded versions that it replaces there.
struct Replacement {
    key: Uuid,
    own: i64,
    earlier: Vec<i64>,
    /// An operator has said that what is missing of the earlier versions' rows is gone.
    missing_rows_are_gone: bool,
}

async fn replace(
    transaction: &Transaction<'_>,
    on_change: OnChange,
    contested: Vec<(Uuid, i64)>,
    removal: &RemovalFrom<'_>,
) -> Result<PlacesTaken, RemovalError> {
    if contested.is_empty() {
        return Ok(PlacesTaken::default());
    }
    let ids: Vec<i64> = contested.iter().map(|(_, own)| *own).collect();
    let mut earlier = earlier_loads(transaction, on_change, &ids).await?;
    let replacement = |(key, own)| {
        let EarlierLoads { ids, missing_rows_are_gone } = earlier.remove(&own).unwrap_or_default();
        Replacement { key, own, earlier: ids, missing_rows_are_gone }
    };
    let mut groups: Vec<Vec<Replacement>> = vec![contested.into_iter().map(replacement).collect()];
    let (mut done, mut kept_out) = (Vec::new(), Vec::new());
    while let Some(mut group) = groups.pop() {
        match remove_earlier(transaction, &group, removal).await? {
            None => done.extend(group),
            Some(RemovalError::RowsDiffer(differences)) => {
                let differing = group.extract_if(.., |replacement| {
                    let differs = differences.of(&replacement.earlier);
                    let is_held = differs.is_some();
                    kept_out.extend(differs.map(|rows| held(replacement, RemovalError::RowsDiffer(rows))));
                    is_held
                });
                drop(differing.collect::<Vec<_>>());
                groups.extend((!group.is_empty()).then_some(group));
            }
            // Nobody says whose rows are held: halving finds them, and costs nothing where none are.
            Some(_) if group.len() > 1 => {
                let half = group.split_off(group.len() / 2);
                groups.extend([half, group]);
            }
            Some(refusal) => {
                kept_out.extend(
                    group.iter().zip([refusal]).map(|(replacement, refusal)| held(replacement, refusal)),
                );
            }
        }
    }
    record(transaction, &done).await?;
    let has_made_room = done.iter().any(|replacement| !replacement.earlier.is_empty());
    Ok(PlacesTaken { kept_out, has_made_room })
}

fn held(replacement: &Replacement, refusal: RemovalError) -> KeptOut {
    KeptOut { file_id: replacement.own, why: WhyKeptOut::EarlierIsHeld(refusal) }
}

/// The loaded versions that a file replaces.
#[derive(Default)]
struct EarlierLoads {
    ids: Vec<i64>,
    missing_rows_are_gone: bool,
}

/// The versions in the table whose place is taken, by the file that takes it. `append` replaces only an earlier load of the
/// very same version, which a reload is.
async fn earlier_loads(
    transaction: &Transaction<'_>,
    on_change: OnChange,
    file_ids: &[i64],
) -> Result<HashMap<i64, EarlierLoads>, Error> {
    let rows = transaction
        .query(
            "SELECT own.id, earlier.id, own.missing_rows_are_gone
             FROM longshore.file AS own
             JOIN longshore.file AS earlier
               ON earlier.dataset_id = own.dataset_id AND earlier.uri = own.uri AND earlier.id < own.id
             JOIN longshore.file_load ON file_load.file_id = earlier.id AND file_load.removed_time IS NULL
             WHERE own.id = ANY($1)
               AND (NOT $2 OR (earlier.file_modified_time, earlier.size_in_bytes, earlier.etag)
                              = (own.file_modified_time, own.size_in_bytes, own.etag))",
            &[&file_ids, &(on_change == OnChange::Append)],
        )
        .await?;
    let mut earlier: HashMap<i64, EarlierLoads> = HashMap::new();
    for row in &rows {
        let loads = earlier.entry(row.try_get(0)?).or_default();
        loads.ids.push(row.try_get(1)?);
        loads.missing_rows_are_gone = row.try_get(2)?;
    }
    Ok(earlier)
}

/// Removes all of the group's earlier versions, or none: then it gives what refused it.
async fn remove_earlier(
    transaction: &Transaction<'_>,
    group: &[Replacement],
    removal: &RemovalFrom<'_>,
) -> Result<Option<RemovalError>, RemovalError> {
    let earlier: Vec<i64> = group.iter().flat_map(|replacement| &replacement.earlier).copied().collect();
    if earlier.is_empty() {
        return Ok(None);
    }
    let may_be_missing: Vec<i64> = group
        .iter()
        .filter(|replacement| replacement.missing_rows_are_gone)
        .flat_map(|replacement| &replacement.earlier)
        .copied()
        .collect();
    // A deferred constraint would speak at COMMIT, when it is too late to keep one file out.
    transaction.batch_execute("SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT removal").await?;
    match removal.remove(transaction, &earlier, &may_be_missing).await {
        Ok(_) => {
            transaction.batch_execute("RELEASE SAVEPOINT removal").await?;
            Ok(None)
        }
        Err(error) if !error.is_transient() => {
            transaction.batch_execute("ROLLBACK TO SAVEPOINT removal; RELEASE SAVEPOINT removal").await?;
            Ok(Some(error))
        }
        Err(error) => Err(error),
    }
}

async fn record(transaction: &Transaction<'_>, done: &[Replacement]) -> Result<(), Error> {
    let keys: Vec<Uuid> = done.iter().map(|replacement| replacement.key).collect();
    let owns: Vec<i64> = done.iter().map(|replacement| replacement.own).collect();
    let pairs =
        done.iter().flat_map(|Replacement { own, earlier, .. }| earlier.iter().map(move |id| (*id, *own)));
    let (removed, replaced_by): (Vec<i64>, Vec<i64>) = pairs.unzip();
    transaction
        .execute(
            "UPDATE longshore.file_load SET removed_time = clock_timestamp(), replaced_by = removed.replaced_by
             FROM unnest($1::bigint[], $2::bigint[]) AS removed (file_id, replaced_by)
             WHERE file_load.file_id = removed.file_id",
            &[&removed, &replaced_by],
        )
        .await?;
    transaction
        .execute(
            "UPDATE longshore.object SET file_id = taken.file_id
             FROM unnest($1::uuid[], $2::bigint[]) AS taken (key, file_id)
             WHERE object.key = taken.key",
            &[&keys, &owns],
        )
        .await?;
    // A version that was refused or ignored took nobody's place when it was found. Now it has: whatever comes back of the
    // earlier ones is to be loaded again.
    transaction
        .execute(
            "UPDATE longshore.file AS earlier SET superseded_by = own.id, modified_time = clock_timestamp()
             FROM longshore.file AS own
             WHERE own.id = ANY($1) AND earlier.dataset_id = own.dataset_id AND earlier.uri = own.uri
               AND earlier.id < own.id AND earlier.superseded_by IS NULL",
            &[&owns],
        )
        .await?;
    Ok(())
}
