//! Postgres: terminated and killed backends, crashes and restarts, under load.

use std::time::Duration;

use longshore_tests::{Progress, Servers};
use tokio_postgres::Client;

use super::stops::copying_backend;
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
    /// `pg_terminate_backend` in mid-COPY.
    Terminate,
    /// SIGKILL in mid-COPY: the server ends all backends and recovers.
    KillBackend,
    /// `pg_ctl stop -m immediate`, and a start.
    Restart,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "backend terminated in mid-COPY",
            Self::KillBackend => "backend killed in mid-COPY",
            Self::Restart => "Postgres stopped at once and started",
        }
    }
}

/// How long a load under way, or a next one, may take to come.
const SOON: Duration = Duration::from_secs(90);

pub(crate) async fn run(world: &World) -> anyhow::Result<Findings> {
    let mut site = Site::create(world, "database", None).await?;
    let crew = Crew::start(&mut site);
    let mut findings = Findings::default();
    let faults = sequence(world);
    let progress = Progress::new("database", faults.len() as u64);
    for fault in faults {
        progress.begin(fault.name());
        let client = site.client().await?;
        match fault {
            Fault::Terminate => terminate(&mut site, &client).await?,
            Fault::KillBackend => kill(&mut site, &client, &world.servers).await?,
            Fault::Restart => {
                // A load since the last fault: it goes on by itself.
                loading(&mut site, &client).await?;
                crew::at_work(&mut site, &client, 700).await?;
                world.servers.stop_postgres_immediately().await?;
                world.servers.start_postgres().await?;
                findings.database_restarts += 1;
            }
        }
        findings.fault(fault.name());
    }
    oracle::judge(site, crew.services, findings).await
}

fn sequence(world: &World) -> Vec<Fault> {
    let times = if world.size.is_full { 5 } else { 1 };
    let mut others = [Fault::Terminate, Fault::KillBackend].repeat(times).into_iter();
    let mut faults = Vec::new();
    for _ in 0..world.size.restarts {
        faults.push(Fault::Restart);
        faults.extend(others.next());
    }
    faults.extend(others);
    faults
}

/// Terminates a backend in mid-COPY.
async fn terminate(site: &mut Site<'_>, client: &Client) -> anyhow::Result<()> {
    wait::until("a COPY to terminate", SOON, async || {
        let backend = loading(site, client).await?;
        let terminated: bool = client.query_one("SELECT pg_terminate_backend($1)", &[&backend]).await?.get(0);
        Ok(terminated.then_some(()))
    })
    .await
}

/// Kills a backend in mid-COPY; one that has gone in the meantime is no fault.
async fn kill(site: &mut Site<'_>, client: &Client, servers: &Servers) -> anyhow::Result<()> {
    wait::until("a COPY to kill", SOON, async || {
        let backend = loading(site, client).await?;
        Ok(servers.kill_backend(backend).await.ok())
    })
    .await?;
    let ended = async || Ok(client.is_closed().then_some(()));
    wait::until("the end of all sessions", SOON, ended).await
}

/// Adds files until a COPY runs; gives its backend.
async fn loading(site: &mut Site<'_>, client: &Client) -> anyhow::Result<i32> {
    wait::until("a COPY", SOON, async || {
        crew::load(site, client).await?;
        copying_backend(client).await
    })
    .await
}
