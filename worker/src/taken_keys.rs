//! Files that a unique key of the target table has kept out. It may be their own earlier versions' rows that have the key:
//! these are removed first then, and the file is copied once more. One file after the other, because each may fail after
//! all, and then its earlier rows stay.

use std::sync::Arc;

use deadpool_postgres::Transaction;
use longshore_common::ledger::{self, Claim, RemovalFrom, TaskFile};
use tracing::{Instrument, info_span};

use crate::{
    failure::Failure,
    load::copy_files,
    outcomes::{FailedFile, FailedFiles, LoadTotals},
    progress::Progress,
    rows::RowPlan,
};

/// Loads those of the failed files for which that makes room; the others stay failed.
pub(crate) async fn try_again<'a>(
    transaction: &Transaction<'_>,
    claim: &'a Claim,
    (mut totals, failed): (LoadTotals, FailedFiles<'a>),
    plan: &Arc<RowPlan>,
    progress: &Arc<Progress>,
) -> Result<(LoadTotals, FailedFiles<'a>), Failure> {
    let (kept_out, mut failed): (FailedFiles<'a>, FailedFiles<'a>) =
        failed.into_iter().partition(|failed| failed.failure.is_key_taken());
    if kept_out.is_empty() {
        return Ok((totals, failed));
    }
    let ids: Vec<i64> = kept_out.iter().map(|failed| failed.file.id).collect();
    let replacing = ledger::replacing(transaction, claim.spec.discovery.on_change, &ids).await?;
    for kept_out in kept_out {
        if !replacing.contains(&kept_out.file.id) {
            failed.push(kept_out);
            continue;
        }
        let file = kept_out.file;
        let again =
            load_in_place(transaction, claim, file, plan, progress).instrument(info_span!("copy_again"));
        match again.await? {
            Ok(loaded) => totals.add(loaded),
            Err(failure) => failed.push(FailedFile { file, failure }),
        }
    }
    Ok((totals, failed))
}

/// Takes the file's place before its rows are there. Where it fails for good, nothing has changed but, if a newer version
/// is loaded, that this is recorded.
async fn load_in_place(
    transaction: &Transaction<'_>,
    claim: &Claim,
    file: &TaskFile,
    plan: &Arc<RowPlan>,
    progress: &Arc<Progress>,
) -> Result<Result<LoadTotals, Failure>, Failure> {
    let removal = RemovalFrom { table: &ledger::quoted_table(&claim.spec), on_step: &|| progress.step() };
    let on_change = claim.spec.discovery.on_change;
    transaction.batch_execute("SAVEPOINT in_place").await?;
    let kept_out = ledger::take_places(transaction, claim.dataset_id, on_change, &[file], &removal).await?;
    if let Some(kept_out) = kept_out.into_iter().next() {
        transaction.batch_execute("RELEASE SAVEPOINT in_place").await?;
        return Ok(Err(kept_out.why.into()));
    }
    let alone = Claim { files: vec![file.clone()], ..claim.clone() };
    let (totals, failed) = copy_files(transaction, &alone, plan.clone(), progress.clone()).await?;
    match failed.into_iter().next() {
        None => {
            transaction.batch_execute("RELEASE SAVEPOINT in_place").await?;
            Ok(Ok(totals))
        }
        Some(FailedFile { failure, .. }) => {
            transaction.batch_execute("ROLLBACK TO SAVEPOINT in_place; RELEASE SAVEPOINT in_place").await?;
            Ok(Err(failure))
        }
    }
}
