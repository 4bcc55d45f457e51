//! A file that is not known: what scans said of it when they left it out.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, types::Json};

use crate::ledger::ScanKind;

/// The newest complete scan or audit of a dataset.
#[derive(Debug)]
pub struct LastLook {
    /// Which of them.
    pub kind: ScanKind,
    /// When it began.
    pub started_time: DateTime<Utc>,
    /// Why it left the file out, if it named it: those that could not be read; an audit the first of every reason.
    pub reason: Option<String>,
}

/// The last looks at a dataset, the newest first, with what they said about the file with this URI.
pub async fn last_looks(
    client: &Client,
    dataset_id: i32,
    uri: &str,
) -> Result<Vec<LastLook>, tokio_postgres::Error> {
    let mut looks = Vec::new();
    for kind in [ScanKind::Scan, ScanKind::Audit] {
        let last = client
            .query_opt(
                "SELECT started_time, skipped_uris FROM longshore.scan
                 WHERE dataset_id = $1 AND kind = $2 AND outcome = 'COMPLETE' ORDER BY id DESC LIMIT 1",
                &[&dataset_id, &kind.name()],
            )
            .await?;
        let Some(last) = last else { continue };
        let Json(skipped) = last.try_get::<_, Json<BTreeMap<String, Vec<String>>>>("skipped_uris")?;
        let reason = skipped.into_iter().find(|(_, uris)| uris.iter().any(|skipped| skipped == uri));
        let reason = reason.map(|(reason, _)| reason);
        looks.push(LastLook { kind, started_time: last.try_get("started_time")?, reason });
    }
    looks.sort_by_key(|look| std::cmp::Reverse(look.started_time));
    Ok(looks)
}

/// The file that was moved to this URI after its load.
pub async fn moved_from(client: &Client, uri: &str) -> Result<Option<String>, tokio_postgres::Error> {
    let sql =
        "SELECT uri FROM longshore.after_load JOIN longshore.file ON file.id = file_id WHERE moved_to = $1";
    client.query_opt(&format!("{sql} LIMIT 1"), &[&uri]).await?.map(|row| row.try_get(0)).transpose()
}
