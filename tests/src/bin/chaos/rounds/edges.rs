//! Every edge between two effects: the process dies there, fails there, or is slow there.

use std::{fmt, time::Duration};

use futures_util::{StreamExt, stream};
use longshore_tests::Progress;

use crate::{
    findings::Findings,
    manifest::Size,
    oracle,
    service::{Kind, Service},
    site::Site,
    wait,
    world::World,
};

/// An edge of the code, by the name of its fail point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    pub(crate) name: &'static str,
    way: Way,
}

/// How a process is brought to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A scanner finds files.
    Scan,
    /// A scanner finds a dead worker's task.
    Rescue,
    /// A worker loads.
    Load,
    /// A worker's load fails.
    Failure,
}

/// What happens at an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Kill,
    Error,
    Pause,
}

impl Action {
    pub(crate) const ALL: [Self; 3] = [Self::Kill, Self::Error, Self::Pause];

    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Error => "error",
            Self::Pause => "pause",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// All of them, in the order of the flow.
pub(crate) const ALL: [Edge; 20] = [
    Edge { name: "scanner::before_enlist", way: Way::Scan },
    Edge { name: "scanner::after_enlist", way: Way::Scan },
    Edge { name: "scanner::before_batch", way: Way::Scan },
    Edge { name: "scanner::after_batch", way: Way::Scan },
    Edge { name: "relay::before_publish", way: Way::Scan },
    Edge { name: "relay::after_publish", way: Way::Scan },
    Edge { name: "relay::after_confirm", way: Way::Scan },
    Edge { name: "relay::after_mark", way: Way::Scan },
    Edge { name: "rescue::before", way: Way::Rescue },
    Edge { name: "rescue::after", way: Way::Rescue },
    Edge { name: "worker::before_claim", way: Way::Load },
    Edge { name: "worker::after_claim", way: Way::Load },
    Edge { name: "worker::after_begin", way: Way::Load },
    Edge { name: "worker::in_copy", way: Way::Load },
    Edge { name: "worker::before_commit", way: Way::Load },
    Edge { name: "worker::after_commit", way: Way::Load },
    Edge { name: "worker::before_settle", way: Way::Failure },
    Edge { name: "worker::after_settle", way: Way::Failure },
    Edge { name: "worker::before_ack", way: Way::Load },
    Edge { name: "worker::after_ack", way: Way::Load },
];

impl Edge {
    /// The edge of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|edge| edge.name == name)
    }

    /// Whether workers alone must go on after a process died here: nothing that they need is left to a scanner.
    fn leaves_work_to_workers(self) -> bool {
        self.name == "relay::after_mark" || matches!(self.way, Way::Load | Way::Failure)
    }
}

/// Edges that are tried at once, each on a site of its own.
const AT_ONCE: usize = 4;

/// How long a process may take to get to an edge.
const REACHING: Duration = Duration::from_secs(60);

/// How long workers may take for tasks whose messages they have.
const WORKERS_ALONE: Duration = Duration::from_secs(15);

pub(crate) async fn run(world: &World) -> anyhow::Result<Findings> {
    let actions = if world.size.is_full { &Action::ALL[..] } else { &[Action::Kill] };
    let mut cases: Vec<(Edge, Action)> =
        actions.iter().flat_map(|action| ALL.map(|edge| (edge, *action))).collect();
    // Those that tell sabotages from right code must pass without them.
    for sabotage in super::sabotage::ALL {
        let (edge, action) = sabotage.unmasked_at()?;
        if !cases.iter().any(|(other, another)| (other.name, *another) == (edge.name, action)) {
            cases.push((edge, action));
        }
    }
    let progress = Progress::new("edges", cases.len() as u64);
    let mut findings = Findings::default();
    let mut trying = stream::iter(cases)
        .map(async |(edge, action)| {
            let found = try_edge(world, edge, action, None).await;
            (edge, action, found)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((edge, action, found)) = trying.next().await {
        progress.begin(&format!("{} {action}", edge.name));
        let found = found.map_err(|error| error.context(format!("{} {action}", edge.name)))?;
        findings.add(found);
    }
    Ok(findings)
}

/// Brings a process to the edge, lets it act, and has the rest of the work done.
pub(crate) async fn try_edge(
    world: &World,
    edge: Edge,
    action: Action,
    sabotage: Option<&str>,
) -> anyhow::Result<Findings> {
    let switches: Vec<String> = sabotage.iter().map(|name| format!("sabotage::{name}=return")).collect();
    let site_name =
        [sabotage, Some(edge.name), Some(action.name())].into_iter().flatten().collect::<Vec<_>>();
    let mut site = Site::create(world, &site_name.join("-").replace("::", "-"), &switches).await?;
    site.feed(&[Size::Small, Size::Small, Size::Large])?;
    let mut services = Vec::new();
    let mut findings = Findings::default();

    let fail_point = format!("{}=1*return({action})", edge.name);
    let mut victim = bring(&mut site, edge, &fail_point).await?;
    victim.prints(&format!("fail point {}: {action}", edge.name), REACHING).await?;
    findings.edges.insert(edge.name, vec![action.name()]);

    if action == Action::Kill {
        victim.ended(REACHING).await?;
        locks_are_free(&site).await?;
        if edge.leaves_work_to_workers() {
            services.push(site.start(Kind::Worker, &[]));
            findings.violations.extend(workers_alone(&site).await?);
            if sabotage.is_some() && !findings.violations.is_empty() {
                return Ok(findings);
            }
        }
    } else {
        services.push(victim);
    }
    services.push(site.start(Kind::Scanner, &[]));
    services.push(site.start(Kind::Worker, &[]));
    findings.add(oracle::judge(&mut site, services, oracle::PATIENCE).await?);
    if findings.violations.is_empty() {
        site.remove().await?;
    }
    Ok(findings)
}

/// Starts the process that will come to the edge.
async fn bring(site: &mut Site<'_>, edge: Edge, fail_point: &str) -> anyhow::Result<Service> {
    Ok(match edge.way {
        Way::Scan => site.start(Kind::Scanner, &[fail_point]),
        Way::Rescue => {
            site.publish_all().await?;
            let mut worker = site.start(Kind::Worker, &["worker::in_copy=1*return(kill)"]);
            worker.ended(REACHING).await?;
            site.start(Kind::Scanner, &[fail_point])
        }
        Way::Load => {
            site.publish_all().await?;
            site.start(Kind::Worker, &[fail_point])
        }
        Way::Failure => {
            site.publish_all().await?;
            site.start(Kind::Worker, &["worker::in_copy=1*return(error)", fail_point])
        }
    })
}

/// Postgres notices the end of a process soon, but not at once.
async fn locks_are_free(site: &Site<'_>) -> anyhow::Result<()> {
    let client = site.client().await?;
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    wait::until("the dead process' locks", REACHING, async || {
        let held: i64 = client.query_one(held, &[]).await?.get(0);
        Ok((held == 0).then_some(()))
    })
    .await
}

/// No scanner runs and the broker is intact: whatever counts as published must be finished, or its message is lost and only
/// a second mechanism would find it again.
async fn workers_alone(site: &Site<'_>) -> anyhow::Result<Option<String>> {
    let client = site.client().await?;
    let sql = "SELECT id::text FROM longshore.task
               WHERE status = 'PROCESSING' OR status = 'NEW' AND published_time IS NOT NULL";
    let mut left: Vec<String> = Vec::new();
    let look = async || {
        left = client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
        Ok(left.is_empty().then_some(()))
    };
    Ok(match wait::within(WORKERS_ALONE, look).await? {
        Some(()) => None,
        None => Some(format!(
            "{}: without a scanner, and with the broker intact, workers left these published tasks alone: {}",
            site.name,
            left.join(", ")
        )),
    })
}
