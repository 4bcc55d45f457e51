//! The loaded files take the places of their URIs' earlier versions.

use std::collections::HashSet;

use deadpool_postgres::Transaction;
use longshore_common::ledger::{self, Claim, PlacesTaken, RemovalFrom, TaskFile, WhyKeptOut};

use crate::{failure::Failure, outcomes::FailedFiles, progress::Progress};

/// The places that were taken, and the files that cannot stay.
pub(crate) struct Places {
    pub(crate) kept_out: Vec<(i64, Failure)>,
    /// Whether rows of earlier versions were removed.
    pub(crate) has_made_room: bool,
}

/// Removes what the loaded files replace. Gives also the files that cannot stay: because a newer version is loaded, because
/// the earlier one's rows cannot be removed, or because theirs are fewer than the spec allows.
pub(crate) async fn take(
    transaction: &Transaction<'_>,
    claim: &Claim,
    failed: &FailedFiles<'_>,
    progress: &Progress,
) -> Result<Places, Failure> {
    let mut loaded: Vec<&TaskFile> = claim.files.iter().collect();
    if !failed.is_empty() {
        let failed: HashSet<i64> = failed.iter().map(|failed| failed.file.id).collect();
        loaded.retain(|file| !failed.contains(&file.id));
    }
    let removal = RemovalFrom { table: &ledger::quoted_table(&claim.spec), on_step: &|| progress.step() };
    let on_change = claim.spec.discovery.on_change;
    let taken = ledger::take_places(transaction, claim.dataset_id, on_change, &loaded, &removal).await?;
    let PlacesTaken { kept_out, has_made_room } = taken;
    let mut kept_out: Vec<(i64, Failure)> =
        kept_out.into_iter().map(|kept_out| (kept_out.file_id, kept_out.why.into())).collect();
    if has_made_room {
        kept_out.extend(with_too_few_rows(transaction, claim, &loaded).await?);
    }
    Ok(Places { kept_out, has_made_room })
}

/// Which of the loaded files, whose earlier versions are removed, have fewer rows than the spec allows.
pub(crate) async fn with_too_few_rows(
    transaction: &Transaction<'_>,
    claim: &Claim,
    loaded: &[&TaskFile],
) -> Result<Vec<(i64, Failure)>, Failure> {
    let Some(min_ratio) = claim.spec.discovery.min_rows_ratio else { return Ok(Vec::new()) };
    let ids: Vec<i64> = loaded.iter().map(|file| file.id).collect();
    let too_few = ledger::with_too_few_rows(transaction, min_ratio, &ids).await?;
    let failure = |too_few: ledger::TooFewRows| {
        let ledger::TooFewRows { file_id, rows, earlier_rows } = too_few;
        (file_id, Failure::TooFewRows { rows, earlier_rows, min_ratio })
    };
    Ok(too_few.into_iter().map(failure).collect())
}

impl From<WhyKeptOut> for Failure {
    fn from(why: WhyKeptOut) -> Self {
        match why {
            WhyKeptOut::Superseded(by) => Self::Superseded { by },
            WhyKeptOut::EarlierIsHeld(error) => Self::EarlierIsHeld(error),
        }
    }
}
