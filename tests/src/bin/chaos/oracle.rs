//! What must hold once a site is drained, from the manifest's side.

use std::{pin::pin, time::Duration};

use anyhow::Context;
use futures_util::TryStreamExt;
use tokio_postgres::Client;

use crate::{
    census::{Census, Counted, Fate, Place},
    findings::Findings,
    service::Service,
    site::Site,
    wait, work,
};

/// How long nothing may move before the site counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// What has to settle by itself after the last COMMIT: acks, ends of transactions, released leases.
const SETTLING: Duration = Duration::from_secs(10);

/// The end of a scenario: lets the site drain, holds it against the manifest, and stops its processes. Adds what it finds to
/// `findings`. If that is nothing, or was
/// meant to be found, the site is removed.
pub(crate) async fn judge(
    mut site: Site<'_>,
    mut services: Vec<Service>,
    mut findings: Findings,
) -> anyhow::Result<Findings> {
    let mut violations = Vec::new();
    if let Some(left) = work::drain(&mut site, PATIENCE).await? {
        violations.push(format!("stuck: nothing moved for {PATIENCE:?}, and this is left: {left:?}"));
    }
    let client = site.client().await?;
    violations.extend(judged_rows(&client, &site, &mut findings).await?);
    violations.extend(tasks(&client).await?);
    violations.extend(file_counts(&client, &site).await?);
    violations.extend(sessions(&client).await?);
    violations.extend(stop(&mut services).await?);
    // Consumers are gone: a message that one of them had not answered is ready again.
    violations.extend(queues(&site).await?);
    findings.violations.extend(violations.into_iter().map(|violation| format!("{}: {violation}", site.name)));
    if findings.violations.is_empty() || site.is_sabotaged() {
        site.remove().await?;
    }
    Ok(findings)
}

/// The same where files are loaded in several versions, of which only the last one has its rows in the end, and all is at rest
/// already: the rows are held against the manifest.
pub(crate) async fn judge_rows(
    site: Site<'_>,
    mut services: Vec<Service>,
    mut findings: Findings,
) -> anyhow::Result<Findings> {
    let client = site.client().await?;
    let mut violations = judged_rows(&client, &site, &mut findings).await?;
    violations.extend(sessions(&client).await?);
    violations.extend(stop(&mut services).await?);
    findings.violations.extend(violations.into_iter().map(|violation| format!("{}: {violation}", site.name)));
    if findings.violations.is_empty() {
        site.remove().await?;
    }
    Ok(findings)
}

async fn judged_rows(
    client: &Client,
    site: &Site<'_>,
    findings: &mut Findings,
) -> anyhow::Result<Vec<String>> {
    let counted = count_rows(client, site).await?;
    findings.rows_checked += site.manifest.rows();
    findings.rows_lost += counted.lost.len() as u64;
    findings.rows_twice += counted.twice.len() as u64;
    Ok(rows(site, &counted))
}

async fn count_rows(client: &Client, site: &Site<'_>) -> anyhow::Result<Counted> {
    let found = [
        (
            Fate::Loaded,
            "SELECT concat_ws(',', chaos.file, chaos.number, amount, note), uri, _line
             FROM reporting.chaos LEFT JOIN longshore.file ON file.id = _file_id",
        ),
        (
            Fate::Rejected,
            "SELECT raw, uri, line FROM longshore.reject LEFT JOIN longshore.file ON file.id = file_id",
        ),
    ];
    let mut census = Census::new(&site.manifest);
    for (fate, sql) in found {
        let no_parameters: [&str; 0] = [];
        let mut rows = pin!(client.query_raw(sql, no_parameters).await.context("cannot read the rows")?);
        while let Some(row) = rows.try_next().await? {
            let uri: Option<&str> = row.get(1);
            census.see(fate, row.get(0), file_name(uri.unwrap_or_default()), row.get(2));
        }
    }
    Ok(census.finish())
}

fn file_name(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap_or_default()
}

/// Violations that are shown of a kind.
const SHOWN: usize = 5;

fn rows(site: &Site<'_>, counted: &Counted) -> Vec<String> {
    let shown = |places: &[Place]| {
        let mut shown = places
            .iter()
            .take(SHOWN)
            .map(|place| format!("row {} of {}", place.row, site.manifest.files[place.file].name));
        shown.by_ref().collect::<Vec<_>>().join(", ")
    };
    let mut violations = Vec::new();
    for (what, places) in [("lost", &counted.lost), ("there twice", &counted.twice)] {
        if !places.is_empty() {
            violations.push(format!("{} rows are {what}: {} …", places.len(), shown(places)));
        }
    }
    violations.extend(counted.wrong.iter().take(SHOWN).cloned());
    violations
}

/// Every task is LOADED, by one attempt.
async fn tasks(client: &Client) -> anyhow::Result<Vec<String>> {
    texts(
        client,
        "SELECT format('task %s is %s after %s attempts%s', task.id, status, task.attempt, ': ' || failure_msg)
         FROM longshore.task WHERE status <> 'LOADED'
         UNION ALL
         SELECT format('task %s was LOADED by %s attempts', task.id, count(attempt.attempt))
         FROM longshore.task LEFT JOIN longshore.attempt ON attempt.task_id = task.id AND outcome = 'LOADED'
         WHERE status = 'LOADED' GROUP BY task.id HAVING count(attempt.attempt) <> 1",
    )
    .await
}

/// Every file is recorded once, and its counts are what was generated.
async fn file_counts(client: &Client, site: &Site<'_>) -> anyhow::Result<Vec<String>> {
    let sql = "SELECT uri, coalesce(rows_read, -1), coalesce(rows_loaded, -1), coalesce(rows_rejected, -1)
               FROM longshore.file LEFT JOIN longshore.file_load ON file_id = file.id ORDER BY uri";
    let booked = client.query(sql, &[]).await?;
    let mut expected = site.manifest.files.iter();
    let mut violations = Vec::new();
    if booked.len() != site.manifest.files.len() {
        violations.push(format!(
            "{} files are booked instead of {}",
            booked.len(),
            site.manifest.files.len()
        ));
        return Ok(violations);
    }
    for row in booked {
        let Some(file) = expected.next() else { break };
        let (rows, rejected) = (file.rows.len() as i64, file.broken.len() as i64);
        let counts = (row.get::<_, i64>(1), row.get::<_, i64>(2), row.get::<_, i64>(3));
        if file_name(row.get(0)) != file.name || counts != (rows, rows - rejected, rejected) {
            violations.push(format!(
                "{} has {rows} rows, {rejected} of them broken, but is booked as {} with {} rows read, {} loaded, {} rejected",
                file.name, file_name(row.get(0)), counts.0, counts.1, counts.2
            ));
        }
    }
    Ok(violations)
}

/// No session is inside a transaction, and none holds a lease.
pub(crate) async fn sessions(client: &Client) -> anyhow::Result<Vec<String>> {
    let sql = "SELECT format('session %s of %s is in a transaction (%s): %s', pid, application_name, state, query)
               FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
                 AND xact_start IS NOT NULL
               UNION ALL
               SELECT format('session %s holds the lease of task %s', pid, task.id)
               FROM pg_locks JOIN longshore.task ON lease_key = (classid::bigint << 32) | objid::bigint
               WHERE locktype = 'advisory' AND objsubid = 1
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    // Ticks and heartbeats have their moments in a transaction; one that is found at every look is stuck.
    let mut left = Vec::new();
    let look = async || {
        left = texts(client, sql).await?;
        Ok(left.is_empty().then_some(()))
    };
    wait::within(SETTLING, look).await?;
    Ok(left)
}

pub(crate) async fn queues(site: &Site<'_>) -> anyhow::Result<Vec<String>> {
    let queue = site.queue();
    let mut violations = Vec::new();
    for (name, what) in [("tasks", "left"), ("dead", "dead-lettered")] {
        let mut ready = 0;
        let look = async || {
            ready = queue.counts(name).await?.ready;
            Ok((ready == 0).then_some(()))
        };
        if wait::within(SETTLING, look).await?.is_none() {
            violations.push(format!("messages that are {what}, in {}: {ready}", queue.name(name)));
        }
    }
    Ok(violations)
}

/// Ends the processes as an operator would; none may have ended before.
pub(crate) async fn stop(services: &mut [Service]) -> anyhow::Result<Vec<String>> {
    let mut violations = Vec::new();
    for service in &mut *services {
        if service.has_ended() {
            violations.push(format!("{} ended by itself", service.name()));
        }
        service.signal("TERM");
    }
    for service in services {
        let status = service.ended(Duration::from_secs(45)).await?;
        if !status.success() {
            violations.push(format!("{} did not stop in an orderly way: {status}", service.name()));
        }
    }
    Ok(violations)
}

async fn texts(client: &Client, sql: &str) -> anyhow::Result<Vec<String>> {
    Ok(client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}
