//! The scanners and workers that share a site's work, and the load that keeps them at it.

use std::time::Duration;

use rand::RngExt;
use tokio_postgres::Client;

use crate::{
    manifest::Size,
    service::{Kind, Service},
    site::Site,
    work::Work,
};

/// How many of each. With the default concurrency of 2 that is room for six loads at once.
pub(crate) const SCANNERS: usize = 2;
pub(crate) const WORKERS: usize = 3;

/// So that a load of a large file lasts about a second: each of its chunks of 128 KiB takes this long.
pub(crate) const SLOW_STORE: &str = "worker::read_chunk=sleep(120)";

/// As many unfinished tasks as leave room for one that is taken over: otherwise it waits for its turn.
const MAX_OPEN_TASKS: i64 = 4;

/// Services that run all the time.
pub(crate) struct Crew {
    pub(crate) services: Vec<Service>,
}

impl Crew {
    /// Starts them.
    pub(crate) fn start(site: &mut Site<'_>) -> Self {
        let kinds = [vec![Kind::Scanner; SCANNERS], vec![Kind::Worker; WORKERS]].concat();
        Self { services: kinds.into_iter().map(|kind| start(site, kind)).collect() }
    }

    /// Puts a new process in the place of one that has ended.
    pub(crate) fn replace(&mut self, index: usize, site: &mut Site<'_>) {
        let kind = self.services[index].kind;
        self.services[index] = start(site, kind);
    }

    /// One of this kind.
    pub(crate) fn any(&self, kind: Kind, site: &mut Site<'_>) -> usize {
        let places: Vec<usize> =
            (0..self.services.len()).filter(|place| self.services[*place].kind == kind).collect();
        places[site.random.random_range(0..places.len())]
    }
}

fn start(site: &mut Site<'_>, kind: Kind) -> Service {
    let slow: &[&str] = if kind == Kind::Worker { &[SLOW_STORE] } else { &[] };
    site.start(kind, slow)
}

/// Adds files where there is room for more, and calls the cron; gives the work that there is then.
pub(crate) async fn load(site: &mut Site<'_>, client: &Client) -> anyhow::Result<Work> {
    let work = Work::look(client, site).await?;
    if work.open_tasks() < MAX_OPEN_TASKS {
        site.feed(&[Size::Large, Size::Small, Size::Large])?;
        site.scan(&[]).await?;
    }
    Work::look(client, site).await
}

/// Waits for a random moment of at most so many milliseconds at which there is unfinished work.
pub(crate) async fn at_work(site: &mut Site<'_>, client: &Client, milliseconds: u64) -> anyhow::Result<Work> {
    loop {
        load(site, client).await?;
        random_moment(site, milliseconds).await;
        let work = Work::look(client, site).await?;
        if work.open_tasks() > 0 {
            return Ok(work);
        }
    }
}

/// A moment of at most so many milliseconds.
pub(crate) async fn random_moment(site: &mut Site<'_>, milliseconds: u64) {
    let moment = site.random.random_range(0..milliseconds);
    tokio::time::sleep(Duration::from_millis(moment)).await;
}
