//! Every edge between two effects: the process dies there, fails there, or is slow there.

use std::time::Duration;

use clap::ValueEnum;
use futures_util::{StreamExt, stream};
use longshore_tests::Progress;

use super::sabotage::Sabotage;
use crate::{
    edge::{self, Action, Case, Way},
    findings::Findings,
    manifest::Size,
    oracle,
    service::{Kind, Service},
    site::Site,
    wait,
    world::World,
};

/// Cases that are tried at once, each on a site of its own.
const AT_ONCE: usize = 4;

/// How long a process may take to get to an edge.
const REACHING: Duration = Duration::from_secs(60);

/// How long workers may take for tasks whose messages they have.
const WORKERS_ALONE: Duration = Duration::from_secs(15);

/// Tries every edge.
pub(crate) async fn run(world: &World) -> Findings {
    let actions = if world.size.is_full { &Action::ALL[..] } else { &[Action::Kill] };
    let mut cases: Vec<Case> =
        actions.iter().flat_map(|action| edge::ALL.map(|edge| Case { edge, action: *action })).collect();
    for sabotage in Sabotage::value_variants() {
        if !cases.contains(&sabotage.unmasked_by()) {
            cases.push(sabotage.unmasked_by());
        }
    }
    run_cases(world, cases).await
}

/// Tries these; all must be reached, and the rest of the work be done afterwards.
pub(crate) async fn run_cases(world: &World, cases: Vec<Case>) -> Findings {
    let progress = Progress::new("edges", cases.len() as u64);
    let mut findings = Findings::default();
    let mut trying = stream::iter(cases)
        .map(async |case| {
            progress.begin(&case.to_string());
            let found = try_edge(world, case, None).await;
            Findings::of(found, &case.to_string())
        })
        .buffer_unordered(AT_ONCE);
    while let Some(found) = trying.next().await {
        findings.add(found);
    }
    findings
}

/// Brings a process to the edge, lets it act, and has the rest of the work done. All processes are sabotaged, if any is.
pub(crate) async fn try_edge(world: &World, case: Case, sabotage: Option<&str>) -> anyhow::Result<Findings> {
    let switch = sabotage.map(|name| format!("sabotage::{name}=return"));
    let name = format!("{} {case}", sabotage.unwrap_or("edge")).replace(' ', "-").replace("::", "-");
    let mut site = Site::create(world, &name, switch).await?;
    site.feed(&[Size::Small, Size::Small, Size::Large])?;
    let mut services = Vec::new();
    let mut findings = Findings::default();

    let mut victim = bring(&mut site, case).await?;
    victim.prints(&case.announcement(), REACHING).await?;
    findings.edges.insert(case.edge.name, vec![case.action.name()]);
    if case.action == Action::Kill {
        victim.ended(REACHING).await?;
        locks_are_free(&site).await?;
        if case.edge.leaves_work_to_workers() {
            services.push(site.start(Kind::Worker, &[]));
            findings.violations.extend(workers_alone(&site).await?);
            if site.is_sabotaged() && !findings.violations.is_empty() {
                drop(services);
                site.remove().await?;
                return Ok(findings);
            }
        }
    } else {
        services.push(victim);
    }
    services.push(site.start(Kind::Scanner, &[]));
    services.push(site.start(Kind::Worker, &[]));
    oracle::judge(site, services, findings).await
}

/// Starts the process that will come to the edge.
async fn bring(site: &mut Site<'_>, case: Case) -> anyhow::Result<Service> {
    let fail_point = case.fail_point();
    if case.edge.way != Way::Scan {
        site.publish_all().await?;
    }
    Ok(match case.edge.way {
        Way::Scan => site.start(Kind::Scanner, &[&fail_point]),
        Way::Rescue => {
            let mut worker = site.start(Kind::Worker, &["worker::in_copy=1*return(kill)"]);
            worker.ended(REACHING).await?;
            site.start(Kind::Scanner, &[&fail_point])
        }
        Way::Load => site.start(Kind::Worker, &[&fail_point]),
        Way::Failure => site.start(Kind::Worker, &["worker::in_copy=1*return(error)", &fail_point]),
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
