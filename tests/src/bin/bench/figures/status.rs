//! How long `longshore status` takes where the ledger is large.

use anyhow::Context;
use longshore_tests::{Progress, thousands};
use serde_json::{Value, json};

use super::{Figure, Goal};
use crate::{bench::Bench, data::loans, dataset::Dataset, pairs::Measured};

const FILES: u64 = 1_000_000;
const FILES_PER_TASK: u64 = 20;
const ROWS_PER_FILE: u64 = 100;

pub(super) const FIGURE: Figure = Figure {
    name: "status_1m_ms",
    goal: Goal::AtMost(100.0),
    unit: "ms",
    measured_in: "ms",
    measure: |bench, figure| Box::pin(measure(bench, figure)),
};

async fn measure(bench: &Bench, figure: &Figure) -> anyhow::Result<Measured> {
    let inbox = bench.folder.join("empty");
    std::fs::create_dir_all(&inbox)?;
    Dataset::over(bench, figure.name, loans::spec()?, &inbox).await?;
    let tasks = bench.scaled(FILES) / FILES_PER_TASK;
    let files = tasks * FILES_PER_TASK;
    println!("{}", figure.name);
    println!(
        "  files   {} in {} tasks; every tenth is NEW, every hundredth FAILED, the",
        thousands(files),
        thousands(tasks)
    );
    println!("          others LOADED; vacuumed");
    println!("  ours    longshore status --json, which also asks RabbitMQ; its numbers are verified\n");
    let progress = Progress::new(figure.name, u64::from(bench.runs) + 2);
    progress.begin("filling the ledger");
    fill(bench, tasks).await?;
    let expected = expected(bench).await?;
    let mut values = Vec::new();
    for run in 0..=bench.runs {
        let step = if run == 0 { "warm-up".to_owned() } else { format!("run {run}/{}", bench.runs) };
        progress.begin(&step);
        let (elapsed, status) = bench.longshore.timed_status().await?;
        let found =
            json!([status["files"]["SENT_FOR_ETL"], status["tasks"]["LOADED"], status["rows"]["loaded"]]);
        anyhow::ensure!(found == expected, "files, tasks and rows should be {expected}: {status}");
        let value = elapsed.as_secs_f64() * 1000.0;
        progress.say(&format!("{step}: {value:.1} {}", figure.measured_in));
        if run > 0 {
            values.push(value);
        }
    }
    Ok(Measured { ours: values.clone(), values, peer: Vec::new() })
}

/// Tasks that went through long ago, and some that did not.
async fn fill(bench: &Bench, tasks: u64) -> anyhow::Result<()> {
    bench
        .server
        .execute(&format!(
            "CREATE TEMP TABLE filled AS
                 SELECT gen_random_uuid() AS id,
                        CASE WHEN n % 100 = 0 THEN 'FAILED' WHEN n % 10 = 1 THEN 'NEW' ELSE 'LOADED' END AS status
                 FROM generate_series(1, {tasks}) AS n;
             INSERT INTO longshore.task (id, dataset_id, status, attempt, published_time, publications, failure_msg)
                 SELECT filled.id, dataset.id, status, 1, now(), 1, CASE status WHEN 'FAILED' THEN 'for the benchmark' END
                 FROM filled, longshore.dataset;
             INSERT INTO longshore.file (dataset_id, task_id, uri, file_modified_time, size_in_bytes, identity)
                 SELECT dataset.id, filled.id, format('file:///elsewhere/%s/%s.csv', filled.id, n), now(), 1000,
                        gen_random_uuid()
                 FROM filled, longshore.dataset, generate_series(1, {FILES_PER_TASK}) AS n;
             INSERT INTO longshore.attempt (task_id, attempt, worker, dataset_version, finished_time, outcome)
                 SELECT id, 1, 'bench', 1, now(), 'LOADED' FROM filled WHERE status = 'LOADED';
             INSERT INTO longshore.file_load (file_id, task_id, attempt, rows_read, rows_loaded, rows_rejected, bytes_read,
                                              first_block, end_block)
                 SELECT file.id, task_id, 1, {ROWS_PER_FILE}, {ROWS_PER_FILE}, 0, 1000, 0, 0
                 FROM longshore.file JOIN filled ON filled.id = task_id WHERE status = 'LOADED';
             DROP TABLE filled"
        ))
        .await?;
    for table in ["task", "file", "attempt", "file_load"] {
        bench.server.execute(&format!("VACUUM (ANALYZE) longshore.{table}")).await?;
    }
    bench.server.execute("CHECKPOINT").await
}

async fn expected(bench: &Bench) -> anyhow::Result<Value> {
    let sql = "SELECT jsonb_build_array((SELECT count(task_id) FROM longshore.file),
                                        (SELECT count(*) FROM longshore.task WHERE status = 'LOADED'),
                                        (SELECT sum(rows_loaded) FROM longshore.file_load))";
    serde_json::from_str(&bench.server.value(sql).await?).context("the counts")
}
