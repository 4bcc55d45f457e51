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
    places,
    progress::Progress,
    rows::RowPlan,
    savepoints::Savepoints,
};

/// Each try copies all that is left together: files that push each other out one after another must not go on for ever.
const MAX_TRIES: u32 = 8;

/// Loads those of the failed files for which there is room, or can be made; the others stay failed. `has_made_room`: rows
/// were removed since they failed.
///
/// They are tried together, because the key of one may be held by rows that another replaces. Where some fail all the same,
/// nothing of that stays, and the others are tried without them, and these again once something is loaded. At last, each that
/// replaces one is tried alone: what kept it out may have been a neighbour that failed.
pub(crate) async fn try_again<'a>(
    transaction: &Transaction<'_>,
    claim: &'a Claim,
    (mut totals, failed, mut has_made_room): (LoadTotals, FailedFiles<'a>, bool),
    plan: &Arc<RowPlan>,
    progress: &Arc<Progress>,
    savepoints: &Savepoints,
) -> Result<(LoadTotals, FailedFiles<'a>), Failure> {
    let (mut waiting, mut failed): (FailedFiles<'a>, FailedFiles<'a>) =
        failed.into_iter().partition(|failed| failed.failure.is_key_taken());
    let removal = RemovalFrom { table: &ledger::quoted_table(&claim.spec), on_step: &|| progress.step() };
    let replacing = replacing(transaction, claim, &mut waiting, &mut failed, &removal).await?;
    progress.count_no_more();
    let (mut refused_since, mut tried_alone) = (Vec::new(), HashSet::new());
    for _ in 0..MAX_TRIES {
        let is_replacing = |waiting: &FailedFile<'_>| replacing.contains(&waiting.file.id);
        if waiting.is_empty() || !(has_made_room || waiting.iter().any(is_replacing)) {
            break;
        }
        // Who replaces comes first: its keys were there before those of a newcomer.
        waiting.sort_by_key(|waiting| !is_replacing(waiting));
        let files: Vec<&TaskFile> = waiting.iter().map(|waiting| waiting.file).collect();
        tried_alone.extend((files.len() == 1).then(|| files[0].id));
        let trying = load_in_place(transaction, claim, &files, &removal, plan, progress, savepoints);
        let (loaded, refused) = trying.instrument(info_span!("copy_again")).await?;
        let is_refused: HashSet<i64> = refused.iter().map(|refused| refused.file.id).collect();
        let (by_key, others): (FailedFiles<'a>, FailedFiles<'a>) =
            refused.into_iter().partition(|refused| refused.failure.is_key_taken());
        failed.extend(others);
        refused_since.extend(by_key);
        waiting.retain(|waiting| !is_refused.contains(&waiting.file.id));
        if let Some(loaded) = loaded {
            totals.add(loaded);
            has_made_room = true;
            waiting = std::mem::take(&mut refused_since);
        }
    }
    waiting.extend(refused_since);
    for waiting in waiting {
        if tried_alone.contains(&waiting.file.id) || !replacing.contains(&waiting.file.id) {
            failed.push(waiting);
            continue;
        }
        let (loaded, refused) =
            load_in_place(transaction, claim, &[waiting.file], &removal, plan, progress, savepoints).await?;
        totals.add(loaded.unwrap_or_default());
        failed.extend(refused);
    }
    Ok((totals, failed))
}

/// Those of the waiting files that would replace a loaded version. Where what refers to its rows would go with them, or lose
/// them, although the same keys come back, such files have failed.
async fn replacing<'a>(
    transaction: &Transaction<'_>,
    claim: &Claim,
    waiting: &mut FailedFiles<'a>,
    failed: &mut FailedFiles<'a>,
    removal: &RemovalFrom<'_>,
) -> Result<HashSet<i64>, Failure> {
    if waiting.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<i64> = waiting.iter().map(|waiting| waiting.file.id).collect();
    let replacing = ledger::replacing(transaction, claim.spec.discovery.on_change, &ids).await?;
    if !replacing.is_empty() && removal.cascades(transaction).await? {
        failed.extend(waiting.extract_if(.., |waiting| replacing.contains(&waiting.file.id)));
        return Ok(HashSet::new());
    }
    Ok(replacing)
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
    savepoints: &Savepoints,
) -> Result<(Option<LoadTotals>, FailedFiles<'a>), Failure> {
    let file = |id: i64| files.iter().copied().find(|file| file.id == id);
    let on_change = claim.spec.discovery.on_change;
    transaction.batch_execute("SAVEPOINT in_place").await?;
    let places = ledger::take_places(transaction, claim.dataset_id, on_change, files, removal).await?;
    let mut refused: FailedFiles<'a> = places
        .kept_out
        .into_iter()
        .filter_map(|kept_out| {
            Some(FailedFile { file: file(kept_out.file_id)?, failure: kept_out.why.into() })
        })
        .collect();
    let has_place = |file: &TaskFile| !refused.iter().any(|refused| refused.file.id == file.id);
    let with_place = files.iter().filter(|file| has_place(file)).map(|file| (*file).clone()).collect();
    let part = claim.with_files(with_place);
    let (loaded, failed) = copy_files(transaction, &part, plan.clone(), progress.clone(), savepoints).await?;
    let loaded_files: Vec<&TaskFile> =
        if failed.is_empty() { part.files.iter().collect() } else { Vec::new() };
    let too_few = places::with_too_few_rows(transaction, claim, &loaded_files).await?;
    if failed.is_empty() && too_few.is_empty() {
        transaction.batch_execute("RELEASE SAVEPOINT in_place").await?;
        return Ok((Some(loaded), refused));
    }
    transaction.batch_execute("ROLLBACK TO SAVEPOINT in_place; RELEASE SAVEPOINT in_place").await?;
    let failed = failed
        .into_iter()
        .filter_map(|failed| Some(FailedFile { file: file(failed.file.id)?, failure: failed.failure }));
    refused.extend(failed);
    refused.extend(
        too_few.into_iter().filter_map(|(id, failure)| Some(FailedFile { file: file(id)?, failure })),
    );
    Ok((None, refused))
}
