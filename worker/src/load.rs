//! One task as one transaction: the rows of its files, their rejects and counts, and LOADED.

use std::sync::Arc;

use longshore_common::{
    ledger::{self, Claim, FileLoad, TaskFile},
    telemetry,
};
use tokio_postgres::{Client, Transaction};
use tracing::{Instrument, info_span, warn};

use crate::{
    copy::copy_statement,
    failure::{Failure, Verdict},
    load_file::{LoadContext, load_file},
    read::Progress,
    rows::RowPlan,
};

/// A committed load.
#[derive(Debug)]
pub(crate) struct Committed {
    /// Files that are loaded; none if the whole task FAILED.
    pub(crate) loads: Vec<FileLoad>,
    /// Files that FAILED for good.
    pub(crate) failed_files: usize,
}

impl Committed {
    /// Whether the task is LOADED; otherwise it is FAILED.
    pub(crate) fn is_loaded(&self) -> bool {
        !self.loads.is_empty()
    }
}

/// Loads the claimed task and commits. An error means that nothing of it is in the database, except after
/// [`Failure::CommitUnknown`]; the connection must be settled and closed then.
pub(crate) async fn load(
    client: &mut Client,
    claim: &Claim,
    progress: Arc<Progress>,
) -> Result<Committed, Failure> {
    let plan = RowPlan::compile(&claim.spec)?;
    let context = LoadContext {
        spec: claim.spec.clone(),
        copy_statement: copy_statement(&claim.spec, &plan),
        plan: Arc::new(plan),
        progress,
    };
    let transaction = client.transaction().await?;
    let mut loads = Vec::with_capacity(claim.files.len());
    let mut failed = Vec::new();
    for file in &claim.files {
        match load_under_savepoint(&context, &transaction, claim, file).await {
            Ok(load) => loads.push(load),
            Err(failure) if failure.verdict() == Verdict::CarveOut => {
                warn!(file = %file.stored.uri, "the file fails: {}", failure.for_log());
                failed.push((file, failure.for_operators()));
            }
            Err(failure) => return Err(failure),
        }
    }
    let committed = Committed { loads, failed_files: failed.len() };
    conclude(&transaction, claim, &committed, &failed).await?;
    commit(transaction).await?;
    count_metrics(&claim.spec.name, &committed);
    Ok(committed)
}

/// A savepoint a file: if the file fails, its rows and rejects go, and those of its neighbours stay.
async fn load_under_savepoint(
    context: &LoadContext,
    transaction: &Transaction<'_>,
    claim: &Claim,
    file: &TaskFile,
) -> Result<FileLoad, Failure> {
    transaction.batch_execute("SAVEPOINT file").await?;
    let outcome = load_file(context, transaction, file).await;
    match outcome {
        Ok(load) => {
            ledger::record_file_load(transaction, claim.task_id, claim.attempt, &load).await?;
            transaction.batch_execute("RELEASE SAVEPOINT file").await?;
            Ok(load)
        }
        Err(failure) if failure.verdict() == Verdict::CarveOut => {
            transaction.batch_execute("ROLLBACK TO SAVEPOINT file; RELEASE SAVEPOINT file").await?;
            Err(failure)
        }
        Err(failure) => Err(failure),
    }
}

/// Gives each failed file a FAILED task of its own and makes the rest LOADED; where no file is left, the task itself
/// keeps the first failed file and is FAILED.
async fn conclude(
    transaction: &Transaction<'_>,
    claim: &Claim,
    committed: &Committed,
    failed: &[(&TaskFile, String)],
) -> Result<(), Failure> {
    let (own_failure, carved) = match failed.split_first() {
        Some((first, rest)) if !committed.is_loaded() => (Some(first), rest),
        _ => (None, failed),
    };
    for (file, reason) in carved {
        ledger::carve_out(transaction, claim.dataset_id, claim.task_id, file.id, reason).await?;
    }
    // The fence, as the last statement before COMMIT: whoever took this task over has raised its attempt, and then
    // nothing of what this attempt did may stay.
    let is_ours = match own_failure {
        Some((_, reason)) => ledger::fail(transaction, claim.task_id, claim.attempt, reason).await?,
        None => ledger::mark_loaded(transaction, claim.task_id, claim.attempt).await?,
    };
    if is_ours { Ok(()) } else { Err(Failure::Fenced) }
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
    let metrics = telemetry::metrics();
    for load in &committed.loads {
        metrics.rows_loaded(dataset, load.rows_loaded);
        metrics.rows_rejected(dataset, load.rows_rejected);
        metrics.bytes_read(dataset, load.bytes_read);
    }
}
