//! What the tables say about the tasks of a case.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokio_postgres::{Client, types::Json};
use uuid::Uuid;

use super::event::Pid;

/// One task and all that hangs on it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Seen {
    pub(super) id: Uuid,
    pub(super) status: String,
    pub(super) attempt: i32,
    pub(super) deaths: i32,
    pub(super) is_due: bool,
    pub(super) is_published: bool,
    pub(super) publications: i32,
    pub(super) failed_before: bool,
    pub(super) has_failure_msg: bool,
    /// Who holds its lease.
    pub(super) holders: Vec<Pid>,
    /// Of all its attempts in their order; empty for one that runs.
    pub(super) outcomes: Vec<String>,
    pub(super) files: Vec<SeenFile>,
}

/// A file, and its rows in the target table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct SeenFile {
    pub(super) id: i64,
    pub(super) rows: i64,
    pub(super) lines: i64,
    /// The attempt and the rows that `file_load` names.
    pub(super) load: Option<(i32, i64)>,
}

const SELECT: &str = "
    WITH holder AS MATERIALIZED (
        SELECT (classid::bigint << 32) | objid::bigint AS lease_key, pid FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 1
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
    SELECT to_jsonb(seen) FROM (
        SELECT id, status, attempt, deaths, status = 'NEW' AND due_time <= now() AS is_due,
               published_time IS NOT NULL AS is_published, publications, first_failure_time IS NOT NULL AS failed_before,
               failure_msg IS NOT NULL AS has_failure_msg,
               ARRAY(SELECT pid FROM holder WHERE holder.lease_key = task.lease_key) AS holders,
               ARRAY(
                   SELECT CASE WHEN (outcome IS NULL) = (finished_time IS NULL) THEN coalesce(outcome, '') ELSE 'HALF' END
                   FROM longshore.attempt WHERE task_id = task.id ORDER BY attempt.attempt
               ) AS outcomes,
               (
                   SELECT jsonb_agg(jsonb_build_object(
                       'id', file.id, 'rows', loaded.rows, 'lines', loaded.lines,
                       'load', (SELECT jsonb_build_array(attempt, rows_loaded) FROM longshore.file_load
                                WHERE file_id = file.id AND task_id = task.id)) ORDER BY file.id)
                   FROM longshore.file
                   CROSS JOIN LATERAL (
                       SELECT count(*) AS rows, count(DISTINCT _line) AS lines FROM reporting.model
                       WHERE _file_id = file.id
                   ) AS loaded
                   WHERE file.task_id = task.id
               ) AS files
        FROM longshore.task
        WHERE id IN (SELECT task_id FROM longshore.file WHERE id = ANY($1))
    ) AS seen";

/// Sees the tasks of these files, through statements that are prepared once.
pub(super) struct Observer {
    client: Client,
    select: tokio_postgres::Statement,
}

impl Observer {
    pub(super) async fn new(client: Client) -> Self {
        // Planned once: planning takes longer than the look.
        client.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
        let select = client.prepare(SELECT).await.unwrap();
        Self { client, select }
    }

    pub(super) async fn look(&self, files: &[i64]) -> BTreeMap<Uuid, Seen> {
        let rows = self.client.query(&self.select, &[&files]).await.unwrap();
        rows.iter()
            .map(|row| {
                let Json(seen) = row.get::<_, Json<Seen>>(0);
                (seen.id, seen)
            })
            .collect()
    }
}
