//! The network between us and each server: connections that end, hang or lag, and a COMMIT whose answer never comes.

use std::time::Duration;

use longshore_tests::{Progress, Proxy};

use crate::{
    crew::{self, Crew},
    findings::Findings,
    oracle,
    site::Site,
    wait,
    world::World,
};

#[derive(Debug, Clone, Copy)]
enum Fault {
    Cut,
    Reset,
    Refuse,
    Delay,
    Stall,
    SwallowCommitAnswer,
}

const FAULTS: [Fault; 6] =
    [Fault::Cut, Fault::Reset, Fault::Refuse, Fault::Delay, Fault::Stall, Fault::SwallowCommitAnswer];

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Cut => "connections cut",
            Self::Reset => "connections reset",
            Self::Refuse => "connections cut and refused",
            Self::Delay => "network delayed",
            Self::Stall => "network stalled",
            Self::SwallowCommitAnswer => "answer to COMMIT swallowed",
        }
    }
}

/// What each chunk waits for in a slow network.
const DELAY: Duration = Duration::from_millis(150);

/// How long a COMMIT may take to come.
const SOON: Duration = Duration::from_secs(60);

pub(crate) async fn run(world: &World) -> anyhow::Result<Findings> {
    let mut site = Site::create(world, "network", None).await?;
    let (postgres, rabbitmq) = (Proxy::to(&world.database_url).await, Proxy::to(&world.amqp_url).await);
    let database_url = postgres.url(site.database_url());
    site.set("DATABASE_URL", &database_url);
    site.set("AMQP_URL", &rabbitmq.url(&world.amqp_url));
    let crew = Crew::start(&mut site);
    let client = site.client().await?;
    let mut findings = Findings::default();
    let faults = FAULTS.repeat(if world.size.is_full { 5 } else { 1 });
    let progress = Progress::new("network", faults.len() as u64);
    for fault in faults {
        progress.begin(fault.name());
        crew::at_work(&mut site, &client, 700).await?;
        for proxy in [&postgres, &rabbitmq] {
            throw(fault, proxy, world).await;
        }
        if let Fault::SwallowCommitAnswer = fault {
            swallow(&postgres).await?;
        }
        findings.fault(fault.name());
    }
    oracle::judge(site, crew.services, findings).await
}

async fn throw(fault: Fault, proxy: &Proxy, world: &World) {
    let for_a_while = || tokio::time::sleep(Duration::from_secs(if world.size.is_full { 5 } else { 2 }));
    match fault {
        Fault::Cut => proxy.cut(),
        Fault::Reset => proxy.reset(),
        Fault::Refuse => {
            proxy.refuse(true);
            proxy.cut();
            for_a_while().await;
            proxy.refuse(false);
        }
        Fault::Delay => {
            proxy.delay(DELAY);
            for_a_while().await;
            proxy.delay(Duration::ZERO);
        }
        Fault::Stall => {
            proxy.stall(true);
            for_a_while().await;
            proxy.stall(false);
        }
        // Only Postgres commits: see `swallow`.
        Fault::SwallowCommitAnswer => {}
    }
}

async fn swallow(postgres: &Proxy) -> anyhow::Result<()> {
    let before = postgres.commits_swallowed();
    postgres.swallow_commit_answer();
    wait::until("a COMMIT", SOON, async || Ok((postgres.commits_swallowed() > before).then_some(()))).await
}
