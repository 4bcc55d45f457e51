//! One task as one transaction: the rows of its files, their rejects and counts, and LOADED.

use std::sync::Arc;

use deadpool_postgres::{ClientWrapper, Transaction};
use longshore_common::{
    dataset::AfterLoad,
    edge,
    ledger::{self, Claim},
    store::Store,
    telemetry,
};
use tracing::{Instrument, info_span, warn};

use crate::{
    copy::TargetTable,
    failure::Failure,
    large_file,
    outcomes::{FailedFile, FailedFiles, LoadTotals, Outcomes},
    parcel::Parcel,
    places,
    progress::Progress,
    read::Reading,
    rows::RowPlan,
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
    let mut transaction = client.transaction().await?;
    edge::pass("worker::after_begin")?;
    let files = copy_files(&transaction, claim, plan.clone(), progress.clone())
        .instrument(info_span!("copy"))
        .await?;
    if edge::is_sabotaged("sabotage::loaded_apart") {
        commit(transaction).await?;
        edge::pass("worker::after_commit")?;
        transaction = client.transaction().await?;
    }
    let files = places::take(&transaction, claim, files, &progress).instrument(info_span!("places")).await?;
    let files = taken_keys::try_again(&transaction, claim, files, &plan, &progress).await?;
    let committed = conclude(claim, files, &transaction).await?;
    edge::pass("worker::before_commit")?;
    commit(transaction).await?;
    edge::pass("worker::after_commit")?;
    count_metrics(&claim.spec.name, &committed);
    Ok(committed)
}

/// The rows of all files into the target table, as their reader hands them over.
pub(crate) async fn copy_files<'a>(
    transaction: &Transaction<'_>,
    claim: &'a Claim,
    plan: Arc<RowPlan>,
    progress: Arc<Progress>,
) -> Result<(LoadTotals, FailedFiles<'a>), Failure> {
    let table = TargetTable::new(transaction, &claim.spec, &plan, &progress).await?;
    let store = Store::to_open(&claim.spec).map_err(Failure::Source)?;
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

/// Gives each failed file a FAILED task of its own and makes the rest LOADED; where no file is left, the task itself
/// keeps the first failed file and is FAILED.
async fn conclude(
    claim: &Claim,
    (totals, failed): (LoadTotals, FailedFiles<'_>),
    transaction: &Transaction<'_>,
) -> Result<Committed, Failure> {
    let committed = Committed { totals, failed_files: failed.len() };
    for FailedFile { file, failure } in &failed {
        warn!(file = %file.stored.uri, "the file fails: {}", failure.for_log());
    }
    let failed: Vec<(i64, String)> =
        failed.iter().map(|failed| (failed.file.id, failed.failure.for_operators())).collect();
    let (own_failure, carved) = match failed.split_first() {
        Some((first, rest)) if !committed.is_loaded() => (Some(first), rest),
        _ => (None, &failed[..]),
    };
    if !carved.is_empty() {
        let carved: Vec<_> = carved.iter().map(|(file_id, reason)| (*file_id, reason.as_str())).collect();
        ledger::carve_out(transaction, claim.task_id, &carved).await?;
    }
    if committed.is_loaded() && claim.spec.discovery.after_load != AfterLoad::Keep {
        let delay = claim.spec.discovery.stays_after_load();
        ledger::plan_after_load(transaction, claim.task_id, claim.attempt, delay).await?;
    }
    // The fence, as the last statement before COMMIT: whoever took this task over has raised its attempt, and then
    // nothing of what this attempt did may stay.
    let is_ours = match own_failure {
        Some((_, reason)) => ledger::fail(&**transaction, claim.task_id, claim.attempt, reason).await?,
        None => ledger::mark_loaded(transaction, claim.task_id, claim.attempt).await?,
    };
    if is_ours { Ok(committed) } else { Err(Failure::Fenced) }
}

async fn commit(transaction: Transaction<'_>) -> Result<(), Failure> {
    async {
        match transaction.commit().await {
            Ok(()) => Ok(()),
            // With a SQLSTATE the server says that it did not commit; without, nobody knows.
            Err(error) if error.code().is_some() => Err(Failure::Database(error)),
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
}
