//! A load: one transaction, a call a step.

use std::mem::ManuallyDrop;

use deadpool_postgres::Transaction;
use longshore_common::ledger::{self, Claim, FileLoad};

use super::{
    books::ROWS_OF_A_FILE,
    event::{Carved, Conclusion, Event, Pid, Settlement},
    part::Exit,
    settling,
    worker::Worker,
    world::Session,
};

/// Why nothing was committed, as far as the worker knows.
pub(super) enum Ended {
    /// Rolled back; to be settled thus.
    Failed(Settlement),
    /// Its session is lost, or its process.
    Early(Exit),
}

impl From<Exit> for Ended {
    fn from(exit: Exit) -> Self {
        Self::Early(exit)
    }
}

pub(super) async fn load(worker: &mut Worker, session: &mut Session, claim: &Claim) -> Result<(), Ended> {
    let pid = session.pid;
    let cue = worker.part.next(pid).await?;
    let begun = session.client.transaction().await;
    let transaction = worker.part.told(pid, begun, |_| said("BEGIN"))?;
    // Dropping it would send a ROLLBACK, which no process does that dies.
    let transaction = ManuallyDrop::new(transaction);
    let mut files: Vec<i64> = claim.files.iter().map(|file| file.id).collect();
    // A file that fails for good: it leaves no rows, and takes the task along if it is the only one.
    let failed = if cue % 4 == 3 { files.pop() } else { None };
    for file in &files {
        let mut cue = worker.part.next(pid).await?;
        if cue >= 200 {
            settling::beat(worker, claim).await;
            cue = worker.part.next(pid).await?;
        }
        if (160..200).contains(&cue) {
            let rolled_back = ManuallyDrop::into_inner(transaction).rollback().await;
            worker.part.told(pid, rolled_back, |()| Event::RolledBack { pid })?;
            return Err(Ended::Failed(settling::chosen_by(cue)));
        }
        let inserted = transaction.execute(INSERT, &[file, &ROWS_OF_A_FILE]).await;
        worker.part.told(pid, inserted, |rows| said(&format!("{rows} rows")))?;
    }
    let how = match failed {
        Some(_) if files.is_empty() => Conclusion::Failed,
        Some(file) => {
            let carved = carve_out(worker, &transaction, pid, claim, file).await?;
            Conclusion::Loaded { carved: Some(carved) }
        }
        None => Conclusion::Loaded { carved: None },
    };
    if !files.is_empty() {
        worker.part.next(pid).await?;
        let loads: Vec<FileLoad> = files.into_iter().map(file_load).collect();
        let recorded = ledger::record_file_loads(&transaction, claim.task_id, claim.attempt, &loads).await;
        worker.part.told(pid, recorded, |()| said("file_load"))?;
    }
    conclude(worker, &transaction, pid, claim, how).await?;
    commit(worker, ManuallyDrop::into_inner(transaction), pid).await
}

const INSERT: &str = "INSERT INTO reporting.model (_file_id, _line, value)
                      SELECT $1, line, line FROM generate_series(1, $2::bigint) AS line";

fn said(what: &str) -> Event {
    Event::Said(what.to_owned())
}

fn file_load(file_id: i64) -> FileLoad {
    let rows = ROWS_OF_A_FILE as u64;
    let (bytes_read, first_block, end_block) = (0, 0, 0);
    FileLoad {
        file_id,
        rows_read: rows,
        rows_loaded: rows,
        rows_rejected: 0,
        bytes_read,
        first_block,
        end_block,
        file_changed_time: None,
    }
}

async fn carve_out(
    worker: &mut Worker,
    transaction: &Transaction<'_>,
    pid: Pid,
    claim: &Claim,
    file: i64,
) -> Result<Carved, Exit> {
    worker.part.next(pid).await?;
    let carving = async {
        ledger::carve_out(transaction, claim.task_id, &[(file, "its content")]).await?;
        let select = "SELECT task_id FROM longshore.file WHERE id = $1";
        Ok(Carved { file, task: transaction.query_one(select, &[&file]).await?.get(0) })
    };
    let carved = carving.await;
    worker.part.told(pid, carved, |carved| said(&format!("{carved:?}")))
}

/// The last statement before COMMIT. What does not own the attempt any more must not be committed.
async fn conclude(
    worker: &mut Worker,
    transaction: &Transaction<'_>,
    pid: Pid,
    claim: &Claim,
    how: Conclusion,
) -> Result<(), Ended> {
    worker.part.next(pid).await?;
    let (task, attempt) = (claim.task_id, claim.attempt);
    worker.part.world.concluding.borrow_mut().insert(pid, task);
    let changed = match how {
        Conclusion::Loaded { .. } => ledger::mark_loaded(transaction, task, attempt).await,
        Conclusion::Failed => ledger::fail(&**transaction, task, attempt, "its content").await,
    };
    if changed.is_err() {
        worker.part.world.forget(pid);
    }
    let concluded = |changed: &bool| Event::Concluded { pid, task, attempt, how, changed: *changed };
    match worker.part.told(pid, changed, concluded)? {
        true => Ok(()),
        false => Err(Ended::Early(Exit::Disconnected)),
    }
}

/// COMMIT. Its answer may be lost: with the session, or with the way to the worker while the session stays.
async fn commit(worker: &mut Worker, transaction: Transaction<'_>, pid: Pid) -> Result<(), Ended> {
    let transaction = ManuallyDrop::new(transaction);
    let cue = worker.part.next(pid).await?;
    let commit = ManuallyDrop::into_inner(transaction).commit();
    let world = worker.part.world.clone();
    if (160..184).contains(&cue) {
        let ended = match cue % 2 {
            0 => tokio::join!(commit, world.terminate(pid)).1,
            _ => tokio::join!(world.terminate(pid), commit).0,
        };
        worker.part.report([Event::CommitUnknown { pid }, ended]);
        return Err(Ended::Early(Exit::Disconnected));
    }
    let committed = commit.await;
    world.concluding.borrow_mut().remove(&pid);
    worker.part.told(pid, committed, |()| Event::Committed { pid })?;
    if cue >= 184 {
        return Err(Ended::Early(Exit::Silenced));
    }
    Ok(())
}
