//! Loaded files are deleted and moved while their writers are not done, when Postgres forgets what it has not yet written, and
//! when it fails over to a replica that lags: no row may be lost with its file.

use std::{
    fs,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use longshore_tests::Progress;
use rand::RngExt;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::{
    findings::Findings,
    manifest::Size,
    oracle,
    service::{Kind, Service},
    site::{self, Site},
    wait,
    work::{self, Work},
    world::World,
};

const PROGRESS: [&str; 4] =
    ["writers that pause: delete", "writers that pause: move", "a crash", "a failover"];
/// Files of writers that pause.
const FILES: usize = 30;
/// What a writer pauses: longer than files settle, shorter than they stay.
const PAUSE_MILLISECONDS: std::ops::Range<u64> = 600..3_000;
const SETTLE: &str = "300ms";
const STAY: Duration = Duration::from_secs(8);
/// How far a replica may lag: files stay for longer.
const LAG: Duration = Duration::from_secs(20);
/// Some of a scanner's.
const TICKS: Duration = Duration::from_secs(4);
/// How long anything else may take.
const SOON: Duration = Duration::from_secs(90);

pub(crate) async fn run(world: &World) -> Findings {
    let progress = Progress::new("after-load", PROGRESS.len() as u64);
    let mut findings = Findings::default();
    for what in PROGRESS {
        progress.begin(what);
        let found = match what {
            "writers that pause: delete" => writers(world, "after-load-delete", true).await,
            "writers that pause: move" => writers(world, "after-load-move", false).await,
            "a crash" => crash(world).await,
            _ => failover(world).await,
        };
        findings.add(Findings::of(found, what));
    }
    findings
}

/// A site whose loaded files are deleted or moved so long after their load.
async fn site<'a>(world: &'a World, name: &str, delete: bool, stay: Duration) -> anyhow::Result<Site<'a>> {
    let site = Site::create(world, name, None).await?;
    let action = match delete {
        true => "after_load = \"delete\"\ndelete_with_rejects = true".to_owned(),
        false => format!("after_load = \"move\"\nmove_to = \"file://{}\"", site.archive().display()),
    };
    let settle = if stay.is_zero() { "0s" } else { SETTLE };
    let keys = format!("settle = \"{settle}\"\n{action}\nafter_load_delay = \"{}ms\"", stay.as_millis());
    site.apply(&[
        ("settle = \"0s\"", keys.as_str()),
        ("schedule = \"* * * * *\"", "schedule = \"continuous\""),
    ])
    .await?;
    Ok(site)
}

fn services(site: &mut Site<'_>) -> Vec<Service> {
    vec![site.start(Kind::Scanner, &[]), site.start(Kind::Worker, &[])]
}

/// Writers write a part under the last name, pause, and go on; what they wrote is loaded as it is found.
async fn writers(world: &World, name: &str, delete: bool) -> anyhow::Result<Findings> {
    let mut site = site(world, name, delete, STAY).await?;
    let services = services(&mut site);
    let mut writing = JoinSet::new();
    for _ in 0..FILES {
        let content = site.manifest.generate(Size::Small, &mut site.random);
        let file = site.manifest.files.last().map(|file| file.name.clone()).unwrap_or_default();
        let mut parts = Vec::new();
        let (mut from, mut rest) = (0, content.len());
        for _ in 0..3 {
            let length = site.random.random_range(0..rest);
            let pause = Duration::from_millis(site.random.random_range(PAUSE_MILLISECONDS));
            parts.push((content[from..from + length].to_owned(), pause));
            (from, rest) = (from + length, rest - length);
        }
        parts.push((content[from..].to_owned(), Duration::ZERO));
        let path = site.inbox().join(file);
        writing.spawn_blocking(move || write(&path, &parts));
    }
    while let Some(written) = writing.join_next().await {
        written??;
    }
    let client = site.client().await?;
    wait::until("the end of all files", SOON, async || all_are_taken(&client, &site).await).await?;
    let mut findings = Findings::default();
    let replaced = "SELECT count(*) FROM longshore.file_load WHERE removed_time IS NOT NULL";
    let replaced: i64 = client.query_one(replaced, &[]).await?.get(0);
    if replaced == 0 {
        findings.violations.push(format!("{name}: no file was loaded before its writer was done"));
    }
    findings.fault(if delete {
        "writers that pause, files deleted"
    } else {
        "writers that pause, files moved"
    });
    oracle::judge_rows(site, services, findings).await
}

/// With the file open all the time.
fn write(path: &Path, parts: &[(String, Duration)]) -> anyhow::Result<()> {
    let mut file = fs::File::create(path)?;
    for (part, pause) in parts {
        file.write_all(part.as_bytes())?;
        std::thread::sleep(*pause);
    }
    Ok(())
}

/// Whether nothing is left in the inbox and nothing on its way.
async fn all_are_taken(client: &Client, site: &Site<'_>) -> anyhow::Result<Option<()>> {
    let is_empty = fs::read_dir(site.inbox())?.next().is_none();
    let open: i64 = client
        .query_one("SELECT count(*) FROM longshore.after_load WHERE done_time IS NULL", &[])
        .await?
        .get(0);
    Ok((is_empty && open == 0 && Work::look(client, site).await?.for_worker().is_none()).then_some(()))
}

/// COMMITs need not be on disk to be seen, files go at once, and Postgres crashes when they are gone.
async fn crash(world: &World) -> anyhow::Result<Findings> {
    let mut site = site(world, "after-load-crash", true, Duration::ZERO).await?;
    let admin = site::connect(&world.database_url).await?;
    let database = site.database_name().to_owned();
    admin.batch_execute(&format!("ALTER DATABASE {database} SET synchronous_commit = off")).await?;
    admin.batch_execute("ALTER SYSTEM SET wal_writer_delay = '10s'").await?;
    admin.batch_execute("SELECT pg_reload_conf()").await?;
    let services = services(&mut site);
    let found = async {
        let client = site.client().await?;
        for _ in 0..5 {
            site.feed(&[Size::Small, Size::Small])?;
            let is_empty = async || Ok(fs::read_dir(site.inbox())?.next().is_none().then_some(()));
            wait::until("an empty inbox", SOON, is_empty).await?;
        }
        drop(client);
        world.servers.stop_postgres_immediately().await?;
        world.servers.start_postgres().await
    }
    .await;
    let admin = site::connect(&world.database_url).await?;
    admin.batch_execute("ALTER SYSTEM RESET wal_writer_delay").await?;
    admin.batch_execute("SELECT pg_reload_conf()").await?;
    found?;
    let mut findings = Findings::default();
    findings.fault("Postgres crashed after files were deleted");
    findings.database_restarts += 1;
    oracle::judge(site, services, findings).await
}

/// A replica takes over that lacks the last loads.
async fn failover(world: &World) -> anyhow::Result<Findings> {
    let mut site = site(world, "after-load-failover", true, LAG).await?;
    let found = match world.servers.start_standby().await {
        Ok(url) => fail_over(&mut site, &url).await,
        Err(error) => Err(error),
    };
    let judged = match found {
        Ok((services, findings)) => oracle::judge(site, services, findings).await,
        Err(error) => Err(error),
    };
    world.servers.stop_standby().await?;
    judged
}

async fn fail_over(site: &mut Site<'_>, url: &str) -> anyhow::Result<(Vec<Service>, Findings)> {
    let client = site.client().await?;
    let standby = site::connect(&site.database_url_on(url)?).await?;
    let mut before = services(site);
    site.feed(&[Size::Small, Size::Small, Size::Small])?;
    let taken = async || all_are_taken(&client, site).await;
    wait::until("the first files to be loaded and deleted", SOON, taken).await?;
    standby.batch_execute("ALTER SYSTEM SET primary_conninfo = ''").await?;
    standby.batch_execute("SELECT pg_reload_conf()").await?;
    let cut_off = async || {
        let row = standby.query_one("SELECT count(*) FROM pg_stat_wal_receiver", &[]).await?;
        Ok((row.get::<_, i64>(0) == 0).then_some(()))
    };
    wait::until("the replica to be cut off", SOON, cut_off).await?;
    let since = Instant::now();
    site.feed(&[Size::Small, Size::Small, Size::Large, Size::Small])?;
    let loaded = async || Ok(Work::look(&client, site).await?.is_done().then_some(()));
    wait::until("loads that the replica lacks", SOON, loaded).await?;
    // Ticks enough for a scanner that would take these files at once.
    tokio::time::sleep(TICKS).await;
    before.iter_mut().try_for_each(Service::kill)?;
    drop(before);
    anyhow::ensure!(
        since.elapsed() < LAG,
        "the machine is too slow: the replica lagged by more than {LAG:?}"
    );
    standby.batch_execute("SELECT pg_promote()").await?;
    // The messages of tasks that the replica does not know would be dead letters.
    site.queue().remove().await?;
    site.fail_over_to(url)?;
    let client = site.client().await?;
    let mut findings = Findings::default();
    if Work::look(&client, site).await?.unseen == 0 {
        findings.violations.push("failover: the replica lacked nothing".to_owned());
    }
    findings.fault("failover to a replica that lags");
    let after = services(site);
    work::drain(site, SOON).await?;
    Ok((after, findings))
}
