//! The peer's table: like ours, with the same columns stored.

use std::path::Path;

use crate::{bench::Bench, dataset::Dataset, rows::Rows};

/// In a schema of its own, under the figure's name.
pub(crate) struct PeerTable<'a> {
    bench: &'a Bench,
    pub(crate) name: String,
    /// Those that a file fills, as COPY names them.
    columns: String,
}

impl<'a> PeerTable<'a> {
    /// What is alike and what is not, for the output.
    pub(crate) const SHOWN: &'static str = "the same columns and types; _file_id and _line, which no file has, are \
         filled by Longshore\n          with the lineage, and by DEFAULT 0 in the peer's table; autovacuum off on both";

    /// Makes it like the dataset's.
    ///
    /// A CSV file does not have the two columns of lineage: defaults fill them, so that both sides store the same columns.
    pub(crate) async fn like(bench: &'a Bench, dataset: &Dataset<'_>) -> anyhow::Result<Self> {
        let ours = dataset.table();
        let name = ours.replace("reporting.", "peer.");
        let statements = format!(
            "CREATE SCHEMA IF NOT EXISTS peer;
             CREATE TABLE {name} (LIKE {ours} INCLUDING ALL) WITH (autovacuum_enabled = off);
             ALTER TABLE {name} ALTER COLUMN _file_id SET DEFAULT 0, ALTER COLUMN _line SET DEFAULT 0"
        );
        bench.server.execute(&statements).await?;
        let columns = format!(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
             WHERE attrelid = '{name}'::regclass AND attnum > 0 AND attname NOT IN ('_file_id', '_line')"
        );
        let columns = bench.server.value(&columns).await?;
        Ok(Self { bench, name, columns })
    }

    /// For psql, which copies a CSV file with a header, and `NA` for no value, into the columns that it fills.
    pub(crate) fn copy_command(&self, file: &Path) -> String {
        let (name, columns) = (&self.name, &self.columns);
        let file = file.display().to_string().replace('\'', "''");
        format!("\\copy {name}({columns}) from '{file}' with (format csv, header, null 'NA')")
    }

    /// The command line of such a command without the names of the columns, for the output.
    pub(crate) fn shown_copy(&self, command: &str) -> String {
        self.bench.psql.shown(&command.replace(&self.columns, "…"))
    }

    /// Rows per second of one `psql` a command, all at once, until the last process has ended; verifies the rows.
    pub(crate) async fn rate(&self, commands: &[String], rows: &Rows) -> anyhow::Result<f64> {
        self.bench.server.start_even().await?;
        let elapsed = self.bench.psql.timed(commands).await?;
        rows.verify(&self.bench.server, &self.name).await?;
        Ok(rows.count as f64 / elapsed.as_secs_f64())
    }
}
