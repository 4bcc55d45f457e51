//! What all players share: the database, the broker, and sessions that nobody speaks on any more.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use deadpool_postgres::ClientWrapper;
use longshore_common::ledger;
use tokio::{task::AbortHandle, time::Instant};
use tokio_postgres::{Client, Config, NoTls};
use uuid::Uuid;

use super::{
    event::{Event, Pid},
    queue::Queue,
};

/// A connection to the database and its backend.
pub(super) struct Session {
    pub(super) client: ClientWrapper,
    pub(super) pid: Pid,
    connection: AbortHandle,
}

/// A task as its creator and the scanner know it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: Uuid,
    pub(super) lease_key: i64,
    pub(super) files: Vec<i64>,
}

pub(super) struct World {
    config: Config,
    admin: Client,
    pub(super) queue: RefCell<Queue>,
    /// The case's tasks, by when they were made.
    pub(super) tasks: RefCell<Vec<Known>>,
    /// Open sessions of processes that are stopped or cut off.
    silent: RefCell<BTreeMap<Pid, Session>>,
    /// Open transactions that have changed a task, whose row they hold until they end.
    pub(super) concluding: RefCell<BTreeMap<Pid, Uuid>>,
}

impl World {
    pub(super) fn new(mut config: Config, admin: Client) -> Self {
        config.application_name("model");
        let (queue, tasks, silent, concluding) = Default::default();
        Self { config, admin, queue, tasks, silent, concluding }
    }

    /// A call that has to wait for a lock fails: no step, but one that races with another, may need what an open transaction
    /// holds.
    pub(super) async fn connect(&self) -> Session {
        let (client, connection) = self.config.connect(NoTls).await.expect("Postgres answers");
        let moving = tokio::spawn(async { drop(connection.await) });
        let connection = moving.abort_handle();
        let client = ClientWrapper::new(client, moving);
        client.batch_execute("SET lock_timeout = '5s'").await.unwrap();
        let pid = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        Session { client, pid, connection }
    }

    /// Its process is killed: the socket closes without a word.
    pub(super) async fn kill(&self, session: Session) -> Event {
        session.connection.abort();
        let pid = session.pid;
        drop(session);
        self.until_gone(pid).await;
        Event::Ended { pid }
    }

    /// An administrator, or Postgres itself, ends the session; its process does not know yet.
    pub(super) async fn terminate(&self, pid: Pid) -> Event {
        self.admin.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
        self.until_gone(pid).await;
        Event::Ended { pid }
    }

    async fn until_gone(&self, pid: Pid) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let select = "SELECT FROM pg_stat_activity WHERE pid = $1";
        while !self.admin.query(select, &[&pid]).await.unwrap().is_empty() {
            assert!(Instant::now() < deadline, "backend {pid} does not end");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.forget(pid);
    }

    /// Its process is stopped or cut off: the session stays open, with its locks and its transaction.
    pub(super) fn abandon(&self, session: Session) {
        self.silent.borrow_mut().insert(session.pid, session);
    }

    /// A backend is gone.
    pub(super) fn forget(&self, pid: Pid) {
        self.silent.borrow_mut().remove(&pid);
        self.concluding.borrow_mut().remove(&pid);
    }

    pub(super) fn is_concluding(&self, task: Uuid) -> bool {
        self.concluding.borrow().values().any(|concluding| *concluding == task)
    }

    /// Ends the session that holds the task's lease, as if it had been silent beyond the limit.
    pub(super) async fn evict(&self, task: &Known) -> Event {
        let select = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                      AND ((classid::bigint << 32) | objid::bigint) = $1";
        let holder = self.admin.query_opt(select, &[&task.lease_key]).await.unwrap();
        let Some(holder) = holder.map(|row| row.get(0)) else {
            return Event::Said("no holder to evict".into());
        };
        ledger::end_lease_holder(&self.admin, task.lease_key, holder).await.unwrap();
        self.forget(holder);
        Event::EndedHolder { task: task.id, holder }
    }

    /// Ends all silent sessions.
    pub(super) async fn end_silence(&self) -> Vec<Event> {
        let silent = std::mem::take(&mut *self.silent.borrow_mut());
        let mut events = Vec::new();
        for session in silent.into_values() {
            events.push(self.kill(session).await);
        }
        events
    }

    /// Time passes until the task is due.
    pub(super) async fn wait_until_due(&self, task: Uuid) -> Event {
        let update = "UPDATE longshore.task SET due_time = now(), modified_time = now()
                      WHERE id = $1 AND due_time > now()";
        match self.admin.execute(update, &[&task]).await.unwrap() {
            0 => Event::Said("it is due already".into()),
            _ => Event::Due { task },
        }
    }

    /// Only a step makes time pass: what is due later stays so until then. By less than an hour, beyond
    /// which a due time counts as a clock's mistake. Gives the seconds of the backoff.
    pub(super) async fn stop_clock(&self, task: Uuid) -> Option<f64> {
        let update = "UPDATE longshore.task SET due_time = due_time + interval '30 minutes'
                      WHERE id = $1 AND status = 'NEW' AND due_time > modified_time
                        AND due_time < modified_time + interval '20 minutes'
                      RETURNING extract(epoch FROM due_time - modified_time - interval '30 minutes')::double precision";
        self.admin.query_opt(update, &[&task]).await.unwrap().map(|row| row.get(0))
    }

    pub(super) async fn retry(&self, task: Uuid) -> Event {
        let result = ledger::retry(&self.admin, &[task]).await.unwrap();
        Event::Retried { task, retried: result.retried == [task] }
    }

    /// Takes every published task that is NEW for one whose message was lost, rightly or not.
    pub(super) async fn unpublish(&self, client: &Client) -> Result<u64, tokio_postgres::Error> {
        let limit = SystemTime::now() + Duration::from_secs(3600);
        ledger::unpublish_page(client, None, limit.into()).await.map(|(tasks, _)| tasks)
    }

    pub(super) async fn find_lost(&self) -> Event {
        Event::Unpublished { tasks: self.unpublish(&self.admin).await.unwrap() }
    }
}
