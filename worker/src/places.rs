//! The loaded files take the places of their URIs' earlier versions.

use std::collections::HashSet;

use deadpool_postgres::Transaction;
use longshore_common::ledger::{self, Claim, KeptOut, RemovalFrom, TaskFile, WhyKeptOut};

use crate::{
    failure::Failure,
    outcomes::{FailedFile, FailedFiles, LoadTotals},
    progress::Progress,
};

/// Removes what the loaded files replace. A file that cannot stay, because a newer version is loaded or because the earlier
/// one's rows are held, joins the failed ones. Gives also whether rows were removed.
pub(crate) async fn take<'a>(
    transaction: &Transaction<'_>,
    claim: &'a Claim,
    (mut totals, mut failed): (LoadTotals, FailedFiles<'a>),
    progress: &Progress,
) -> Result<(LoadTotals, FailedFiles<'a>, bool), Failure> {
    let mut loaded: Vec<&TaskFile> = claim.files.iter().collect();
    if !failed.is_empty() {
        let failed: HashSet<i64> = failed.iter().map(|failed| failed.file.id).collect();
        loaded.retain(|file| !failed.contains(&file.id));
    }
    let removal = RemovalFrom { table: &ledger::quoted_table(&claim.spec), on_step: &|| progress.step() };
    let on_change = claim.spec.discovery.on_change;
    let places = ledger::take_places(transaction, claim.dataset_id, on_change, &loaded, &removal).await?;
    for KeptOut { file_id, why, rows_loaded, rows_rejected, bytes_read } in places.kept_out {
        let Some(file) = claim.files.iter().find(|file| file.id == file_id) else { continue };
        totals.files -= 1;
        totals.rows_loaded -= rows_loaded;
        totals.rows_rejected -= rows_rejected;
        totals.bytes_read -= bytes_read;
        failed.push(FailedFile { file, failure: why.into() });
    }
    Ok((totals, failed, places.has_made_room))
}

impl From<WhyKeptOut> for Failure {
    fn from(why: WhyKeptOut) -> Self {
        match why {
            WhyKeptOut::Superseded => Self::Superseded,
            WhyKeptOut::EarlierIsHeld(error) => Self::EarlierIsHeld(error),
        }
    }
}
