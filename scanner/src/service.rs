//! The scanner service: scans by schedule; batches, rescues and relays on its own clock.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use anyhow::{Context, anyhow};
use chrono::{DateTime, Utc};
use clap::Args;
use deadpool_postgres::Pool;
use longshore_common::{
    database::{self, Database, Session},
    edge,
    error::chain,
    ledger::{self, ScanKind, StoredDataset},
    limits::Limits,
    queue::Queue,
};
use tokio::{sync::Notify, time::Instant};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    after_loads::{self, AfterLoads},
    answer::answered,
    hindrances::Hindrances,
    missing::MissedFiles,
    pace::Pace,
    relay::{self, Relay},
    rescue::Rescuer,
    running::{AFTER_FAILED_SCAN, Again, MAX_SCANS, RunningScans},
    scan::send_due_batches,
    schedule::DueTimes,
    trouble::Trouble,
    wake,
    watch::{MAX_LOOKS, Watches},
};

/// Settings of the scanner.
#[derive(Debug, Clone, Args)]
pub struct ScannerConfig {
    /// How often to relay, rescue and send partial batches, such as 1s
    #[arg(long, env = "LONGSHORE_TICK", default_value = "1s", value_parser = tick, value_name = "DURATION")]
    pub tick: Duration,

    /// What counts as hung, and as poison.
    #[command(flatten)]
    pub limits: Limits,
}

fn tick(text: &str) -> Result<Duration, String> {
    let allowed = "allowed is 10ms to 1h";
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; {allowed}"))?;
    let is_allowed = (Duration::from_millis(10)..=Duration::from_secs(3600)).contains(&duration);
    if is_allowed { Ok(duration) } else { Err(allowed.to_owned()) }
}

/// Connections the service needs: one a scan or a look, one for the books, one for the relay, those of the step after the
/// load, and one for missed files.
pub const POOL_SIZE: usize = MAX_SCANS + MAX_LOOKS + 2 + after_loads::MAX_AT_ONCE + 2;

/// Runs until `stop` is cancelled; then finishes the batch and the confirms in hand and returns.
pub async fn run(
    database: Database,
    pool: Pool,
    queue: Queue,
    config: ScannerConfig,
    stop: CancellationToken,
) {
    info!(tick = %humantime::format_duration(config.tick), "scanner started");
    let stall_limit = config.limits.stall_limit;
    // The relay waits for the broker, so it has a loop of its own: an outage there delays no scan and no rescue.
    let relaying = relay_until(
        stop.clone(),
        database,
        pool.clone(),
        Relay::that_comes_back(queue, stall_limit),
        config.tick,
    );
    let relay = tokio::spawn(relaying);
    let after_loads = AfterLoads::new(pool.clone(), stall_limit, config.tick, stop.clone());
    let after_loads = tokio::spawn(after_loads.run());
    Books::new(pool, &config, stop).run(config.tick).await;
    if let Err(error) = relay.await {
        error!("the relay ended abnormally: {error}");
    }
    if let Err(error) = after_loads.await {
        error!("the step after the load ended abnormally: {error}");
    }
    info!("scanner stopped: told to");
}

async fn relay_until(stop: CancellationToken, database: Database, pool: Pool, relay: Relay, tick: Duration) {
    let woken = Notify::new();
    tokio::select! {
        () = relay_loop(pool, relay, tick, &woken, &stop) => {}
        () = wake::by_notifications(&database, &woken) => {}
    }
}

async fn relay_loop(pool: Pool, mut relay: Relay, tick: Duration, woken: &Notify, stop: &CancellationToken) {
    let mut trouble = Trouble::new("publishing tasks");
    let mut wait = tick;
    while trouble.pause_unless(woken.notified(), wait, stop).await {
        trouble.note(relay_tick(&pool, &mut relay, stop).await);
        wait = if relay.is_held_back() { tick.min(relay::LOOK_AGAIN) } else { tick };
    }
    relay.close().await;
}

async fn relay_tick(pool: &Pool, relay: &mut Relay, stop: &CancellationToken) -> anyhow::Result<()> {
    let session = database::session(pool).await?;
    let tasks = relay.publish_due(&session, stop).await?;
    session.give_back();
    if tasks > 0 {
        info!(tasks, "published");
    }
    Ok(())
}

/// A database that answers nothing for so long hangs; its sessions are given up, and new ones tried. Much longer than the
/// work takes: a tick may make tasks of a million files.
const RESCUE_LIMIT: Duration = Duration::from_secs(60);
/// What a stop waits for, of a scan or a tick that hangs.
const STOP_LIMIT: Duration = Duration::from_secs(15);
const TICK_LIMIT: Duration = Duration::from_secs(600);
/// How often to add up the totals: `status` reads some thousand differences as fast as none.
const ADD_UP_EVERY: Duration = Duration::from_secs(5);
const HUNG: &str = "Postgres does not answer";

/// Everything that needs only Postgres and the file stores.
struct Books {
    pool: Pool,
    stop: CancellationToken,
    stall_limit: Duration,
    rescuer: Rescuer,
    due_times: DueTimes,
    scans: RunningScans,
    watches: Watches,
    /// Of looks whether a dataset's batch is due.
    batch_paces: HashMap<i32, Pace>,
    /// When the totals were last added up.
    added_up: Option<Instant>,
    missed_files: MissedFiles,
    hindrances: Hindrances,
    /// Versions of specs that were said to be unreadable.
    said: HashSet<(String, i32)>,
}

impl Books {
    fn new(pool: Pool, config: &ScannerConfig, stop: CancellationToken) -> Self {
        Self {
            watches: Watches::new(pool.clone(), config.limits.stall_limit, stop.clone()),
            missed_files: MissedFiles::new(pool.clone()),
            pool,
            stop,
            stall_limit: config.limits.stall_limit,
            rescuer: Rescuer::new(config.limits),
            due_times: DueTimes::default(),
            scans: RunningScans::new(config.limits.stall_limit),
            batch_paces: HashMap::new(),
            added_up: None,
            hindrances: Hindrances::default(),
            said: HashSet::new(),
        }
    }

    async fn run(mut self, tick: Duration) {
        let mut trouble = Trouble::new("reading and writing the books");
        while trouble.pause(tick, &self.stop).await {
            self.reap();
            let stop = self.stop.clone();
            let patience_ends = async move {
                stop.cancelled().await;
                tokio::time::sleep(STOP_LIMIT).await;
            };
            let ticked = tokio::select! {
                ticked = tokio::time::timeout(TICK_LIMIT, self.tick()) => ticked.context(HUNG).flatten(),
                () = patience_ends => Err(anyhow!(HUNG)),
            };
            trouble.note(ticked);
        }
        self.watches.finish().await;
        if tokio::time::timeout(STOP_LIMIT, self.scans.finish()).await.is_err() {
            warn!("a scan does not end; it is left to the next start");
        }
    }

    fn reap(&mut self) {
        for (job, again) in self.scans.reap() {
            let (id, kind) = job.key();
            match again {
                Again::BySchedule => {}
                Again::After(wait) => self.due_times.at_the_latest(id, ScanKind::Scan, wait),
                Again::AfterFailure(wait) => {
                    self.due_times.at_the_latest(id, kind, wait);
                    // An audit that failed has not done a scan's work either.
                    self.due_times.at_the_latest(id, ScanKind::Scan, AFTER_FAILED_SCAN);
                }
                Again::UnlessAnotherFinishes => self.due_times.forget(id),
            }
        }
    }

    async fn tick(&mut self) -> anyhow::Result<()> {
        let mut session = database::session(&self.pool).await?;
        // First, because no dataset's trouble may keep another's tasks from being rescued.
        tokio::time::timeout(RESCUE_LIMIT, self.rescuer.look(&session)).await.context(HUNG)??;
        self.hindrances.load(&session).await?;
        let datasets = ledger::datasets(&session).await?;
        self.watches.follow(datasets.iter().flatten());
        self.missed_files.look_if_due(&datasets.iter().flatten().collect::<Vec<_>>());
        let mut due = Vec::new();
        for dataset in datasets {
            match dataset {
                Ok(dataset) if self.scans.is_running(dataset.id) => {}
                Ok(dataset) => match self.due_job(&session, &dataset).await {
                    Ok(Some((since, kind))) => due.push((since, kind, dataset)),
                    Ok(None) => self.send_due_batches(&mut session, &dataset).await?,
                    Err(error) => self.is_hindered(&mut session, &dataset, &error).await?,
                },
                Err(error) => {
                    if self.said.insert((error.name.clone(), error.version)) {
                        error!("{}", chain(&error));
                    }
                }
            }
        }
        // Whoever has waited longest is first, but a store that fails or hangs keeps none waiting that works.
        due.sort_by_key(|(since, _, dataset)| (self.scans.is_failing(dataset.id), *since));
        for (_, kind, dataset) in due {
            if self.scans.has_room_for(dataset.id) {
                self.due_times.started(&dataset, kind, edge::now());
                let watched_since = self.watches.scan_begins(dataset.id);
                self.scans.start(self.pool.clone(), dataset, kind, watched_since, self.stop.clone());
            } else {
                self.send_due_batches(&mut session, &dataset).await?;
            }
        }
        if self.added_up.is_none_or(|last| last.elapsed() >= ADD_UP_EVERY) {
            answered(ledger::add_up_totals(&session)).await?;
            self.added_up = Some(Instant::now());
        }
        session.give_back();
        Ok(())
    }

    /// An error means that Postgres does not answer. One of the dataset alone is its own, and the others go on.
    async fn send_due_batches(
        &mut self,
        session: &mut Session,
        dataset: &StoredDataset,
    ) -> anyhow::Result<()> {
        if self.hindrances.must_wait(dataset.id) {
            return Ok(());
        }
        let pace = self.batch_paces.entry(dataset.id).or_default();
        match send_due_batches(session, dataset, self.stall_limit, pace).await {
            Ok(()) => self.hindrances.worked(session, dataset).await,
            Err(error) => self.is_hindered(session, dataset, &error).await,
        }
    }

    /// The session that failed may hold the dataset's lock, so it is closed, and another goes on.
    async fn is_hindered(
        &mut self,
        session: &mut Session,
        dataset: &StoredDataset,
        error: &anyhow::Error,
    ) -> anyhow::Result<()> {
        *session = database::session(&self.pool).await?;
        self.hindrances.failed(session, dataset, error).await
    }

    /// What the dataset is due for, and since when.
    async fn due_job(
        &mut self,
        client: &Client,
        dataset: &StoredDataset,
    ) -> anyhow::Result<Option<(DateTime<Utc>, ScanKind)>> {
        if self.watches.is_opening(dataset.id) {
            return Ok(None);
        }
        if self.watches.wants_scan(dataset.id) {
            self.due_times.at_the_latest(dataset.id, ScanKind::Scan, Duration::ZERO);
        }
        let now = edge::now();
        // Where both are due, an audit does the work of a scan, too.
        for kind in [ScanKind::Audit, ScanKind::Scan] {
            if let Some(since) = self.due_times.due_since(client, dataset, kind, now).await? {
                return Ok(Some((since, kind)));
            }
        }
        Ok(None)
    }
}
