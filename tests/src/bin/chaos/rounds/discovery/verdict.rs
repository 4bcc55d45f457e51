//! What must hold for every name that the folder ever had.

use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
};

use anyhow::Context;
use futures_util::TryStreamExt;
use tokio_postgres::Client;
use url::Url;

use super::inbox::{Inbox, Name};
use crate::{findings::Findings, manifest::hash};

/// Violations that are shown of a kind.
const SHOWN: usize = 5;

/// How often each row was found: by name, content and row, loaded or rejected.
type Found = HashMap<(String, usize), Vec<u8>>;

/// A name that is there has the rows of what it holds, each once; one that is gone has those of one content that it held,
/// or none.
pub(super) async fn rows(
    client: &Client,
    inbox: &Inbox,
    findings: &mut Findings,
) -> anyhow::Result<Vec<String>> {
    let (found, mut violations) = find(client, inbox).await?;
    violations.truncate(SHOWN);
    let mut by_name: HashMap<&str, BTreeSet<usize>> = HashMap::new();
    for (name, content) in found.keys() {
        by_name.entry(name).or_default().insert(*content);
    }
    for (name, Name { holds, held }) in &inbox.names {
        let loaded = by_name.get(name.as_str()).cloned().unwrap_or_default();
        let expected = match holds {
            Some(holds) => Some(*holds),
            None => loaded.iter().copied().find(|content| held.contains(content)),
        };
        if loaded.iter().any(|content| Some(*content) != expected) {
            violations.push(format!("{name} holds {holds:?} and held {held:?}, but has rows of {loaded:?}"));
        }
        let Some(expected) = expected else { continue };
        let rows = inbox.contents.files[expected].rows.len();
        let counts = found.get(&(name.clone(), expected)).cloned().unwrap_or_else(|| vec![0; rows]);
        let lost = counts.iter().filter(|count| **count == 0).count() as u64;
        let twice = counts.iter().filter(|count| **count > 1).count() as u64;
        findings.rows_checked += rows as u64;
        findings.rows_lost += lost;
        findings.rows_twice += twice;
        if lost + twice > 0 {
            violations
                .push(format!("{name}: {lost} rows lost and {twice} twice of {rows} of content {expected}"));
        }
    }
    let left_out = violations.len().saturating_sub(2 * SHOWN);
    violations.truncate(2 * SHOWN);
    violations.extend((left_out > 0).then(|| format!("… and {left_out} more of this kind")));
    Ok(violations)
}

async fn find(client: &Client, inbox: &Inbox) -> anyhow::Result<(Found, Vec<String>)> {
    let statements = [
        (
            false,
            "SELECT uri, concat_ws(',', chaos.file, chaos.number, amount, note)
                 FROM reporting.chaos LEFT JOIN longshore.file ON file.id = _file_id",
        ),
        (true, "SELECT uri, raw FROM longshore.reject LEFT JOIN longshore.file ON file.id = file_id"),
    ];
    let (mut found, mut wrong) = (Found::new(), Vec::new());
    for (is_rejected, sql) in statements {
        let no_parameters: [&str; 0] = [];
        let mut rows = pin!(client.query_raw(sql, no_parameters).await.context("cannot read the rows")?);
        while let Some(row) = rows.try_next().await? {
            let (uri, line): (Option<&str>, &str) = (row.get(0), row.get(1));
            let name = inbox.name_of(uri.unwrap_or_default()).unwrap_or_default();
            let Some((content, number)) = place(inbox, line, is_rejected) else {
                wrong.push(format!("{name} has a row that nobody wrote as such (rejected: {is_rejected})"));
                continue;
            };
            let rows = inbox.contents.files[content].rows.len();
            let counts = found.entry((name, content)).or_insert_with(|| vec![0_u8; rows]);
            counts[number] = counts[number].saturating_add(1);
        }
    }
    Ok((found, wrong))
}

/// The content and the row that this line is, if it was generated, and generated broken if it was rejected.
fn place(inbox: &Inbox, line: &str, is_rejected: bool) -> Option<(usize, usize)> {
    let mut fields = line.split(',');
    let mut number = || fields.next()?.parse::<usize>().ok();
    let (content, row) = (number()?, number()?);
    let file = inbox.contents.files.get(content)?;
    let is_right = *file.rows.get(row)? == hash(line) && file.broken.contains(&row) == is_rejected;
    is_right.then_some((content, row))
}

impl Inbox {
    /// The path below the root of a file's URI.
    fn name_of(&self, uri: &str) -> Option<String> {
        let path = Url::parse(uri).ok()?.to_file_path().ok()?;
        Some(path.strip_prefix(self.root()).ok()?.to_str()?.to_owned())
    }
}

/// What happened to files, and how often: a round in which one of these never did has proved little.
pub(super) async fn happened(client: &Client, findings: &mut Findings) -> anyhow::Result<Vec<String>> {
    let counted = [
        (
            "a loaded version was replaced",
            "SELECT count(*) FROM longshore.file_load WHERE removed_time IS NOT NULL",
        ),
        (
            "a version was gone or changed before it was loaded",
            "SELECT count(*) FROM longshore.task WHERE status = 'FAILED'",
        ),
        (
            "a file had not settled",
            "SELECT sum((files_skipped ->> 'settling')::bigint)::bigint FROM longshore.scan",
        ),
        (
            "a version waited for an earlier one",
            "SELECT sum((files_skipped ->> 'earlier_version_on_its_way')::bigint)::bigint FROM longshore.scan",
        ),
        (
            "a scan was cut off",
            "SELECT count(*) FROM longshore.scan WHERE outcome IS DISTINCT FROM 'COMPLETE'",
        ),
    ];
    let mut never = Vec::new();
    for (what, sql) in counted {
        let count: Option<i64> = client.query_one(sql, &[]).await?.get(0);
        let count = u32::try_from(count.unwrap_or(0))?;
        *findings.faults.entry(what).or_default() += count;
        never.extend((count == 0).then(|| format!("it never happened that {what}")));
    }
    Ok(never)
}

/// What the books say by themselves: one version of a name is loaded at most, and it is the one that its object names.
pub(super) async fn books(client: &Client) -> anyhow::Result<Vec<String>> {
    let sql = "SELECT format('%s has the rows of %s versions', uri, count(*))
               FROM longshore.file_load JOIN longshore.file ON file.id = file_id
               WHERE removed_time IS NULL
               GROUP BY dataset_id, uri HAVING count(*) > 1
               UNION ALL
               SELECT format('file %s is loaded, but no object names it', file_id)
               FROM longshore.file_load
               WHERE removed_time IS NULL AND file_id NOT IN (SELECT file_id FROM longshore.object WHERE file_id IS NOT NULL)
               UNION ALL
               SELECT format('file %s was loaded by %s rows, but its rows in the table are %s', file_id, rows_loaded, there)
               FROM longshore.file_load
               LEFT JOIN (SELECT _file_id, count(*) AS there FROM reporting.chaos GROUP BY _file_id) AS counted
                    ON _file_id = file_id
               WHERE coalesce(there, 0) <> CASE WHEN removed_time IS NULL THEN rows_loaded ELSE 0 END
               LIMIT 10";
    Ok(client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}
