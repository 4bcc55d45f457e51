//! A load that takes longer than the broker waits for an ack: the channel is closed, the message comes again, and the load
//! goes on.

use std::time::Duration;

use longshore_tests::Progress;

use crate::{findings::Findings, manifest::Size, oracle, service::Kind, site::Site, world::World};

/// Some 77 chunks of 128 KiB.
const FILE: Size = Size::Rows(33_000);
/// Five minutes for all of them.
const SLOW: &str = "worker::read_chunk=sleep(4000)";
const LOAD: Duration = Duration::from_secs(5 * 60);

const CONSUMER_TIMEOUT: Duration = Duration::from_secs(60);
/// RabbitMQ's own.
const DEFAULT_CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);

pub(crate) async fn run(world: &World) -> anyhow::Result<Findings> {
    let progress = Progress::new("long", 1);
    progress.begin("five minutes of a load under a consumer time-out of one minute");
    world.servers.set_consumer_timeout(CONSUMER_TIMEOUT).await?;
    let found = load(world).await;
    world.servers.set_consumer_timeout(DEFAULT_CONSUMER_TIMEOUT).await?;
    found
}

async fn load(world: &World) -> anyhow::Result<Findings> {
    let mut site = Site::create(world, "long", None).await?;
    // What becomes of a message that comes again is no news to an operator.
    site.set("LONGSHORE_LOG", "debug");
    site.feed(&[FILE])?;
    site.publish_all().await?;
    let worker = site.start(Kind::Worker, &[SLOW]);
    worker.prints("cannot consume", 3 * CONSUMER_TIMEOUT).await?;
    worker.prints("somebody holds the task's lease", 3 * CONSUMER_TIMEOUT).await?;
    worker.prints("committed", 2 * LOAD).await?;
    let mut findings = Findings::default();
    let client = site.client().await?;
    let seconds: f64 = client
        .query_one(
            "SELECT extract(epoch FROM finished_time - started_time)::float8 FROM longshore.attempt",
            &[],
        )
        .await?
        .get(0);
    if seconds < LOAD.as_secs_f64() {
        findings.violations.push(format!("long: the load took {seconds:.0} s instead of {LOAD:?}"));
    }
    findings.fault("load beyond the consumer time-out");
    let scanner = site.start(Kind::Scanner, &[]);
    oracle::judge(site, vec![scanner, worker], findings).await
}
