use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use longshore_common::{
    dataset::Dataset,
    ledger::{self, Applied, ApplyError, ApplyOptions, SourceChange, TableChange},
    store::Store,
};
use tokio::time::Instant;
use tokio_postgres::Client;

use super::dataset::read_spec;
use crate::{
    connect::DatabaseArgs,
    output::{self, WrongCall},
};

/// Check specs and store them; create their target tables, or widen them
///
/// A table gets the columns that it lacks, more digits in a numeric(p,s) and NOT NULL for what is required, if no row has
/// to be rewritten. Other changes of a type are refused, with the ALTER to run; between the ALTER and the apply, in either order, loads
/// wait and write nothing.
///
/// `${NAME}` and `${NAME:-default}` in a spec are replaced from the environment. A spec that is not allowed changes
/// nothing. While a table is in use, it is tried again for three minutes; nobody waits behind it.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Spec files in TOML
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Say what would be done, and change nothing; what would be refused exits 1
    #[arg(long)]
    dry_run: bool,
    /// Make an empty table where the one that was loaded is gone; its files still count as loaded
    #[arg(long)]
    new_table: bool,
    /// The source is at another place now, and its files are others than those before: load them all
    #[arg(long, conflicts_with = "rename_prefix")]
    new_files: bool,
    /// The source is at another place now, and its files are the same: rename OLD… to NEW… in the ledger, so that none is loaded again
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"])]
    rename_prefix: Vec<String>,
    #[command(flatten)]
    servers: DatabaseArgs,
}

pub(super) async fn run(args: ApplyArgs) -> anyhow::Result<ExitCode> {
    // All are checked before the first is applied.
    let specs = args.files.iter().map(|path| read_spec(path)).collect::<anyhow::Result<Vec<Dataset>>>()?;
    if specs.len() > 1 && !args.rename_prefix.is_empty() {
        return Err(WrongCall("--rename-prefix goes with one spec at a time".to_owned()).into());
    }
    let source_change = match args.rename_prefix.as_slice() {
        [old, new] => SourceChange::RenamePrefix { old: old.clone(), new: new.clone() },
        _ if args.new_files => SourceChange::NewFiles,
        _ => SourceChange::Unsaid,
    };
    let options = ApplyOptions { dry_run: args.dry_run, new_table: args.new_table, source_change };
    let pool = args.servers.pool("longshore dataset apply", 1).await?;
    let mut client = pool.get().await?;
    for spec in &specs {
        let applied = apply(&mut client, spec, &options).await?;
        report(spec, &applied, args.dry_run)?;
        let probe = async { Store::of(spec)?.look().await };
        if let Err(error) = probe.await {
            let reason = output::one_line(&format!("{error:#}"));
            eprintln!(
                "{}: note: {reason}; from this machine, each scan fails until that is mended",
                spec.name
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How long a table may be in use.
const IN_USE_LIMIT: Duration = Duration::from_secs(180);
/// Between two tries, so that those who would wait behind one get their turn.
const PAUSE: Duration = Duration::from_secs(1);

async fn apply(client: &mut Client, spec: &Dataset, options: &ApplyOptions) -> Result<Applied, ApplyError> {
    let began = Instant::now();
    let mut said = false;
    loop {
        let error = match ledger::apply(client, spec, options).await {
            Err(error @ (ApplyError::TableInUse(_) | ApplyError::InUse(_)))
                if began.elapsed() < IN_USE_LIMIT =>
            {
                error
            }
            ended => return ended,
        };
        if !said {
            eprintln!("{}: {error}; trying for {} s", spec.name, IN_USE_LIMIT.as_secs());
            said = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn report(spec: &Dataset, applied: &Applied, dry_run: bool) -> anyhow::Result<()> {
    let version = match applied.is_new_version {
        true if dry_run => format!("version {} would be applied", applied.version),
        true => format!("version {} applied", applied.version),
        false => format!("unchanged, version {}", applied.version),
    };
    let would = if dry_run { " would be" } else { "" };
    let table = match &applied.table {
        TableChange::Created => format!("table {}{would} created", spec.target.table),
        TableChange::Changed(changes) => {
            let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            let would = if dry_run { " would change" } else { "" };
            format!("table {}{would}: {}", spec.target.table, changes.join(", "))
        }
        TableChange::Unchanged => format!("table {} unchanged", spec.target.table),
    };
    // A table or column may have any name.
    output::print(&output::one_line(&format!("{}: {version}; {table}", spec.name)))?;
    if applied.renamed_files > 0 {
        let files = output::counted(applied.renamed_files, "file");
        output::print(&format!("{}: {files}{would} renamed", spec.name))?;
    }
    if !applied.columns_left_out.is_empty() {
        let columns = output::one_line(&applied.columns_left_out.join(", "));
        eprintln!(
            "{}: note: the spec has no {columns} any more; the table keeps what it holds there, and rows to come have NULL; files that still have such a column fail, unless csv.extra_columns = \"ignore\"",
            spec.name
        );
    }
    if !applied.nullable_columns.is_empty() {
        let columns = output::one_line(&applied.nullable_columns.join(", "));
        eprintln!(
            "{}: note: the spec requires {columns}, and the table takes NULL there: rows without a value are rejected, and ALTER TABLE … SET NOT NULL makes the table agree",
            spec.name
        );
    }
    Ok(())
}
