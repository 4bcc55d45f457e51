//! What new content of one file costs in a table of twenty million rows, in which a thousand files have been replaced before.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context;
use longshore_tests::{Progress, thousands};
use toml::toml;

use super::{Figure, Goal};
use crate::{
    bench::Bench,
    data::loans::{self, Wanted},
    dataset::Dataset,
    pairs::Measured,
};

/// Rows of the table; most of them are copies of what was loaded.
const ROWS: u64 = 20_000_000;
const ROWS_PER_FILE: u64 = 10_000;
/// Files that are replaced, by turns.
const FILES: u64 = 100;
/// So often each of them, before anything is measured.
const ROUNDS: u64 = 10;
const FILES_PER_TASK: u64 = 10;

pub(super) const FIGURE: Figure = Figure {
    name: "replace_file_s",
    goal: Goal::AtMost(0.5),
    unit: "s",
    measured_in: "ms",
    measure: |bench, figure| Box::pin(measure(bench, figure)),
};

async fn measure(bench: &Bench, figure: &Figure) -> anyhow::Result<Measured> {
    let mut spec = loans::spec()?;
    spec.insert("batch".to_owned(), toml! { max_files = (FILES_PER_TASK as i64) }.into());
    let dataset = Dataset::create(bench, figure.name, spec).await?;
    let table = Table { bench, dataset: &dataset };
    let (files, rows) = (bench.scaled(FILES), bench.scaled(ROWS));
    let copies = (rows / (files * ROWS_PER_FILE)).saturating_sub(1);
    println!("{}", figure.name);
    println!(
        "  ours    a table of {} rows; {files} of its files replaced {ROUNDS} times each,",
        thousands(rows)
    );
    println!(
        "          with a VACUUM after each round, as autovacuum would, so that rows go where others were;"
    );
    println!("          then one file of {} rows at a time:", thousands(ROWS_PER_FILE));
    println!("          from the claim to LOADED, as the attempt records it");
    println!("          {}\n", bench.longshore.shown_worker(1));
    let progress = Progress::new(figure.name, 2 + ROUNDS + u64::from(bench.runs));
    progress.begin("the files");
    let wanted = Wanted { files, rows: files * ROWS_PER_FILE, broken: 0 };
    let files =
        copied(&loans::write(bench, &wanted, &bench.folder.join("files")).await?.files, dataset.inbox())?;
    table.load(&files).await?;
    progress.begin("the table");
    table.fill(copies).await?;
    bench.server.execute(&format!("VACUUM ANALYZE {}", dataset.table())).await?;
    for round in 1..=ROUNDS {
        progress.begin(&format!("round {round}/{ROUNDS} of replacing"));
        touch(&files)?;
        table.load(&files).await?;
        bench.server.execute(&format!("VACUUM {}", dataset.table())).await?;
    }
    let mut values = Vec::new();
    for (run, file) in (1..=bench.runs).zip(files.iter().cycle()) {
        progress.begin(&format!("run {run}/{}", bench.runs));
        touch(std::slice::from_ref(file))?;
        bench.server.execute("CHECKPOINT").await?;
        table.load(std::slice::from_ref(file)).await?;
        let last = "SELECT extract(epoch FROM finished_time - started_time) FROM longshore.attempt
                    ORDER BY started_time DESC LIMIT 1";
        let seconds: f64 = bench.server.value(last).await?.parse()?;
        progress.say(&format!("run {run}/{}: {seconds:.3} s", bench.runs));
        values.push(seconds);
    }
    table.verify((copies + 1) * files.len() as u64 * ROWS_PER_FILE).await?;
    Ok(Measured { ours: values.iter().map(|seconds| seconds * 1000.0).collect(), values, peer: Vec::new() })
}

struct Table<'a> {
    bench: &'a Bench,
    dataset: &'a Dataset<'a>,
}

impl Table<'_> {
    /// Loads the new versions of the files.
    async fn load(&self, files: &[PathBuf]) -> anyhow::Result<()> {
        let tasks = files.len().div_ceil(FILES_PER_TASK as usize);
        self.bench.longshore.scan(FIGURE.name, tasks).await?;
        self.bench.longshore.timed_worker(1).await?;
        Ok(())
    }

    /// Copies the loaded rows, as files of the books that nobody replaces.
    async fn fill(&self, copies: u64) -> anyhow::Result<()> {
        let (server, table) = (&self.bench.server, self.dataset.table());
        let columns = server
            .value(&format!(
                "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
                 WHERE attrelid = '{table}'::regclass AND attnum > 0 AND attname <> '_file_id'"
            ))
            .await?;
        server
            .execute(&format!("CREATE SCHEMA peer; CREATE UNLOGGED TABLE peer.loaded AS TABLE {table}"))
            .await?;
        let blocks = format!("pg_relation_size('{table}') / current_setting('block_size')::bigint");
        for copy in 1..=copies {
            let first_block = server.value(&format!("SELECT {blocks}")).await?;
            server
                .execute(&format!(
                    "BEGIN;
                     CREATE TEMP TABLE copy ON COMMIT DROP AS
                         SELECT file_id AS original, nextval('longshore.file_id_seq') AS id FROM longshore.file_load
                         WHERE file_id IN (SELECT min(id) FROM longshore.file GROUP BY uri) AND file_id <= {}
                         ORDER BY file_id;
                     INSERT INTO longshore.file (id, dataset_id, task_id, uri, file_modified_time, size_in_bytes, identity)
                         OVERRIDING SYSTEM VALUE
                         SELECT copy.id, dataset_id, task_id, uri || '/copy/{copy}', file_modified_time, size_in_bytes,
                                gen_random_uuid()
                         FROM copy JOIN longshore.file ON file.id = original;
                     INSERT INTO {table} ({columns}, _file_id)
                         SELECT {columns}, copy.id FROM peer.loaded JOIN copy ON original = _file_id;
                     INSERT INTO longshore.file_load (file_id, task_id, attempt, rows_read, rows_loaded, rows_rejected,
                                                      bytes_read, first_block, end_block)
                         SELECT copy.id, task_id, attempt, rows_read, rows_loaded, rows_rejected, bytes_read,
                                {first_block}, {blocks}
                         FROM copy JOIN longshore.file_load ON file_id = original;
                     COMMIT",
                    self.bench.scaled(FILES)
                ))
                .await?;
        }
        server.execute("DROP SCHEMA peer CASCADE").await
    }

    /// All rows are there, and none of a version that was replaced.
    async fn verify(&self, rows: u64) -> anyhow::Result<()> {
        let found = self
            .bench
            .server
            .value(&format!(
                "SELECT format('%s rows, %s of files that are not loaded', count(*), count(*) FILTER (WHERE file_id IS NULL))
                 FROM {} LEFT JOIN longshore.file_load ON file_id = _file_id AND removed_time IS NULL",
                self.dataset.table()
            ))
            .await?;
        let expected = format!("{rows} rows, 0 of files that are not loaded");
        anyhow::ensure!(found == expected, "{found} instead of {expected}");
        Ok(())
    }
}

fn copied(files: &[PathBuf], folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let copy = |file: &PathBuf| {
        let copy = folder.join(file.file_name().context("a file without a name")?);
        fs::copy(file, &copy)?;
        Ok(copy)
    };
    files.iter().map(copy).collect()
}

/// A version is told from the one before by its time.
fn touch(files: &[PathBuf]) -> anyhow::Result<()> {
    for file in files {
        File::options().append(true).open(file)?.set_modified(SystemTime::now())?;
    }
    Ok(())
}
