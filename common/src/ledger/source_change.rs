//! A dataset whose source is at another place now: the same files, or new ones. A file is known by its URI.

use chrono::{DateTime, Utc};
use tokio_postgres::{Transaction, error::SqlState};
use uuid::Uuid;

use super::{
    apply::{ApplyOptions, Before, SourceChange},
    leases::{AFTER_LOAD_CLASS, SCAN_CLASS},
    objects::object_key,
    target::ApplyError,
};
use crate::{dataset::Dataset, store::StoredFile};

/// Files that are rewritten in one statement.
const PAGE: i64 = 5_000;

/// Refuses a source at another place, unless it is said what that means; renames the files, if it is the same ones. Gives
/// their number.
pub(super) async fn change_source(
    transaction: &Transaction<'_>,
    before: &Before,
    spec: &Dataset,
    options: &ApplyOptions,
) -> Result<u64, ApplyError> {
    match &options.source_change {
        SourceChange::RenamePrefix { old, new } => rename(transaction, before.id, spec, old, new).await,
        SourceChange::NewFiles => Ok(0),
        SourceChange::Unsaid => refuse_other_place(transaction, before, spec).await.map(|()| 0),
    }
}

async fn refuse_other_place(
    transaction: &Transaction<'_>,
    before: &Before,
    spec: &Dataset,
) -> Result<(), ApplyError> {
    let Some(earlier) = before.spec.as_ref().map(|spec| folder(&spec.source)) else { return Ok(()) };
    let source = folder(&spec.source);
    // A folder within the other has files under the names that they had.
    if source.starts_with(&earlier) || earlier.starts_with(&source) {
        return Ok(());
    }
    let sql = "SELECT EXISTS (SELECT FROM longshore.file WHERE dataset_id = $1)";
    if !transaction.query_one(sql, &[&before.id]).await?.try_get::<_, bool>(0)? {
        return Ok(());
    }
    Err(ApplyError::Refused(format!(
        "the source was {earlier} and is {source} now, and a file is known by its URI: are these the same files at another place? Then \
         `longshore dataset apply FILE --rename-prefix {earlier} {source}`, and none is loaded again. If they are others, \
         `longshore dataset apply FILE --new-files`, and all are loaded beside those before"
    )))
}

/// With a slash at its end, so that it is no beginning of another folder's name.
fn folder(source: &str) -> String {
    format!("{}/", source.trim_end_matches('/'))
}

/// Rewrites the URIs that begin with `old`, and what is derived from them, in the ledger.
async fn rename(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    spec: &Dataset,
    old: &str,
    new: &str,
) -> Result<u64, ApplyError> {
    let (old, new) = (folder(old), folder(new));
    let source = folder(&spec.source);
    if !(new.starts_with(&source) || source.starts_with(&new)) {
        return Err(ApplyError::Refused(format!(
            "the files are to be renamed to {new}, but the source of the spec is {source}"
        )));
    }
    keep_others_out(transaction, dataset_id).await?;
    let (mut after, mut renamed) = (0, 0);
    loop {
        let files = page(transaction, dataset_id, &old, after).await?;
        let Some(last) = files.last() else { return Ok(renamed) };
        after = last.id;
        renamed += files.len() as u64;
        rename_page(transaction, dataset_id, &files, (&old, &new)).await?;
    }
}

/// No scan, no load and nothing that moves files may go on with the old names beside this.
async fn keep_others_out(transaction: &Transaction<'_>, dataset_id: i32) -> Result<(), ApplyError> {
    for class in [SCAN_CLASS, AFTER_LOAD_CLASS] {
        let sql = "SELECT pg_try_advisory_xact_lock($1, $2)";
        if !transaction.query_one(sql, &[&class, &dataset_id]).await?.try_get::<_, bool>(0)? {
            return Err(ApplyError::InUse("a scan of the dataset runs, or its loaded files are being moved"));
        }
    }
    // Who claims one of them waits, and reads its files' names after this has committed.
    let open = "SELECT status FROM longshore.task WHERE dataset_id = $1 AND status <> 'LOADED' ORDER BY id FOR UPDATE";
    let rows = transaction.query(open, &[&dataset_id]).await?;
    if rows.iter().any(|row| row.get::<_, &str>(0) == "PROCESSING") {
        return Err(ApplyError::InUse("tasks of the dataset are being loaded"));
    }
    Ok(())
}

struct Named {
    id: i64,
    identity: Uuid,
    stored: StoredFile,
}

async fn page(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    old: &str,
    after: i64,
) -> Result<Vec<Named>, ApplyError> {
    let rows = transaction
        .query(
            "SELECT id, identity, uri, file_modified_time, size_in_bytes, etag FROM longshore.file
             WHERE dataset_id = $1 AND starts_with(uri, $2) AND id > $3 ORDER BY id LIMIT $4",
            &[&dataset_id, &old, &after, &PAGE],
        )
        .await?;
    let named = |row: &tokio_postgres::Row| Named {
        id: row.get(0),
        identity: row.get(1),
        stored: StoredFile {
            uri: row.get(2),
            modified_time: row.get::<_, DateTime<Utc>>(3),
            size_in_bytes: row.get(4),
            etag: row.get(5),
        },
    };
    Ok(rows.iter().map(named).collect())
}

async fn rename_page(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    files: &[Named],
    (old, new): (&str, &str),
) -> Result<(), ApplyError> {
    let renamed = |uri: &str| format!("{new}{}", &uri[old.len()..]);
    let ids: Vec<i64> = files.iter().map(|file| file.id).collect();
    let uris: Vec<String> = files.iter().map(|file| renamed(&file.stored.uri)).collect();
    let identity = |(file, uri): (&Named, &String)| match file.stored.identity(dataset_id) == file.identity {
        true => StoredFile { uri: uri.clone(), ..file.stored.clone() }.identity(dataset_id),
        // Not the newest row of its version: its identity is a random one, and stays so.
        false => file.identity,
    };
    let identities: Vec<Uuid> = files.iter().zip(&uris).map(identity).collect();
    let keys: Vec<Uuid> = files.iter().map(|file| object_key(dataset_id, &file.stored.uri)).collect();
    let new_keys: Vec<Uuid> = uris.iter().map(|uri| object_key(dataset_id, uri)).collect();
    let collided = |error: tokio_postgres::Error| match error.code() {
        Some(state) if *state == SqlState::UNIQUE_VIOLATION => ApplyError::Refused(format!(
            "files under {new} are known already, so that those under {old} cannot have their names"
        )),
        _ => error.into(),
    };
    transaction
        .execute(
            "UPDATE longshore.file SET uri = renamed.uri, identity = renamed.identity, modified_time = now()
             FROM unnest($1::bigint[], $2::text[], $3::uuid[]) AS renamed (id, uri, identity) WHERE file.id = renamed.id",
            &[&ids, &uris, &identities],
        )
        .await
        .map_err(collided)?;
    // Versions of a URI have the same key.
    transaction
        .execute(
            "UPDATE longshore.object SET key = renamed.new_key
             FROM (SELECT DISTINCT * FROM unnest($1::uuid[], $2::uuid[]) AS renamed (key, new_key)) AS renamed
             WHERE object.key = renamed.key",
            &[&keys, &new_keys],
        )
        .await
        .map_err(collided)?;
    Ok(())
}
