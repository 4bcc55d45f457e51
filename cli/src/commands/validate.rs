use std::{collections::HashMap, ffi::OsString, io, path::Path, process::ExitCode, sync::Arc};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use longshore_common::{dataset::Dataset, ledger};
use longshore_worker::{
    DryRun, dry_run,
    rows::{Counts, Reject, RowPlan},
};
use serde::Serialize;

use super::dataset::read_spec;
use crate::{
    connect::OptionalDatabaseArgs,
    input::InputFile,
    output::{self, Table, WrongCall},
};

/// Files that have less are read before a bar could be looked at.
const MIN_BYTES_FOR_BAR: u64 = 8 << 20;

/// Say what a load of these files would give: a dry run by the same code, which writes nothing
///
/// Exit code 0 if every row would load, 1 if a row or a file would be refused, 2 for a wrong call. A file that fails as
/// a whole loads none of its rows. Constraints that the table has beyond the spec's are not known here.
///
/// --json prints {"dataset", "version", "rows": {"read", "loaded", "rejected"}, "files": [{"file", "bytes_read",
/// "rows_read", "rows_loaded", "rows_rejected", "failure"}], "rejects": [{"rule", "column", "count", "file", "line",
/// "reason"}]}. `rows` are those of the files that do not fail, `failure` is null or why the file fails, and `rejects`
/// has an entry for each rule and column with the first row that broke it.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The name of an applied dataset, or a spec file whose name ends in .toml (which needs no database)
    dataset: String,
    /// Local paths or file:// URLs; gzip and zstd archives as they are
    #[arg(required = true, value_name = "FILE")]
    files: Vec<OsString>,
    /// Print one JSON value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    servers: OptionalDatabaseArgs,
}

pub(crate) async fn run(args: ValidateArgs) -> anyhow::Result<ExitCode> {
    let files = InputFile::find_all(&args.files)?;
    let (spec, version) = read_dataset(&args.dataset, args.servers).await?;
    let plan = Arc::new(RowPlan::compile(&spec)?);
    let mut report = Report::new(spec.name, version);
    let total = files.iter().map(|file| file.size_in_bytes).sum();
    let bar = progress_bar(total)?;
    for file in &files {
        report.validate(file, &plan, &bar);
    }
    bar.finish_and_clear();
    report.rejects.sort_by_key(|group| std::cmp::Reverse(group.count));
    if args.json {
        output::print_json(&report)?;
    } else {
        report.print()?;
    }
    Ok(if report.is_refused() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The spec, and its version if it is an applied one.
async fn read_dataset(name: &str, servers: OptionalDatabaseArgs) -> anyhow::Result<(Dataset, Option<i32>)> {
    if name.ends_with(".toml") {
        return Ok((read_spec(Path::new(name))?, None));
    }
    let servers = servers.required("the name of a spec file ends in .toml")?;
    let pool = servers.pool("longshore validate", 1).await?;
    let stored = ledger::current_dataset(&*pool.get().await?, name).await?;
    let stored = stored.ok_or_else(|| WrongCall::unknown_dataset(name))?;
    Ok((stored.spec, Some(stored.version)))
}

/// On stderr, and only if that is a terminal.
fn progress_bar(total_bytes: u64) -> anyhow::Result<ProgressBar> {
    if total_bytes < MIN_BYTES_FOR_BAR {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {eta} {wide_msg}")?;
    Ok(ProgressBar::new(total_bytes).with_style(style))
}

#[derive(Debug, Serialize)]
struct Report {
    dataset: String,
    /// `None` if the spec is a file.
    version: Option<i32>,
    rows: Rows,
    files: Vec<FileReport>,
    rejects: Vec<RejectGroup>,
    #[serde(skip)]
    group_of: HashMap<(&'static str, Option<String>), usize>,
}

/// Of the files that do not fail.
#[derive(Debug, Default, Serialize)]
struct Rows {
    read: u64,
    loaded: u64,
    rejected: u64,
}

#[derive(Debug, Serialize)]
struct FileReport {
    file: String,
    bytes_read: u64,
    rows_read: u64,
    rows_loaded: u64,
    rows_rejected: u64,
    failure: Option<String>,
}

/// Rows that break the same rule in the same column.
#[derive(Debug, Serialize)]
struct RejectGroup {
    rule: &'static str,
    column: Option<String>,
    count: u64,
    /// Where the first of them is.
    file: String,
    line: i32,
    /// Of the first.
    reason: String,
}

impl Report {
    fn new(dataset: String, version: Option<i32>) -> Self {
        Self {
            dataset,
            version,
            rows: Rows::default(),
            files: Vec::new(),
            rejects: Vec::new(),
            group_of: HashMap::new(),
        }
    }

    fn validate(&mut self, file: &InputFile, plan: &Arc<RowPlan>, bar: &ProgressBar) {
        bar.set_message(file.name.clone());
        let before = bar.position();
        let dry_run = match file.open() {
            Ok(open) => dry_run(open, &file.name, plan.clone(), |step| {
                bar.set_position(before + step.stored_bytes);
                for reject in step.rejects {
                    self.count_reject(&file.name, reject);
                }
            }),
            Err(error) => cannot_open(&error),
        };
        bar.set_position(before + file.size_in_bytes);
        let (counts, rows_loaded) = (dry_run.counts, dry_run.rows_loaded());
        if dry_run.failure.is_none() {
            self.rows.read += counts.rows_read;
            self.rows.loaded += rows_loaded;
            self.rows.rejected += counts.rows_rejected;
        }
        self.files.push(FileReport {
            file: file.name.clone(),
            bytes_read: dry_run.bytes_read,
            rows_read: counts.rows_read,
            rows_loaded,
            rows_rejected: counts.rows_rejected,
            failure: dry_run.failure,
        });
    }

    fn count_reject(&mut self, file: &str, Reject { rule, column, line, reason, .. }: Reject) {
        let index = *self.group_of.entry((rule, column.clone())).or_insert_with(|| {
            self.rejects.push(RejectGroup { rule, column, count: 0, file: file.to_owned(), line, reason });
            self.rejects.len() - 1
        });
        self.rejects[index].count += 1;
    }

    fn is_refused(&self) -> bool {
        !self.rejects.is_empty() || self.files.iter().any(|file| file.failure.is_some())
    }

    fn print(&self) -> anyhow::Result<()> {
        let mut table = Table::new(&["FILE", "READ", "WOULD LOAD", "REJECTED", ""], &[1, 2, 3]);
        for file in &self.files {
            table.add_row([
                file.file.clone(),
                output::thousands(file.rows_read),
                output::thousands(file.rows_loaded),
                output::thousands(file.rows_rejected),
                if file.failure.is_some() { "FAILS" } else { "" }.to_owned(),
            ]);
        }
        table.fit();
        output::print(&table.to_string())?;
        for file in &self.files {
            if let Some(failure) = &file.failure {
                output::print(&format!("\n{} fails: {}", file.file, output::one_line(failure)))?;
            }
        }
        if !self.rejects.is_empty() {
            output::print(&format!("\n{}", self.reject_table()))?;
        }
        output::print(&format!("\n{}", self.conclusion()))
    }

    fn reject_table(&self) -> String {
        let mut table = Table::new(&["RULE", "COLUMN", "COUNT", "FIRST", "REASON"], &[2]);
        for group in &self.rejects {
            let first = match self.files.len() {
                1 => format!("line {}", group.line),
                _ => format!("{}:{}", output::file_name(&group.file), group.line),
            };
            table.add_row([
                group.rule.to_owned(),
                group.column.clone().unwrap_or_default(),
                output::thousands(group.count),
                first,
                group.reason.clone(),
            ]);
        }
        table.fit();
        table.to_string()
    }

    fn conclusion(&self) -> String {
        let failing = self.files.iter().filter(|file| file.failure.is_some()).count() as u64;
        let failing = match failing {
            0 => String::new(),
            _ => format!(
                "; {} of {} would FAIL",
                output::thousands(failing),
                output::counted(self.files.len() as u64, "file")
            ),
        };
        let Rows { read, loaded, rejected } = self.rows;
        let (read, loaded) = (output::counted(read, "row"), output::thousands(loaded));
        format!("{loaded} of {read} would load, {} rejected{failing}", output::thousands(rejected))
    }
}

fn cannot_open(error: &io::Error) -> DryRun {
    let failure = Some(format!("cannot be opened: {error}"));
    DryRun { counts: Counts::default(), bytes_read: 0, failure }
}
