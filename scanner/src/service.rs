//! The scanner service: scans by schedule; batches, rescues and relays on its own clock.

use std::{collections::HashSet, time::Duration};

use chrono::Utc;
use clap::Args;
use deadpool_postgres::{Object, Pool};
use longshore_common::{backoff::Backoff, database, ledger, ledger::StoredDataset, queue::Queue};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    relay::Relay,
    rescue::Rescuer,
    scan::{self, ScanOptions},
    schedule::DueTimes,
};

/// Settings of the scanner.
#[derive(Debug, Clone, Args)]
pub struct ScannerConfig {
    /// How often to relay, rescue and send partial batches, such as 1s
    #[arg(long, env = "LONGSHORE_TICK", default_value = "1s", value_parser = tick, value_name = "DURATION")]
    pub tick: Duration,

    /// After how many dead workers a task is FAILED as poison
    #[arg(long, env = "LONGSHORE_MAX_DEATHS", default_value_t = 5, value_parser = clap::value_parser!(i32).range(1..=1000), value_name = "WORKERS")]
    pub max_deaths: i32,
}

fn tick(text: &str) -> Result<Duration, String> {
    let allowed = "allowed is 10ms to 1h";
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; {allowed}"))?;
    let is_allowed = (Duration::from_millis(10)..=Duration::from_secs(3600)).contains(&duration);
    if is_allowed { Ok(duration) } else { Err(allowed.to_owned()) }
}

/// Scans that run at once; other datasets wait for their turn.
const MAX_SCANS: usize = 4;

/// Connections the service needs: one a scan, one for the books, one for the relay, and one for the list of datasets.
pub const POOL_SIZE: usize = MAX_SCANS + 3;

/// Runs until `stop` is cancelled; then finishes the batch and the confirms in hand and returns.
pub async fn run(pool: Pool, queue: Queue, config: ScannerConfig, stop: CancellationToken) {
    info!(tick = %humantime::format_duration(config.tick), "scanner started");
    // The relay waits for the broker, so it has a loop of its own: an outage there delays no scan and no rescue.
    let relay = tokio::spawn(relay_loop(pool.clone(), queue, config.tick, stop.clone()));
    books_loop(&pool, &config, &stop).await;
    if let Err(error) = relay.await {
        error!("the relay ended abnormally: {error}");
    }
    info!("scanner stopped: told to");
}

async fn relay_loop(pool: Pool, queue: Queue, tick: Duration, stop: CancellationToken) {
    let mut relay = Relay::new(queue);
    let mut trouble = Trouble::new("publishing tasks");
    while trouble.pause(tick, &stop).await {
        trouble.note(relay_tick(&pool, &mut relay).await);
    }
    relay.close().await;
}

async fn relay_tick(pool: &Pool, relay: &mut Relay) -> anyhow::Result<()> {
    let client = pool.get().await?;
    let published = relay.publish_due(&client).await;
    match published {
        Ok(0) => Ok(()),
        Ok(tasks) => {
            info!(tasks, "published");
            Ok(())
        }
        Err(error) => {
            database::discard(client);
            Err(error)
        }
    }
}

async fn books_loop(pool: &Pool, config: &ScannerConfig, stop: &CancellationToken) {
    let mut trouble = Trouble::new("reading and writing the books");
    let mut due_times = DueTimes::default();
    let mut rescuer = Rescuer::new(config.max_deaths);
    let mut scans = RunningScans::default();
    while trouble.pause(config.tick, stop).await {
        scans.reap();
        let outcome = books_tick(pool, &mut rescuer, &mut due_times, &mut scans, stop).await;
        trouble.note(outcome);
    }
    scans.finish().await;
}

async fn books_tick(
    pool: &Pool,
    rescuer: &mut Rescuer,
    due_times: &mut DueTimes,
    scans: &mut RunningScans,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut client = pool.get().await?;
    let outcome = async {
        for dataset in ledger::datasets(&client).await? {
            if scans.is_running(dataset.id) {
                continue;
            }
            let now = Utc::now();
            if scans.has_room() && due_times.is_due(&client, &dataset, now).await? {
                due_times.started(&dataset, now);
                scans.start(pool.clone(), dataset, stop.clone());
            } else {
                scan::send_due_batches(&mut client, &dataset).await?;
            }
        }
        rescuer.look(&client).await?;
        Ok(())
    }
    .await;
    if outcome.is_err() {
        database::discard(client);
    }
    outcome
}

/// The scans that this service runs right now.
#[derive(Default)]
struct RunningScans {
    ids: HashSet<i32>,
    tasks: JoinSet<i32>,
}

impl RunningScans {
    fn is_running(&self, dataset_id: i32) -> bool {
        self.ids.contains(&dataset_id)
    }

    fn has_room(&self) -> bool {
        self.ids.len() < MAX_SCANS
    }

    fn start(&mut self, pool: Pool, dataset: StoredDataset, stop: CancellationToken) {
        self.ids.insert(dataset.id);
        self.tasks.spawn(async move {
            let id = dataset.id;
            match scan_on(&pool, &dataset, &stop).await {
                Ok(()) => {}
                Err(_) if stop.is_cancelled() => {
                    info!(dataset = %dataset.spec.name, "the scan is left to the next start");
                }
                Err(error) => {
                    error!(dataset = %dataset.spec.name, "the scan failed, the next one tries again: {error:#}");
                }
            }
            id
        });
    }

    /// Forgets the scans that have ended.
    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            self.forget(ended);
        }
    }

    async fn finish(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<i32, tokio::task::JoinError>) {
        match ended {
            Ok(id) => _ = self.ids.remove(&id),
            Err(error) => {
                // Which one it was is lost with it, so all may be scanned again; their locks keep two apart.
                error!("a scan ended abnormally: {error}");
                self.ids.clear();
            }
        }
    }
}

async fn scan_on(pool: &Pool, dataset: &StoredDataset, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut client: Object = pool.get().await?;
    let outcome = scan::scan_dataset(&mut client, dataset, ScanOptions::default(), stop, &|_| {}).await;
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => {
            database::discard(client);
            Err(error)
        }
    }
}

/// Says once that something fails and once that it works again, and waits longer while it fails.
struct Trouble {
    what: &'static str,
    backoff: Backoff,
    wait: Option<Duration>,
}

impl Trouble {
    fn new(what: &'static str) -> Self {
        Self { what, backoff: Backoff::up_to(Duration::from_secs(10)), wait: None }
    }

    fn note(&mut self, outcome: anyhow::Result<()>) {
        match outcome {
            Ok(()) => {
                if self.wait.take().is_some() {
                    info!("{} works again", self.what);
                    self.backoff.reset();
                }
            }
            Err(error) => {
                if self.wait.is_none() {
                    warn!("{} fails, trying again until it works: {error:#}", self.what);
                }
                self.wait = Some(self.backoff.next_wait());
            }
        }
    }

    /// Waits for the next tick, or longer in trouble; `false` when it is time to stop.
    async fn pause(&self, tick: Duration, stop: &CancellationToken) -> bool {
        let wait = self.wait.unwrap_or(tick).max(tick.min(Duration::from_secs(1)));
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }
}
