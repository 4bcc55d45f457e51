//! The loaded files take the places of their URIs' earlier versions.

use std::collections::HashSet;

use deadpool_postgres::Transaction;
use longshore_common::ledger::{self, Claim, PlacesTaken, RemovalFrom, TaskFile, WhyKeptOut};

use crate::{failure::Failure, outcomes::FailedFiles, progress::Progress};

/// Removes what the loaded files replace. Gives also the files that cannot stay: because a newer version is loaded, because
/// the earlier one's rows cannot be removed, or because they are fewer than the spec allows.
pub(crate) async fn take(
    transaction: &Transaction<'_>,
    claim: &Claim,
    failed: &FailedFiles<'_>,
    progress: &Progress,
) -> Result<PlacesTaken, Failure> {
    let mut loaded: Vec<&TaskFile> = claim.files.iter().collect();
    if !failed.is_empty() {
        let failed: HashSet<i64> = failed.iter().map(|failed| failed.file.id).collect();
        loaded.retain(|file| !failed.contains(&file.id));
    }
    let removal = RemovalFrom { table: &ledger::quoted_table(&claim.spec), on_step: &|| progress.step() };
    let on_change = claim.spec.discovery.on_change;
    Ok(ledger::take_places(transaction, claim.dataset_id, on_change, &loaded, &removal).await?)
}

impl From<WhyKeptOut> for Failure {
    fn from(why: WhyKeptOut) -> Self {
        match why {
            WhyKeptOut::Superseded(by) => Self::Superseded { by },
            WhyKeptOut::EarlierIsHeld(error) => Self::EarlierIsHeld(error),
        }
    }
}
