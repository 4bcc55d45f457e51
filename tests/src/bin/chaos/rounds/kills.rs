//! `kill -9` at random times under load, and how long it takes until somebody else goes on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_tests::Progress;
use rand::RngExt;
use tokio_postgres::Client;

use crate::{
    crew::{self, Crew},
    findings::Findings,
    manifest::Size,
    oracle,
    service::Kind,
    site::Site,
    wait,
    work::{State, Work},
    world::World,
};

/// A worker that was killed, and when, in seconds since 1970.
struct KilledWorker {
    process_id: u32,
    time: f64,
}

pub(crate) async fn run(world: &World) -> anyhow::Result<Findings> {
    let mut site = Site::create(world, "kills", None).await?;
    // A task may be under several of so many kills.
    site.set("LONGSHORE_MAX_DEATHS", "1000");
    let mut crew = Crew::start(&mut site);
    let client = site.client().await?;
    let mut findings = Findings::default();
    let mut killed_workers = Vec::new();
    let progress = Progress::new("kills", world.size.kills.into());
    while findings.kills() < world.size.kills {
        let work = crew::load(&mut site, &client).await?;
        let kind = match site.random.random_range(0..10) {
            0..6 => Kind::Worker,
            6..9 => Kind::Scanner,
            _ => Kind::Cron,
        };
        let state = match kind {
            Kind::Worker => kill_worker(&mut site, &mut crew, &client, &mut killed_workers).await?,
            Kind::Scanner => kill_scanner(&mut site, &mut crew, &client, &mut findings).await?,
            Kind::Cron => kill_cron(&mut site, &client).await?,
        };
        if let Some(state) = state {
            *findings.kills.entry((kind, state)).or_default() += 1;
            progress.begin(&format!("{kind} at {state}; {} tasks open", work.open_tasks()));
        }
    }
    findings.worker_takeovers = takeovers(&client, &killed_workers).await?;
    oracle::judge(site, crew.services, findings).await
}

/// Kills a worker; gives the state of its work, or of the work that waits for it.
async fn kill_worker(
    site: &mut Site<'_>,
    crew: &mut Crew,
    client: &Client,
    killed: &mut Vec<KilledWorker>,
) -> anyhow::Result<Option<State>> {
    let place = crew.any(Kind::Worker, site);
    crew::random_moment(site, 1000).await;
    let process_id = crew.services[place].id();
    let state = match running(client, process_id).await? {
        0 => Work::look(client, site).await?.for_worker(),
        _ => Some(State::Processing),
    };
    crew.services[place].kill()?;
    killed.push(KilledWorker { process_id, time: now() });
    crew.replace(place, site);
    Ok(state)
}

/// Kills one of the scanners while there is something to publish, and waits until that is published.
async fn kill_scanner(
    site: &mut Site<'_>,
    crew: &mut Crew,
    client: &Client,
    findings: &mut Findings,
) -> anyhow::Result<Option<State>> {
    // The cron records a small file and leaves its batch, which is not full, to the services.
    site.feed(&[Size::Small])?;
    site.scan(&[]).await?;
    let place = crew.any(Kind::Scanner, site);
    crew::random_moment(site, 1500).await;
    let state = Work::look(client, site).await?.for_scanner();
    crew.services[place].kill()?;
    let time = now();
    // Looked at again: it may have been done in the meantime.
    if Work::look(client, site).await?.waits_for_a_tick() {
        // A task that a worker claims before the relay has marked it stays without the mark.
        let goes_on = "SELECT count(*) FROM longshore.task
                       LEFT JOIN longshore.attempt ON task_id = task.id AND attempt.attempt = 1
                       WHERE published_time > to_timestamp($1::float8)
                          OR published_time IS NULL AND started_time > to_timestamp($1::float8)";
        let published = async || {
            let tasks: i64 = client.query_one(goes_on, &[&time]).await?.get(0);
            Ok((tasks > 0).then(now))
        };
        match wait::within(Duration::from_secs(30), published).await? {
            Some(published) => findings.scanner_takeovers.push(published - time),
            None => {
                let violation = format!("{}: no scanner published anything for 30 s", site.name);
                findings.violations.push(violation);
            }
        }
    }
    crew.replace(place, site);
    Ok(state)
}

/// Kills a `longshore scan` before it has ended.
async fn kill_cron(site: &mut Site<'_>, client: &Client) -> anyhow::Result<Option<State>> {
    site.feed(&[Size::Small, Size::Large])?;
    let mut scan = site.start(Kind::Cron, &[]);
    crew::random_moment(site, 120).await;
    let state = Work::look(client, site).await?.for_scanner();
    if scan.has_ended() {
        return Ok(None);
    }
    scan.kill()?;
    Ok(state)
}

/// How many tasks the worker has claimed and not settled.
async fn running(client: &Client, process_id: u32) -> anyhow::Result<i64> {
    let sql = "SELECT count(*) FROM longshore.task
               JOIN longshore.attempt ON task_id = task.id AND attempt.attempt = task.attempt
               WHERE status = 'PROCESSING' AND worker LIKE $1";
    Ok(client.query_one(sql, &[&worker_pattern(process_id)]).await?.get(0))
}

/// A worker's name is its host, its process id and a random part.
fn worker_pattern(process_id: u32) -> String {
    format!("%-{process_id}-%")
}

/// For each attempt that ended with its worker: seconds until the next attempt at the task began.
async fn takeovers(client: &Client, killed: &[KilledWorker]) -> anyhow::Result<Vec<f64>> {
    let sql = "SELECT extract(epoch FROM next.started_time)::float8
               FROM longshore.attempt AS dead
               JOIN longshore.attempt AS next ON next.task_id = dead.task_id AND next.attempt = dead.attempt + 1
               WHERE dead.worker LIKE $1 AND dead.outcome = 'DIED'";
    let mut seconds = Vec::new();
    for worker in killed {
        let next = client.query(sql, &[&worker_pattern(worker.process_id)]).await?;
        seconds.extend(next.iter().map(|row| row.get::<_, f64>(0) - worker.time));
    }
    Ok(seconds)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
