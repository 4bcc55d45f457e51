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
/// Fails without effect if another batcher has taken one of the files in the meantime.
pub async fn create_tasks(
    client: &mut Client,
    dataset_id: i32,
    traceparent: Option<&str>,
    tasks: &[NewTask],
) -> anyhow::Result<()> {
    let transaction = client.transaction().await?;
    for task in tasks {
        transaction
            .execute(
                "INSERT INTO longshore.task (id, dataset_id, traceparent) VALUES ($1, $2, $3)",
                &[&task.id, &dataset_id, &traceparent],
            )
            .await?;
        let taken = transaction
            .execute(
                "UPDATE longshore.file SET task_id = $1, modified_time = now()
                 WHERE id = ANY($2) AND task_id IS NULL",
                &[&task.id, &task.file_ids],
            )
            .await?;
        anyhow::ensure!(taken == task.file_ids.len() as u64, "another scanner has batched the same files");
    }
    transaction.execute(&format!("SELECT {WAKE_RELAY}"), &[]).await?;
    transaction.commit().await?;
    Ok(())
}
