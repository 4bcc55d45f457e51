//! One task as one transaction: the rows of its files, their rejects and counts, and LOADED.

use std::{collections::HashSet, sync::Arc};

use deadpool_postgres::{ClientWrapper, Transaction};
use longshore_common::{
    dataset::AfterLoad,
    edge,
    ledger::{self, Claim, TaskFile},
    store::Store,
    telemetry,
};
use tokio_postgres::error::SqlState;
use tracing::{Instrument, info_span, warn};

use crate::{
    copy::TargetTable,
    failure::{Failure, Verdict},
    large_file,
    outcomes::{self, FailedFile, FailedFiles, LoadTotals, Outcomes},
    parcel::Parcel,
    places::{self, Places},
    progress::Progress,
    read::Reading,
    rows::RowPlan,
    savepoints::Savepoints,
    small_files::SmallFiles,
    taken_keys,
};

/// A committed load.
#[derive(Debug)]
pub(crate) struct Committed {
    /// What was loaded; no files if the whole task FAILED.
    pub(crate) totals: LoadTotals,
    /// Files that FAILED for good.
    pub(crate) failed_files: usize,
    /// Those among them that had too few rows to replace the earlier version.
    too_few_rows: usize,
}

impl Committed {
    /// Whether the task is LOADED; otherwise it is FAILED.
    pub(crate) fn is_loaded(&self) -> bool {
        self.totals.files > 0
    }
}

/// Loads the claimed task and commits. An error means that nothing of it is in the database, except after
/// [`Failure::CommitUnknown`]; the connection must be settled and closed then.
pub(crate) async fn load(
    client: &mut ClientWrapper,
    claim: &Claim,
    progress: Arc<Progress>,
) -> Result<Committed, Failure> {
    let plan = Arc::new(RowPlan::compile(&claim.spec)?);
    let (mut kept_out, mut is_bounded) = (FailedFiles::new(), true);
    // Ends, because each try leaves out more files, or is the first with a savepoint for each part.
    loop {
        let savepoints = if is_bounded { Savepoints::bounded() } else { Savepoints::unbounded() };
        match load_without(client, claim, &mut kept_out, &plan, &progress, &savepoints).await {
            Ok(Some(committed)) => {
                count_metrics(&claim.spec.name, &committed);
                return Ok(committed);
            }
            Ok(None) => {}
            Err(Failure::NoSavepoint) if is_bounded => is_bounded = false,
            Err(failure) => return Err(failure),
        }
        progress.count_no_more();
    }
}

/// Loads all files but those that cannot stay. If there are more of these than were known, it goes back to the beginning and
/// gives nothing: what Postgres refuses to remove of the earlier versions, it may refuse to remove of these, too.
async fn load_without<'a>(
    client: &mut ClientWrapper,
    claim: &'a Claim,
    kept_out: &mut FailedFiles<'a>,
    plan: &Arc<RowPlan>,
    progress: &Arc<Progress>,
    savepoints: &Savepoints,
) -> Result<Option<Committed>, Failure> {
    let others = (!kept_out.is_empty()).then(|| claim.with_files(others(claim, kept_out)));
    let files_claim = others.as_ref().unwrap_or(claim);
    let mut transaction = client.transaction().await?;
    edge::pass("worker::after_begin")?;
    let mut files = copy_files(&transaction, files_claim, plan.clone(), progress.clone(), savepoints)
        .instrument(info_span!("copy"))
        .await?;
    // What was loaded before it was kept out was taken by the table.
    if kept_out.is_empty() {
        give_back_what_all_meet(&transaction, claim, &mut files).await?;
    }
    if edge::is_sabotaged("sabotage::loaded_apart") {
        commit(transaction).await?;
        edge::pass("worker::after_commit")?;
        transaction = client.transaction().await?;
    }
    let (totals, failed) = files;
    let places = places::take(&transaction, files_claim, &failed, progress);
    let Places { kept_out: refused, has_made_room } = places.instrument(info_span!("places")).await?;
    if !refused.is_empty() {
        transaction.rollback().await?;
        kept_out.extend(refused.into_iter().filter_map(|(file_id, failure)| {
            let file = claim.files.iter().find(|file| file.id == file_id)?;
            Some(FailedFile { file, failure })
        }));
        return Ok(None);
    }
    let files = (totals, failed, has_made_room);
    let trying = taken_keys::try_again(&transaction, files_claim, files, plan, progress, savepoints);
    let (totals, mut failed) = trying.await?;
    failed.extend(std::mem::take(kept_out));
    give_back_what_cannot_be_read(claim, &mut failed)?;
    let committed = conclude(claim, (totals, failed), &transaction).await?;
    edge::pass("worker::before_commit")?;
    commit(transaction).await?;
    edge::pass("worker::after_commit")?;
    Ok(Some(committed))
}

fn others(claim: &Claim, without: &FailedFiles<'_>) -> Vec<TaskFile> {
    let without: HashSet<i64> = without.iter().map(|failed| failed.file.id).collect();
    claim.files.iter().filter(|file| !without.contains(&file.id)).cloned().collect()
}

/// The rows of all files into the target table, as their reader hands them over.
pub(crate) async fn copy_files<'a>(
    transaction: &Transaction<'_>,
    claim: &'a Claim,
    plan: Arc<RowPlan>,
    progress: Arc<Progress>,
    savepoints: &Savepoints,
) -> Result<(LoadTotals, FailedFiles<'a>), Failure> {
    let table = TargetTable::new(transaction, &claim.spec, &plan, &progress, savepoints).await?;
    let store = Store::to_open(&claim.spec, claim.source_mark.as_deref()).map_err(Failure::Source)?;
    let mut reading = Reading::start(claim, store, plan, progress.clone())?;
    let mut outcomes = Outcomes::new(transaction, claim);
    let mut small_files = SmallFiles::new(&table, &claim.files);
    while let Some(parcel) = reading.parcels.recv().await {
        match parcel {
            Parcel::Whole(files) => small_files.take(files, &mut outcomes).await?,
            Parcel::Begin(place) => {
                small_files.finish(&mut outcomes).await?;
                match large_file::load(&table, &mut reading, place, claim.files[place].id).await {
                    Ok(load) => outcomes.loaded(vec![load]).await?,
                    // What the thread ended of says more.
                    Err(fault @ Failure::Fault(_)) => return reading.ended().await.and(Err(fault)),
                    Err(failure) => outcomes.fail(place, failure)?,
                }
            }
            Parcel::Part(_) | Parcel::End(_) => {
                return Err(Failure::Fault("the reading thread gave parts of no file".to_owned()));
            }
        }
    }
    small_files.finish(&mut outcomes).await?;
    outcomes.record().await?;
    reading.ended().await?;
    if outcomes.are_complete() {
        Ok((outcomes.totals, outcomes.failed))
    } else {
        Err(Failure::Fault("the reading thread left out a file".to_owned()))
    }
}

/// Fails if Postgres has refused all files alike, and that may be the table's fault. It is not, if the same refusal had the
/// dataset wait before, and another load has ended the wait since: then the table takes rows, and these files fail.
async fn give_back_what_all_meet(
    transaction: &Transaction<'_>,
    claim: &Claim,
    (totals, failed): &mut (LoadTotals, FailedFiles<'_>),
) -> Result<(), Failure> {
    let Some(first) = outcomes::refused_alike(*totals, failed) else { return Ok(()) };
    let state = failed[first].failure.doubtful_state().map(SqlState::code).unwrap_or_default();
    if ledger::has_ended_a_wait_since(&**transaction, claim, state).await? {
        return Ok(());
    }
    Err(failed.swap_remove(first).failure.of_every_file())
}

/// Fails if none of the task's files can be read here at present: that is no file's fault, but this machine's or the store's.
fn give_back_what_cannot_be_read(claim: &Claim, failed: &mut FailedFiles<'_>) -> Result<(), Failure> {
    let is_set_aside = |failed: &FailedFile<'_>| failed.failure.verdict() == Verdict::SetAside;
    if failed.len() < claim.files.len() || !failed.iter().all(is_set_aside) || failed.is_empty() {
        return Ok(());
    }
    match failed.len() {
        1 => Err(failed.swap_remove(0).failure),
        files => Err(Failure::NoFileIsThere { files, source: Box::new(failed.swap_remove(0).failure) }),
    }
}

/// Gives each failed file a task of its own, FAILED or, where another try may read it, NEW, and makes the rest LOADED; where
/// no file is left, the task itself keeps the first that failed for good and is FAILED.
async fn conclude(
    claim: &Claim,
    (totals, failed): (LoadTotals, FailedFiles<'_>),
    transaction: &Transaction<'_>,
) -> Result<Committed, Failure> {
    let (set_aside, failed): (FailedFiles<'_>, FailedFiles<'_>) =
        failed.into_iter().partition(|failed| failed.failure.verdict() == Verdict::SetAside);
    let too_few_rows = with_too_few_rows(&failed);
    let committed = Committed { totals, failed_files: failed.len(), too_few_rows: too_few_rows.len() };
    for FailedFile { file, failure } in &failed {
        warn!(file = %file.stored.uri, "the file fails: {}", failure.for_log());
    }
    for FailedFile { file, failure } in &set_aside {
        warn!(file = %file.stored.uri, "the file is tried again by itself: {}", failure.for_log());
    }
    if !set_aside.is_empty() {
        let set_aside: Vec<(i64, String, bool)> = set_aside
            .iter()
            .map(|aside| (aside.file.id, aside.failure.for_operators(), aside.failure.is_missing()))
            .collect();
        let set_aside: Vec<_> =
            set_aside.iter().map(|(id, reason, is_missing)| (*id, reason.as_str(), *is_missing)).collect();
        ledger::set_aside(transaction, claim.task_id, claim.attempt, &set_aside).await?;
    }
    let reasons: Vec<(i64, String)> =
        failed.iter().map(|failed| (failed.file.id, failed.failure.for_operators())).collect();
    let (own_failure, carved) = match reasons.split_first() {
        Some((first, rest)) if !committed.is_loaded() => (Some(first), rest),
        _ => (None, &reasons[..]),
    };
    let superseded: Vec<(i64, i64)> = superseded(&failed);
    if !superseded.is_empty() {
        ledger::record_superseded(transaction, &superseded).await?;
    }
    if !too_few_rows.is_empty() {
        ledger::mark_too_few_rows(transaction, &too_few_rows).await?;
    }
    if !carved.is_empty() {
        let carved: Vec<_> = carved.iter().map(|(file_id, reason)| (*file_id, reason.as_str())).collect();
        ledger::carve_out(transaction, claim.task_id, &carved).await?;
    }
    if committed.is_loaded() && claim.spec.discovery.after_load != AfterLoad::Keep {
        let delay = claim.spec.discovery.stays_after_load();
        ledger::plan_after_load(transaction, claim.task_id, claim.attempt, delay).await?;
    }
    if claim.tries_table {
        match committed.is_loaded() {
            true => ledger::end_wait_with_rows(&**transaction, claim.dataset_id).await?,
            // Its files were at fault, which says nothing of the table.
            false => ledger::try_another_now(&**transaction, claim.dataset_id).await?,
        }
    }
    // The fence, as the last statement before COMMIT: whoever took this task over has raised its attempt, and then
    // nothing of what this attempt did may stay.
    let is_ours = match own_failure {
        Some((_, reason)) => ledger::fail(&**transaction, claim.task_id, claim.attempt, reason).await?,
        None => ledger::mark_loaded(transaction, claim.task_id, claim.attempt).await?,
    };
    if is_ours { Ok(committed) } else { Err(Failure::Fenced) }
}

/// The files that gave way to a newer version, each with that one.
fn superseded(failed: &FailedFiles<'_>) -> Vec<(i64, i64)> {
    let by = |failed: &FailedFile<'_>| match failed.failure {
        Failure::Superseded { by } => Some((failed.file.id, by)),
        _ => None,
    };
    failed.iter().filter_map(by).collect()
}

fn with_too_few_rows(failed: &FailedFiles<'_>) -> Vec<i64> {
    let has_too_few = |failed: &&FailedFile<'_>| matches!(failed.failure, Failure::TooFewRows { .. });
    failed.iter().filter(has_too_few).map(|failed| failed.file.id).collect()
}

async fn commit(transaction: Transaction<'_>) -> Result<(), Failure> {
    async {
        match transaction.commit().await {
            Ok(()) => Ok(()),
            // With a SQLSTATE the server says that it did not commit; without, nobody knows.
            Err(error) if error.code().is_some() => Err(error.into()),
            Err(error) => Err(Failure::CommitUnknown(error)),
        }
    }
    .instrument(info_span!("commit"))
    .await
}

fn count_metrics(dataset: &str, committed: &Committed) {
    let (metrics, totals) = (telemetry::metrics(), committed.totals);
    metrics.rows_loaded(dataset, totals.rows_loaded);
    metrics.rows_rejected(dataset, totals.rows_rejected);
    metrics.bytes_read(dataset, totals.bytes_read);
    metrics.files_with_too_few_rows(dataset, committed.too_few_rows as u64);
}
