//! RabbitMQ: connections that it closes, crashes, restarts, an alarm, and queues that are purged or deleted, under load.

use std::time::{Duration, Instant};

use longshore_tests::{Progress, Servers};

use crate::{
    crew::{self, Crew, WORKERS},
    findings::Findings,
    oracle,
    site::Site,
    wait,
    world::World,
};

#[derive(Debug, Clone, Copy)]
enum Fault {
    RestartApplication,
    KillAndStart,
    CloseConnections,
    Purge,
    DeleteQueue,
    MemoryAlarm,
    KillUnderAlarm,
}

/// Those that are not counted as restarts.
const OTHERS: [Fault; 5] =
    [Fault::CloseConnections, Fault::Purge, Fault::DeleteQueue, Fault::MemoryAlarm, Fault::KillUnderAlarm];

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::RestartApplication => "RabbitMQ stopped and started",
            Self::KillAndStart => "RabbitMQ killed and started",
            Self::CloseConnections => "connections closed by RabbitMQ",
            Self::Purge => "queue purged",
            Self::DeleteQueue => "queue deleted",
            Self::MemoryAlarm => "memory alarm",
            Self::KillUnderAlarm => "RabbitMQ killed under a memory alarm",
        }
    }

    fn is_restart(self) -> bool {
        matches!(self, Self::RestartApplication | Self::KillAndStart)
    }
}

/// How long the alarm lasts, in the short run and in the full one: longer than the relay waits for a confirm.
const ALARM: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(15)];

/// RabbitMQ writes down late that there is a new queue. One that is a second old when RabbitMQ is killed comes back without a
/// leader, and nobody can consume from it until an operator elects one: seen on 3.10.
const NEW_QUEUE: Duration = Duration::from_secs(5);

/// How long workers may take to consume again before that counts as never.
const NEVER: Duration = Duration::from_secs(90);

pub(crate) async fn run(world: &World) -> anyhow::Result<Findings> {
    let mut site = Site::create(world, "broker", None).await?;
    let crew = Crew::start(&mut site);
    let client = site.client().await?;
    consuming(&site).await?;
    let mut findings = Findings::default();
    let faults = sequence(world);
    let progress = Progress::new("broker", faults.len() as u64);
    for fault in faults {
        progress.begin(fault.name());
        crew::at_work(&mut site, &client, 700).await?;
        let answers = throw(fault, &site, world).await?;
        let recovery = consuming(&site).await?.duration_since(answers);
        if !matches!(fault, Fault::Purge | Fault::MemoryAlarm) {
            findings.broker_recoveries.push(recovery.as_secs_f64());
        }
        if matches!(fault, Fault::DeleteQueue) {
            tokio::time::sleep(NEW_QUEUE).await;
        }
        findings.broker_restarts += u32::from(fault.is_restart());
        findings.fault(fault.name());
    }
    oracle::judge(site, crew.services, findings).await
}

/// The restarts, both kinds in turns, and the other faults in between.
fn sequence(world: &World) -> Vec<Fault> {
    let restarts = (0..world.size.restarts).map(|number| match number % 2 {
        0 => Fault::RestartApplication,
        _ => Fault::KillAndStart,
    });
    let times = if world.size.is_full { 3 } else { 1 };
    let others: Vec<Fault> = OTHERS.repeat(times);
    let mut faults = Vec::new();
    let mut others = others.into_iter();
    for restart in restarts {
        faults.push(restart);
        faults.extend(others.next());
    }
    faults.extend(others);
    faults
}

/// Does it, and undoes it; gives the time from which on the broker answered as before.
async fn throw(fault: Fault, site: &Site<'_>, world: &World) -> anyhow::Result<Instant> {
    let (servers, tasks) = (&world.servers, site.queue().name("tasks"));
    match fault {
        Fault::RestartApplication => {
            servers.stop_app().await?;
            return answers(servers.start_app(), servers).await;
        }
        Fault::KillAndStart => {
            servers.kill_broker().await?;
            return answers(servers.start_broker(), servers).await;
        }
        Fault::CloseConnections => {
            servers.close_connections("longshore").await?;
        }
        Fault::Purge => servers.purge(&tasks).await?,
        Fault::DeleteQueue => servers.delete_queue(&tasks).await?,
        Fault::MemoryAlarm => {
            servers.memory_alarm(true).await?;
            tokio::time::sleep(ALARM[usize::from(world.size.is_full)]).await;
            servers.memory_alarm(false).await?;
        }
        Fault::KillUnderAlarm => {
            // The alarm is gone with the broker that raised it.
            servers.memory_alarm(true).await?;
            tokio::time::sleep(ALARM[usize::from(world.size.is_full)]).await;
            servers.kill_broker().await?;
            return answers(servers.start_broker(), servers).await;
        }
    }
    Ok(Instant::now())
}

/// Starts the broker; gives the time from which on clients could connect, which is before the command that starts it ends.
async fn answers(
    starting: impl Future<Output = anyhow::Result<()>>,
    servers: &Servers,
) -> anyhow::Result<Instant> {
    let answering = async { servers.wait_until_broker_answers().await.map(|()| Instant::now()) };
    let (started, answers) = tokio::join!(starting, answering);
    started.and(answers)
}

/// Waits until every worker consumes; gives the time.
async fn consuming(site: &Site<'_>) -> anyhow::Result<Instant> {
    let queue = site.queue();
    let look = async || {
        let consumers = queue.counts("tasks").await.map_or(0, |counts| counts.consumers);
        Ok((consumers as usize == WORKERS).then(Instant::now))
    };
    wait::until("all workers to consume again", NEVER, look).await
}
