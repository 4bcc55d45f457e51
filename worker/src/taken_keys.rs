//! Files that a unique key of the target table has kept out. It may be rows of their own earlier versions that have the
//! key: these are removed first then, and the files are copied once more.

use std::{collections::HashSet, sync::Arc};

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
///
/// They are tried together, because the key of one may be held by rows that another replaces. Where some fail all the same,
/// nothing of that stays, and the others are tried without them.
pub(crate) async fn try_again<'a>(
    transaction: &Transaction<'_>,
    claim: &'a Claim,
    (mut totals, failed): (LoadTotals, FailedFiles<'a>),
    plan: &Arc<RowPlan>,
    progress: &Arc<Progress>,
) -> Result<(LoadTotals, FailedFiles<'a>), Failure> {
    let (mut kept_out, mut failed): (FailedFiles<'a>, FailedFiles<'a>) =
        failed.into_iter().partition(|failed| failed.failure.is_key_taken());
    let removal = RemovalFrom { table: &ledger::quoted_table(&claim.spec), on_step: &|| progress.step() };
    let replacing = replacing(transaction, claim, &kept_out, &removal).await?;
    progress.count_no_more();
    while kept_out.iter().any(|kept_out| replacing.contains(&kept_out.file.id)) {
        let files: Vec<&TaskFile> = kept_out.iter().map(|kept_out| kept_out.file).collect();
        let trying = load_in_place(transaction, claim, &files, &removal, plan, progress);
        let (loaded, refused) = trying.instrument(info_span!("copy_again")).await?;
        let is_refused: HashSet<i64> = refused.iter().map(|refused| refused.file.id).collect();
        failed.extend(refused);
        kept_out.retain(|kept_out| !is_refused.contains(&kept_out.file.id));
        if let Some(loaded) = loaded {
            totals.add(loaded);
            kept_out.clear();
        }
    }
    failed.extend(kept_out);
    Ok((totals, failed))
}

/// Those of the files that would replace a loaded version; none if what refers to its rows would go with them, or lose them,
/// although the same keys come back.
async fn replacing(
    transaction: &Transaction<'_>,
    claim: &Claim,
    kept_out: &FailedFiles<'_>,
    removal: &RemovalFrom<'_>,
) -> Result<HashSet<i64>, Failure> {
    if kept_out.is_empty() || removal.cascades(transaction).await? {
        return Ok(HashSet::new());
    }
    let ids: Vec<i64> = kept_out.iter().map(|kept_out| kept_out.file.id).collect();
    Ok(ledger::replacing(transaction, claim.spec.discovery.on_change, &ids).await?)
}

/// Takes the files' places before their rows are there. Gives what was loaded, and the files that have no place; or, if some
/// of them fail, nothing and these: then nothing has changed.
async fn load_in_place<'a>(
    transaction: &Transaction<'_>,
    claim: &Claim,
    files: &[&'a TaskFile],
    removal: &RemovalFrom<'_>,
    plan: &Arc<RowPlan>,
    progress: &Arc<Progress>,
) -> Result<(Option<LoadTotals>, FailedFiles<'a>), Failure> {
    let file = |id: i64| files.iter().copied().find(|file| file.id == id);
    let on_change = claim.spec.discovery.on_change;
    transaction.batch_execute("SAVEPOINT in_place").await?;
    let kept_out = ledger::take_places(transaction, claim.dataset_id, on_change, files, removal).await?;
    let mut refused: FailedFiles<'a> = kept_out
        .into_iter()
        .filter_map(|kept_out| {
            Some(FailedFile { file: file(kept_out.file_id)?, failure: kept_out.why.into() })
        })
        .collect();
    let has_place = |file: &TaskFile| !refused.iter().any(|refused| refused.file.id == file.id);
    let with_place = files.iter().filter(|file| has_place(file)).map(|file| (*file).clone()).collect();
    let Claim { task_id, lease_key, backend_pid, attempt, dataset_id, ref spec, .. } = *claim;
    let part =
        Claim { task_id, lease_key, backend_pid, attempt, dataset_id, spec: spec.clone(), files: with_place };
    let (loaded, failed) = copy_files(transaction, &part, plan.clone(), progress.clone()).await?;
    if failed.is_empty() {
        transaction.batch_execute("RELEASE SAVEPOINT in_place").await?;
        return Ok((Some(loaded), refused));
    }
    transaction.batch_execute("ROLLBACK TO SAVEPOINT in_place; RELEASE SAVEPOINT in_place").await?;
    let failed = failed
        .into_iter()
        .filter_map(|failed| Some(FailedFile { file: file(failed.file.id)?, failure: failed.failure }));
    refused.extend(failed);
    Ok((None, refused))
}
