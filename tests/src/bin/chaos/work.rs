//! How far the work of a site is. Only for aiming faults and for waiting: what is right, the oracle tells.

use std::{fmt, time::Duration};

use anyhow::Context;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::site::Site;

/// The states of unfinished work, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Files that no scan has recorded.
    Unseen,
    /// Files without a task.
    Scanned,
    NewUnpublished,
    NewPublished,
    Processing,
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unseen => "files not recorded",
            Self::Scanned => "SCANNED",
            Self::NewUnpublished => "NEW, not published",
            Self::NewPublished => "NEW, published",
            Self::Processing => "PROCESSING",
        })
    }
}

/// How many files and tasks are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Work {
    pub(crate) unseen: i64,
    scanned: i64,
    unpublished: i64,
    published: i64,
    pub(crate) processing: i64,
    loaded: i64,
    failed: i64,
    /// Claims so far, of all tasks.
    attempts: i64,
}

impl Work {
    pub(crate) async fn look(client: &Client, site: &Site<'_>) -> anyhow::Result<Self> {
        let row = client
            .query_one(
                "SELECT (SELECT count(*) FROM longshore.file),
                        (SELECT count(*) FROM longshore.file WHERE task_id IS NULL),
                        count(*) FILTER (WHERE status = 'NEW' AND published_time IS NULL),
                        count(*) FILTER (WHERE status = 'NEW' AND published_time IS NOT NULL),
                        count(*) FILTER (WHERE status = 'PROCESSING'),
                        count(*) FILTER (WHERE status = 'LOADED'),
                        count(*) FILTER (WHERE status = 'FAILED'),
                        coalesce(sum(attempt), 0)::bigint
                 FROM longshore.task",
                &[],
            )
            .await?;
        let files = i64::try_from(site.manifest.files.len()).context("too many files")?;
        Ok(Self {
            unseen: files - row.get::<_, i64>(0),
            scanned: row.get(1),
            unpublished: row.get(2),
            published: row.get(3),
            processing: row.get(4),
            loaded: row.get(5),
            failed: row.get(6),
            attempts: row.get(7),
        })
    }

    /// Tasks that are not settled.
    pub(crate) fn open_tasks(&self) -> i64 {
        self.unpublished + self.published + self.processing
    }

    /// Whether there is something that a scanner does at its next tick, without a scan.
    pub(crate) fn waits_for_a_tick(&self) -> bool {
        self.scanned + self.unpublished > 0
    }

    /// The first state in which there is unfinished work, of those that a scanner sees to.
    pub(crate) fn for_scanner(&self) -> Option<State> {
        self.first(&[
            State::Unseen,
            State::Scanned,
            State::NewUnpublished,
            State::NewPublished,
            State::Processing,
        ])
    }

    /// The same of those that workers see to, the last one first.
    pub(crate) fn for_worker(&self) -> Option<State> {
        self.first(&[
            State::NewPublished,
            State::NewUnpublished,
            State::Processing,
            State::Scanned,
            State::Unseen,
        ])
    }

    fn first(&self, states: &[State]) -> Option<State> {
        states.iter().copied().find(|state| self.of(*state) > 0)
    }

    fn of(&self, state: State) -> i64 {
        match state {
            State::Unseen => self.unseen,
            State::Scanned => self.scanned,
            State::NewUnpublished => self.unpublished,
            State::NewPublished => self.published,
            State::Processing => self.processing,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.for_scanner().is_none()
    }
}

/// How often the cron of a draining site calls.
const CRON_EVERY: Duration = Duration::from_secs(5);

/// Ten minutes pass for what was missed, and nothing that was missed waits out its backoff.
const MISSED_LONG_AGO: &str = "
    UPDATE longshore.file SET missed_time = missed_time - interval '10 min', missed_by = 'another-host-1-abcd'
    WHERE missed_time IS NOT NULL;
    UPDATE longshore.task SET due_time = now() WHERE id IN (
        SELECT id FROM longshore.task
        WHERE status = 'NEW' AND due_time > now() AND (failure_msg LIKE '%on this machine%' OR EXISTS (
            SELECT FROM longshore.file WHERE file.task_id = task.id AND missed_time IS NOT NULL))
        FOR UPDATE SKIP LOCKED)";

/// Waits until every file is recorded and every task settled. Gives what is left if nothing has moved for `patience`.
pub(crate) async fn drain(site: &mut Site<'_>, patience: Duration) -> anyhow::Result<Option<Work>> {
    let mut client = site.client().await?;
    let mut seen = Work::default();
    let (mut moved, mut called) = (Instant::now(), None::<Instant>);
    loop {
        let work = match Work::look(&client, site).await {
            Ok(work) => work,
            Err(_) => {
                client = site.client().await?;
                continue;
            }
        };
        if work.is_done() {
            return Ok(None);
        }
        if work != seen {
            (seen, moved) = (work, Instant::now());
        }
        if moved.elapsed() > patience {
            return Ok(Some(work));
        }
        if called.is_none_or(|called| called.elapsed() > CRON_EVERY) {
            site.scan(&["--flush"]).await?;
            called = Some(Instant::now());
            // It is no fault of the line that a missing file waits ten minutes. Another connection's locks may be in the way.
            let _ = client.batch_execute(MISSED_LONG_AGO).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
