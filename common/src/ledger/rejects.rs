//! Reading the reject table.

use futures_util::{Stream, TryStreamExt};
use serde::Serialize;
use tokio_postgres::Client;

/// Whose rejects.
#[derive(Debug, Clone)]
pub enum RejectScope {
    /// Of all files of this dataset.
    Dataset(i32),
    /// Of all versions of this URI.
    Uri(String),
}

/// Takes the name of a dataset or the URI of a file; `None` if it is neither.
pub async fn find_reject_scope(
    client: &Client,
    text: &str,
) -> Result<Option<RejectScope>, tokio_postgres::Error> {
    if let Some(row) = client.query_opt("SELECT id FROM longshore.dataset WHERE name = $1", &[&text]).await? {
        return Ok(Some(RejectScope::Dataset(row.try_get(0)?)));
    }
    let known =
        client.query_one("SELECT EXISTS (SELECT FROM longshore.file WHERE uri = $1)", &[&text]).await?;
    Ok(known.try_get::<_, bool>(0)?.then(|| RejectScope::Uri(text.to_owned())))
}

/// A rejected row with its file.
#[derive(Debug, Serialize)]
pub struct RejectRow {
    /// Full URI.
    pub file_name: String,
    /// Physical line on which the record begins, from 1.
    pub line: i32,
    /// In the decompressed file.
    pub byte_offset: i64,
    /// The column to blame, if there is one.
    pub column: Option<String>,
    /// The rule's name.
    pub rule: String,
    /// What was expected.
    pub reason: String,
    /// The record's text, cut at 8 KiB.
    pub raw: String,
}

/// The rejects of a scope by file, as they were found, and line, at most `limit` if one is given; they stream. In the order of the
/// table's key, so that a few need no look at all of them.
pub async fn read_rejects(
    client: &Client,
    scope: &RejectScope,
    limit: Option<i64>,
) -> Result<impl Stream<Item = Result<RejectRow, tokio_postgres::Error>>, tokio_postgres::Error> {
    let (dataset_id, uri) = match scope {
        RejectScope::Dataset(id) => (Some(*id), None),
        RejectScope::Uri(uri) => (None, Some(uri.as_str())),
    };
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&dataset_id, &uri, &limit];
    let rows = client
        .query_raw(
            "SELECT file.uri, reject.line, reject.byte_offset, reject.column_name, reject.rule, reject.reason, reject.raw
             FROM longshore.reject
             JOIN longshore.file ON file.id = reject.file_id
             WHERE ($1::integer IS NULL OR file.dataset_id = $1) AND ($2::text IS NULL OR file.uri = $2)
             ORDER BY reject.file_id, reject.line
             LIMIT $3",
            parameters,
        )
        .await?;
    Ok(rows.and_then(|row| async move {
        Ok(RejectRow {
            file_name: row.try_get(0)?,
            line: row.try_get(1)?,
            byte_offset: row.try_get(2)?,
            column: row.try_get(3)?,
            rule: row.try_get(4)?,
            reason: row.try_get(5)?,
            raw: row.try_get(6)?,
        })
    }))
}
