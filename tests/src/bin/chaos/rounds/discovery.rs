//! Files that are written, renamed, overwritten and back-dated while the folder is scanned and scanners are killed: none is
//! missed, none is loaded twice, and the rows of each name are those of one version.

mod inbox;
mod verdict;

use std::{sync::Arc, time::Duration};

use longshore_tests::Progress;
use rand::RngExt;
use tokio_postgres::Client;

use crate::{
    findings::Findings,
    oracle,
    service::{Kind, Service},
    site::Site,
    wait,
    work::{self, Work},
    world::World,
};
use inbox::{Inbox, Pace};

/// Files that are written in pieces pause for longer than this at times.
const SETTLE: Duration = Duration::from_millis(300);
/// So that a kill lands in the middle of a scan: each page of up to 1,000 entries takes this long.
const SLOW_SCAN: &str = "scanner::before_enlist=sleep(50)";
const WORKERS: usize = 2;
/// What a scan of the whole folder and its tasks may take at the end.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(world: &World) -> anyhow::Result<Findings> {
    let mut site = Site::create(world, "discovery", None).await?;
    site.apply(&[("settle = \"0s\"", &format!("settle = \"{}ms\"", SETTLE.as_millis()))]).await?;
    let size = world.size.discovery;
    let client = site.client().await?;
    let mut services = vec![site.start(Kind::Scanner, &[SLOW_SCAN])];
    services.extend((0..WORKERS).map(|_| site.start(Kind::Worker, &[])));
    let pace = Arc::new(Pace::default());
    let mut inbox = Inbox::new(site.inbox(), world.random("discovery-inbox"));
    let feeding = tokio::task::spawn_blocking({
        let pace = pace.clone();
        move || inbox.live(size.files, &pace).map(|()| inbox)
    });
    let mut findings = Findings { discovery_files: size.files, ..Findings::default() };
    let progress = Progress::new("discovery", u64::from(size.scans + size.kills));
    // First the folder is only scanned, then it is watched as well.
    let mut is_watched = false;
    let files_per_scan = size.files.div_ceil(size.scans);
    loop {
        findings.discovery_scans = complete_scans(&client).await?;
        if findings.discovery_scans >= size.scans && findings.discovery_kills >= size.kills {
            break;
        }
        if !is_watched && 2 * findings.discovery_scans >= size.scans {
            site.apply(&[("schedule = \"* * * * *\"", "schedule = \"continuous\"")]).await?;
            is_watched = true;
        }
        pace.allow(files_per_scan * (findings.discovery_scans + 1));
        let is_kill = findings.discovery_kills * size.scans <= findings.discovery_scans * size.kills;
        match is_kill && findings.discovery_kills < size.kills {
            true => findings.discovery_kills += kill_one(&mut site, &client, &mut services[0]).await?,
            false => site.scan(&[]).await?,
        }
        progress.begin(&format!("{} scans, {} kills", findings.discovery_scans, findings.discovery_kills));
    }
    pace.allow(size.files);
    let inbox = feeding.await??;
    let mut violations = come_to_rest(&mut site, &client).await?;
    violations.extend(verdict::rows(&client, &inbox, &mut findings).await?);
    violations.extend(verdict::books(&client).await?);
    let never = verdict::happened(&client, &mut findings).await?;
    // In a short round that may be chance.
    violations.extend(never.into_iter().filter(|_| world.size.is_full));
    violations.extend(oracle::sessions(&client).await?);
    violations.extend(oracle::stop(&mut services).await?);
    violations.extend(oracle::queues(&site).await?);
    findings.violations.extend(violations.into_iter().map(|violation| format!("discovery: {violation}")));
    if findings.violations.is_empty() {
        site.remove().await?;
    }
    Ok(findings)
}

/// Kills a scan, or the service, at a random time of one; gives how many were killed.
async fn kill_one(site: &mut Site<'_>, client: &Client, service: &mut Service) -> anyhow::Result<u32> {
    let mut scan = site.start(Kind::Cron, &[SLOW_SCAN]);
    // Either of them may be the one that scans.
    let scanning = async || Ok(is_scanning(client).await?.then_some(()));
    wait::within(Duration::from_secs(1), scanning).await?;
    let moment = site.random.random_range(0..400);
    tokio::time::sleep(Duration::from_millis(moment)).await;
    if site.random.random_ratio(1, 2) {
        service.kill()?;
        *service = site.start(Kind::Scanner, &[SLOW_SCAN]);
        scan.ended(PATIENCE).await?;
        return Ok(1);
    }
    if scan.has_ended() {
        return Ok(0);
    }
    scan.kill()?;
    Ok(1)
}

/// Whether a scan has just begun.
async fn is_scanning(client: &Client) -> anyhow::Result<bool> {
    let sql = "SELECT EXISTS (
                   SELECT FROM longshore.scan WHERE finished_time IS NULL AND started_time > now() - interval '1s'
               )";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Scans that saw everything.
async fn complete_scans(client: &Client) -> anyhow::Result<u32> {
    let sql = "SELECT count(*) FROM longshore.scan WHERE outcome = 'COMPLETE'";
    let scans: i64 = client.query_one(sql, &[]).await?.get(0);
    Ok(u32::try_from(scans)?)
}

/// Drains and audits until an audit finds everything known and nothing waits; gives what is left.
async fn come_to_rest(site: &mut Site<'_>, client: &Client) -> anyhow::Result<Vec<String>> {
    let mut last = String::new();
    let resting = async || {
        if let Some(left) = work::drain(site, PATIENCE).await? {
            anyhow::bail!("nothing moved for {PATIENCE:?}, and this is left: {left:?}");
        }
        let report = site.audit_report().await?;
        let counts = &report["scans"][0]["counts"];
        last = counts.to_string();
        let waits = |reason: &str| counts["skipped"].get(reason).is_some();
        let is_known = counts["new"] == 0 && !waits("settling") && !waits("earlier_version_on_its_way");
        // The service scans as well: what it recorded after the drain is known to the audit, and not loaded yet.
        let is_quiet = is_known && Work::look(client, site).await?.is_done();
        Ok(is_quiet.then_some(()))
    };
    Ok(match wait::within(3 * PATIENCE, resting).await? {
        Some(()) => Vec::new(),
        None => vec![format!("audits go on to find something: {last}")],
    })
}
