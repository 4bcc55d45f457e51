//! The step after the load for all datasets, each by itself: a slow or broken store holds up no other dataset.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use deadpool_postgres::Pool;
use longshore_common::{backoff::Backoff, database, ledger};
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span, warn};

use crate::{
    after_load::{AfterLoadReport, Ended, Said, work_off},
    answer::answered,
    trouble::Trouble,
};

/// Datasets whose files are worked off at once, each with a connection; others wait for their turn.
pub(crate) const MAX_AT_ONCE: usize = 2;

/// How long a dataset rests at most of which nothing works.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// How long files that a store does not give back keep the others of their dataset waiting.
const LONGEST_HANG: Duration = Duration::from_secs(3600);

/// What a stop waits for, of a store that hangs.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// The datasets on which there is work, by name.
pub(crate) struct AfterLoads {
    setting: Setting,
    working: HashMap<String, JoinHandle<()>>,
}

#[derive(Clone)]
struct Setting {
    pool: Pool,
    slots: Arc<Semaphore>,
    stall_limit: Duration,
    tick: Duration,
    stop: CancellationToken,
}

impl AfterLoads {
    pub(crate) fn new(pool: Pool, stall_limit: Duration, tick: Duration, stop: CancellationToken) -> Self {
        let slots = Arc::new(Semaphore::new(MAX_AT_ONCE));
        Self { setting: Setting { pool, slots, stall_limit, tick, stop }, working: HashMap::new() }
    }

    /// Until told to stop; then finishes the files in hand.
    pub(crate) async fn run(mut self) {
        let mut trouble = Trouble::new("looking for loaded files to move or delete");
        let Setting { tick, stop, .. } = self.setting.clone();
        while trouble.pause(tick, &stop).await {
            trouble.note(self.tick().await);
        }
        let finishing = async {
            for working in self.working.into_values() {
                let _ = working.await;
            }
        };
        if tokio::time::timeout(STOP_LIMIT, finishing).await.is_err() {
            warn!("a store does not answer; what is open there is left to the next start");
        }
    }

    async fn tick(&mut self) -> anyhow::Result<()> {
        let session = database::session(&self.setting.pool).await?;
        let names = answered(ledger::datasets_with_due_after_loads(&session)).await?;
        session.give_back();
        self.working.retain(|_, working| !working.is_finished());
        for name in names {
            let setting = self.setting.clone();
            let span = info_span!("after_load", dataset = %name);
            self.working
                .entry(name.clone())
                .or_insert_with(|| tokio::spawn(setting.look_after(name).instrument(span)));
        }
        Ok(())
    }
}

impl Setting {
    /// Works off a dataset's files until nothing is open, or nothing that has failed before.
    async fn look_after(self, name: String) {
        let mut trouble = Trouble::new("moving and deleting loaded files");
        let (mut said, mut backoff, mut rest) =
            (Said::default(), Backoff::up_to(LONGEST_REST), Duration::ZERO);
        while trouble.pause(rest, &self.stop).await {
            let worked = self.work_off(&name, &mut said).await;
            rest = self.tick;
            match worked {
                Ok(mut ended) => {
                    trouble.note(Ok(()));
                    // What hangs may still take effect. On a mount that was replaced meanwhile it never comes back.
                    let hung = async { while ended.hung.join_next().await.is_some() {} };
                    tokio::select! {
                        _ = tokio::time::timeout(LONGEST_HANG, hung) => {}
                        () = self.stop.cancelled() => return,
                    }
                    if ended.has_more {
                        // The place is free meanwhile, and who waits for one gets it first.
                        rest = Duration::ZERO;
                    } else if !ended.is_failing {
                        return;
                    } else if ended.is_blocked {
                        rest = backoff.next_wait().max(self.tick);
                    } else {
                        backoff.reset();
                    }
                }
                Err(error) => trouble.note(Err(error)),
            }
        }
    }

    async fn work_off(&self, name: &str, said: &mut Said) -> anyhow::Result<Ended> {
        let _slot = self.slots.acquire().await?;
        let mut session = database::session(&self.pool).await?;
        let ended = work_off(&mut session, name, self.stall_limit, None, &self.stop, said).await?;
        session.give_back();
        Ok(ended)
    }
}

/// Works off what is due now, one dataset after the other, for a caller that does not come back; what is not done after
/// `limit` is left to the next one.
pub async fn work_off_all(
    pool: &Pool,
    stall_limit: Duration,
    limit: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<AfterLoadReport> {
    let deadline = Some(Instant::now() + limit);
    let session = database::session(pool).await?;
    let names = answered(ledger::datasets_with_due_after_loads(&session)).await?;
    session.give_back();
    let mut report = AfterLoadReport::default();
    let mut waiting = VecDeque::from(names);
    while let Some(name) = waiting.pop_front() {
        let mut session = database::session(pool).await?;
        let mut said = Said::default();
        let working = work_off(&mut session, &name, stall_limit.min(limit), deadline, stop, &mut said);
        match working.instrument(info_span!("after_load", dataset = %name)).await {
            Ok(ended) => {
                report.add(ended.report);
                session.give_back();
                if ended.has_more {
                    waiting.push_back(name);
                }
            }
            Err(error) => error!(dataset = %name, "loaded files could not be moved or deleted: {error:#}"),
        }
    }
    Ok(report)
}
