//! Fresh tasks for a case, made as the scanner makes them.

use std::time::SystemTime;

use longshore_common::{
    dataset::{OnChange, parse_spec},
    ledger::{self, NewTask},
    store::StoredFile,
};
use longshore_tests::Stage;
use tokio_postgres::Client;
use uuid::Uuid;

use super::world::Known;

/// Where cases are made.
pub(super) struct House {
    client: Client,
    dataset_id: i32,
    cases: u32,
}

/// The tasks of a case, and all their files.
pub(super) struct Case {
    pub(super) tasks: Vec<Known>,
    pub(super) files: Vec<i64>,
}

/// So many files has each task.
const TASKS: [usize; 2] = [1, 2];

const SPEC: &str = r#"
    name = "model"
    source = "file:///nowhere"
    [target]
    table = "reporting.model"
    [[columns]]
    name = "value"
    type = "bigint"
"#;

impl House {
    pub(super) async fn open(stage: &Stage) -> Self {
        let mut client = stage.client().await;
        // No commit waits for the disk, from the next session on: the test does not break the server.
        let database = client.query_one("SELECT quote_ident(current_database())", &[]).await.unwrap();
        let database: String = database.get(0);
        let alter = format!("ALTER DATABASE {database} SET synchronous_commit = off");
        client.batch_execute(&alter).await.unwrap();
        client = stage.client().await;
        let spec = parse_spec("model.toml", SPEC, |_| None).expect("a spec");
        ledger::apply(&mut client, &spec, &ledger::ApplyOptions::default()).await.expect("a dataset");
        // For the test's own looks at each file's rows.
        client.batch_execute("CREATE INDEX ON reporting.model (_file_id)").await.unwrap();
        let dataset = ledger::current_dataset(&client, "model").await.unwrap().expect("a dataset");
        Self { client, dataset_id: dataset.id, cases: 0 }
    }

    pub(super) async fn new_case(&mut self) -> Case {
        self.cases += 1;
        let file = |number: usize| StoredFile {
            uri: format!("file:///nowhere/{}/{number}.csv", self.cases),
            modified_time: SystemTime::UNIX_EPOCH.into(),
            size_in_bytes: 1,
            etag: String::new(),
        };
        let page: Vec<StoredFile> = (0..TASKS.iter().sum()).map(file).collect();
        ledger::compare_and_enlist(&mut self.client, self.dataset_id, OnChange::Replace, &page)
            .await
            .unwrap();
        let waiting = ledger::waiting_files(&self.client, self.dataset_id, None, 1000).await.unwrap();
        let files: Vec<i64> = waiting.iter().map(|file| file.id).collect();
        let mut rest = files.as_slice();
        let mut new = Vec::new();
        for count in TASKS {
            let (of_task, others) = rest.split_at(count);
            new.push(NewTask { id: Uuid::now_v7(), file_ids: of_task.to_vec() });
            rest = others;
        }
        ledger::create_tasks(&mut self.client, self.dataset_id, None, &new).await.unwrap();
        let mut tasks = Vec::new();
        for task in new {
            let select = "SELECT lease_key FROM longshore.task WHERE id = $1";
            let lease_key = self.client.query_one(select, &[&task.id]).await.unwrap().get(0);
            tasks.push(Known { id: task.id, lease_key, files: task.file_ids });
        }
        Case { tasks, files }
    }

    /// Removes what a failed case left behind, with the sessions that may hold it.
    pub(super) async fn clear(&self) {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'model'";
        self.client.execute(end, &[]).await.unwrap();
        let truncate = "TRUNCATE longshore.task, longshore.file, longshore.attempt, longshore.file_load, longshore.after_load,
                        reporting.model";
        self.client.batch_execute(truncate).await.unwrap();
    }
}
