//! Making tasks of files.

use tokio_postgres::Client;
use uuid::Uuid;

use super::outbox::WAKE_RELAY;

/// A batch that becomes a task.
#[derive(Debug)]
pub struct NewTask {
    /// Version 7, so that ids sort by time.
    pub id: Uuid,
    /// `longshore.file.id`s.
    pub file_ids: Vec<i64>,
}

/// Makes the tasks, NEW and due now, and gives them their files, all in one transaction.
///
/// Fails without effect if another batcher has taken one of the files in the meantime, or if a stranger holds a lock on one of them
/// or on the dataset for longer than five seconds.
pub async fn create_tasks(
    client: &mut Client,
    dataset_id: i32,
    traceparent: Option<&str>,
    tasks: &[NewTask],
) -> anyhow::Result<()> {
    let ids: Vec<Uuid> = tasks.iter().map(|task| task.id).collect();
    let of_files = tasks.iter().flat_map(|task| task.file_ids.iter().map(|file_id| (task.id, *file_id)));
    let (task_ids, file_ids): (Vec<Uuid>, Vec<i64>) = of_files.unzip();
    let transaction = client.transaction().await?;
    transaction.batch_execute("SET LOCAL lock_timeout = '5s'").await?;
    transaction
        .execute(
            "INSERT INTO longshore.task (id, dataset_id, traceparent)
             SELECT id, $2, $3 FROM unnest($1::uuid[]) AS batch (id)",
            &[&ids, &dataset_id, &traceparent],
        )
        .await?;
    let taken = transaction
        .execute(
            "UPDATE longshore.file SET task_id = batch.task_id, modified_time = now()
             FROM unnest($1::uuid[], $2::bigint[]) AS batch (task_id, file_id)
             WHERE file.id = batch.file_id AND file.task_id IS NULL",
            &[&task_ids, &file_ids],
        )
        .await?;
    anyhow::ensure!(taken == file_ids.len() as u64, "another scanner has batched the same files");
    transaction.execute(&format!("SELECT {WAKE_RELAY}"), &[]).await?;
    transaction.commit().await?;
    Ok(())
}
