//! What an operator does with one file: its rows out of the table (`unload`), or loaded anew (`reload`).

use serde::Serialize;
use thiserror::Error;
use tokio_postgres::{Client, Row, Transaction};
use uuid::Uuid;

use super::{
    objects::object_key,
    outbox::WAKE_RELAY,
    removal::{RemovalFrom, Removed},
};

/// Why nothing was done.
#[derive(Debug, Error)]
pub enum UndoError {
    /// The file's state does not allow it.
    #[error("{0}")]
    Refused(String),
    /// The database failed, or a constraint holds the rows; nothing has changed.
    #[error(transparent)]
    Database(#[from] tokio_postgres::Error),
}

/// What an unload has removed.
#[derive(Debug, Serialize)]
pub struct Unloaded {
    /// Rows of the target table.
    pub rows_removed: u64,
    /// What was loaded of them; more than were removed where some were missing.
    pub rows_loaded: u64,
    /// The versions whose rows they were, by `longshore.file.id`.
    pub file_ids: Vec<i64>,
}

/// A reload that has begun.
#[derive(Debug, Serialize)]
pub struct Reloading {
    /// The version that was recorded now: the same content, with an id of its own.
    pub file_id: i64,
    /// The version that it reloads.
    pub reloaded_file_id: i64,
    /// Its task, which is NEW.
    pub task_id: Uuid,
    /// Whether rows of an earlier load are in the table, until those of this one replace them.
    pub is_loaded: bool,
    /// What was done with the file itself after its last load: MOVED, DELETED or GONE, if it is not under its name any more.
    pub after_load: Option<String>,
    /// Where it was moved to.
    pub moved_to: Option<String>,
}

/// The names and ids of the datasets that know the URI.
pub async fn datasets_of_uri(
    client: &Client,
    uri: &str,
) -> Result<Vec<(i32, String)>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT DISTINCT dataset.id, dataset.name
             FROM longshore.file JOIN longshore.dataset ON dataset.id = file.dataset_id
             WHERE file.uri = $1 ORDER BY dataset.name",
            &[&uri],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Removes the rows and rejects of all versions of a file. It stays known: no scan loads it again. Rows that are missing in
/// the table keep it from that, unless `missing_rows_are_gone`.
pub async fn unload(
    client: &mut Client,
    dataset_id: i32,
    uri: &str,
    missing_rows_are_gone: bool,
    removal: &RemovalFrom<'_>,
) -> Result<Unloaded, UndoError> {
    let transaction = client.transaction().await?;
    let key = lock_object(&transaction, dataset_id, uri).await?;
    refuse_on_its_way(&transaction, dataset_id, uri).await?;
    let file_ids = loaded_versions(&transaction, dataset_id, uri).await?;
    if file_ids.is_empty() {
        return Err(UndoError::Refused("it is not loaded; there is nothing to remove".to_owned()));
    }
    let may_be_missing = if missing_rows_are_gone { &file_ids[..] } else { &[] };
    let Removed { rows, rows_loaded } = removal.remove(&transaction, &file_ids, may_be_missing).await?;
    let sql = "UPDATE longshore.file_load SET removed_time = clock_timestamp() WHERE file_id = ANY($1)";
    transaction.execute(sql, &[&file_ids]).await?;
    let sql = "UPDATE longshore.object SET file_id = NULL WHERE key = $1";
    transaction.execute(sql, &[&key]).await?;
    transaction.commit().await?;
    Ok(Unloaded { rows_removed: rows, rows_loaded, file_ids })
}

/// Has the newest known version of a file loaded anew, with the spec that is current then: its rows replace those of the
/// earlier load in one transaction, and if the load fails, the earlier rows stay. It fails where rows of the earlier load are
/// missing in the table, unless `missing_rows_are_gone`.
pub async fn reload(
    client: &mut Client,
    dataset_id: i32,
    uri: &str,
    missing_rows_are_gone: bool,
) -> Result<Reloading, UndoError> {
    let transaction = client.transaction().await?;
    lock_object(&transaction, dataset_id, uri).await?;
    // Locked, so that two reloads of it do not take the same version; not against a load, whose foreign keys share the row.
    let newest = transaction
        .query_opt(
            "SELECT id, identity FROM longshore.file WHERE dataset_id = $1 AND uri = $2
             ORDER BY id DESC LIMIT 1 FOR NO KEY UPDATE",
            &[&dataset_id, &uri],
        )
        .await?;
    let newest = newest.ok_or_else(|| UndoError::Refused("no scan has found it".to_owned()))?;
    refuse_on_its_way(&transaction, dataset_id, uri).await?;
    let is_loaded = !loaded_versions(&transaction, dataset_id, uri).await?.is_empty();
    let (reloaded_file_id, identity): (i64, Uuid) = (newest.get(0), newest.get(1));
    let task_id = Uuid::now_v7();
    let free = "UPDATE longshore.file SET identity = gen_random_uuid() WHERE id = $1";
    transaction.execute(free, &[&reloaded_file_id]).await?;
    let insert =
        format!("INSERT INTO longshore.task (id, dataset_id) VALUES ($1, $2) RETURNING {WAKE_RELAY}");
    transaction.execute(&insert, &[&task_id, &dataset_id]).await?;
    let file_id: i64 = transaction
        .query_one(
            "INSERT INTO longshore.file (dataset_id, task_id, uri, file_modified_time, size_in_bytes, etag, identity,
                                         is_reload, missing_rows_are_gone)
             SELECT dataset_id, $2, uri, file_modified_time, size_in_bytes, etag, $3, true, $4
             FROM longshore.file WHERE id = $1
             RETURNING id",
            &[&reloaded_file_id, &task_id, &identity, &missing_rows_are_gone],
        )
        .await?
        .try_get(0)?;
    transaction
        .execute(
            "UPDATE longshore.file SET superseded_by = $3, modified_time = now()
             WHERE dataset_id = $1 AND uri = $2 AND id < $3 AND superseded_by IS NULL",
            &[&dataset_id, &uri, &file_id],
        )
        .await?;
    let (after_load, moved_to) = taken_away(&transaction, dataset_id, uri).await?;
    transaction.commit().await?;
    Ok(Reloading { file_id, reloaded_file_id, task_id, is_loaded, after_load, moved_to })
}

/// Locks the file's object, before anything is looked at: a load that takes this place, and what moves or deletes the file itself,
/// waits, or has committed.
async fn lock_object(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    uri: &str,
) -> Result<Uuid, tokio_postgres::Error> {
    let key = object_key(dataset_id, uri);
    let sql = "INSERT INTO longshore.object (key, dataset_id) VALUES ($1, $2)
               ON CONFLICT (key) DO UPDATE SET dataset_id = excluded.dataset_id";
    transaction.execute(sql, &[&key, &dataset_id]).await?;
    Ok(key)
}

/// What was done with the file after its last load, if that took it from its name, and where it is now.
async fn taken_away(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    uri: &str,
) -> Result<(Option<String>, Option<String>), tokio_postgres::Error> {
    let last = transaction
        .query_opt(
            "SELECT outcome, moved_to FROM longshore.after_load JOIN longshore.file ON file.id = file_id
             WHERE file.dataset_id = $1 AND uri = $2 ORDER BY file.id DESC LIMIT 1",
            &[&dataset_id, &uri],
        )
        .await?;
    let Some(last) = last else { return Ok((None, None)) };
    let outcome: Option<String> = last.try_get(0)?;
    Ok((outcome.filter(|outcome| outcome != "LEFT"), last.try_get(1)?))
}

async fn loaded_versions(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    uri: &str,
) -> Result<Vec<i64>, tokio_postgres::Error> {
    let rows = transaction
        .query(
            "SELECT file.id FROM longshore.file JOIN longshore.file_load ON file_load.file_id = file.id
             WHERE file.dataset_id = $1 AND file.uri = $2 AND file_load.removed_time IS NULL
             ORDER BY file.id",
            &[&dataset_id, &uri],
        )
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

async fn refuse_on_its_way(
    transaction: &Transaction<'_>,
    dataset_id: i32,
    uri: &str,
) -> Result<(), UndoError> {
    let waiting = transaction
        .query_opt(
            "SELECT file.id, coalesce(task.status, 'SCANNED')
             FROM longshore.file LEFT JOIN longshore.task ON task.id = file.task_id
             WHERE file.dataset_id = $1 AND file.uri = $2 AND NOT file.is_ignored
               AND (task.id IS NULL OR task.status IN ('NEW', 'PROCESSING'))
             ORDER BY file.id DESC LIMIT 1",
            &[&dataset_id, &uri],
        )
        .await?;
    let refusal = |row: Row| {
        let (id, status): (i64, String) = (row.get(0), row.get(1));
        format!(
            "a version of it is on its way ({status}, _file_id {id}); try again when it is LOADED or FAILED"
        )
    };
    waiting.map_or(Ok(()), |row| Err(UndoError::Refused(refusal(row))))
}
