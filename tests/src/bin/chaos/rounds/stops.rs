//! Processes that are stopped: by SIGSTOP, so that they hold on to what they have, or by SIGTERM.

use std::time::Duration;

use longshore_tests::Progress;
use tokio_postgres::Client;

use crate::{
    findings::Findings,
    manifest::Size,
    oracle,
    service::{Kind, Service},
    site::Site,
    wait,
    work::Work,
    world::World,
};

/// A file whose load takes some seconds where the store is slow: 19 chunks.
const LONG_FILE: Size = Size::Rows(8_000);

/// 4 s for that file, the first of them before its COPY begins.
const SLOW: &str = "worker::read_chunk=sleep(200)";
/// 20 s.
const VERY_SLOW: &str = "worker::read_chunk=sleep(1000)";

/// How long anything that needs no patience may take.
const SOON: Duration = Duration::from_secs(60);

pub(crate) async fn run(world: &World) -> Findings {
    let progress = Progress::new("stops", 1);
    progress.begin("SIGSTOP of a loading worker and of a scanner, SIGTERM once and twice");
    // They mostly wait.
    let (worker, scanner, once, twice) = tokio::join!(
        Box::pin(stopped_worker(world)),
        Box::pin(stopped_scanner(world)),
        Box::pin(terminated(world)),
        Box::pin(terminated_twice(world)),
    );
    let mut findings = Findings::default();
    for (what, found) in [
        ("SIGSTOP of a worker", worker),
        ("SIGSTOP of a scanner", scanner),
        ("SIGTERM", once),
        ("a second SIGTERM", twice),
    ] {
        findings.add(Findings::of(found, what));
    }
    findings
}

/// A worker that is stopped in mid-load beyond the stall limit loses its task, and loads nothing when it wakes up.
async fn stopped_worker(world: &World) -> anyhow::Result<Findings> {
    let mut site = site(world, "stops-worker").await?;
    let (mut sleeper, client) = in_mid_copy(&mut site, SLOW).await?;
    sleeper.signal("STOP");
    let mut services = vec![site.start(Kind::Scanner, &[]), site.start(Kind::Worker, &[])];
    is_done("a stopped worker's task is loaded by another", &site, &client, world.size.stall_limit + SOON)
        .await?;
    sleeper.signal("CONT");
    sleeper.prints("the load ended early", SOON).await?;
    let mut findings = Findings::default();
    if sleeper.log().contains("committed") {
        findings.violations.push(format!("{}: a worker that was taken over has committed", site.name));
    }
    findings.fault("SIGSTOP of a loading worker");
    // It goes on as any other.
    site.feed(&[Size::Small, Size::Large])?;
    services.push(sleeper);
    oracle::judge(site, services, findings).await
}

/// A scanner that is stopped while it holds a dataset's lock does not keep others from their work for longer than the stall limit.
async fn stopped_scanner(world: &World) -> anyhow::Result<Findings> {
    let mut site = site(world, "stops-scanner").await?;
    site.feed(&[Size::Small, Size::Small])?;
    let mut sleeper = site.start(Kind::Scanner, &["scanner::before_batch=1*return(pause)"]);
    sleeper.prints("fail point scanner::before_batch: pause", SOON).await?;
    sleeper.signal("STOP");
    let mut services = vec![site.start(Kind::Scanner, &[]), site.start(Kind::Worker, &[])];
    let client = site.client().await?;
    is_done("a stopped scanner's files are loaded", &site, &client, world.size.stall_limit + SOON).await?;
    sleeper.signal("CONT");
    let mut findings = Findings::default();
    findings.fault("SIGSTOP of a scanner");
    site.feed(&[Size::Small])?;
    services.push(sleeper);
    oracle::judge(site, services, findings).await
}

/// SIGTERM in mid-load: the load is finished within the grace.
async fn terminated(world: &World) -> anyhow::Result<Findings> {
    let mut site = site(world, "stops-terminated").await?;
    let (mut worker, client) = in_mid_copy(&mut site, SLOW).await?;
    worker.signal("TERM");
    let status = worker.ended(SOON).await?;
    let mut findings = Findings::default();
    findings.fault("SIGTERM in mid-load");
    if !status.success() || Work::look(&client, &site).await?.for_worker().is_some() {
        findings.violations.push(format!("{}: {} left its load, {status}", site.name, worker.name()));
    }
    let services = vec![site.start(Kind::Scanner, &[]), site.start(Kind::Worker, &[])];
    oracle::judge(site, services, findings).await
}

/// A second SIGTERM: it ends at once, and another worker loads the task.
async fn terminated_twice(world: &World) -> anyhow::Result<Findings> {
    let mut site = site(world, "stops-terminated-twice").await?;
    let (mut worker, _) = in_mid_copy(&mut site, VERY_SLOW).await?;
    worker.signal("TERM");
    worker.prints("a second signal stops at once", SOON).await?;
    worker.signal("TERM");
    let mut findings = Findings::default();
    findings.fault("second SIGTERM in mid-load");
    // The load would take some 15 s more.
    if worker.ended(Duration::from_secs(5)).await.is_err() {
        findings.violations.push(format!("{}: {} goes on after a second SIGTERM", site.name, worker.name()));
    }
    let services = vec![site.start(Kind::Scanner, &[]), site.start(Kind::Worker, &[])];
    oracle::judge(site, services, findings).await
}

async fn site<'a>(world: &'a World, name: &str) -> anyhow::Result<Site<'a>> {
    let mut site = Site::create(world, name, None).await?;
    site.set("LONGSHORE_STALL_LIMIT", &format!("{}s", world.size.stall_limit.as_secs()));
    Ok(site)
}

/// A worker that has begun the COPY of the only file.
async fn in_mid_copy(site: &mut Site<'_>, slow: &str) -> anyhow::Result<(Service, Client)> {
    site.feed(&[LONG_FILE])?;
    site.publish_all().await?;
    let worker = site.start(Kind::Worker, &[slow]);
    let client = site.client().await?;
    wait::until("a COPY", SOON, async || copying_backend(&client).await).await?;
    Ok((worker, client))
}

/// A backend that is in the middle of a COPY.
pub(super) async fn copying_backend(client: &Client) -> anyhow::Result<Option<i32>> {
    let sql = "SELECT pid FROM pg_stat_activity
               WHERE datname = current_database() AND state = 'active' AND query LIKE 'COPY %'";
    Ok(client.query(sql, &[]).await?.first().map(|row| row.get(0)))
}

async fn is_done(what: &str, site: &Site<'_>, client: &Client, limit: Duration) -> anyhow::Result<()> {
    let look = async || Ok(Work::look(client, site).await?.for_worker().is_none().then_some(()));
    wait::until(&format!("{}: {what}", site.name), limit, look).await
}
