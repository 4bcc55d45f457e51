use std::{ffi::OsString, process::ExitCode};

use clap::Args;
use longshore_worker::infer::{Sample, infer};

use crate::{
    input::InputFile,
    output::{self, counted, thousands},
};

/// Print a spec that loads these files, inferred from what is in them
///
/// Reads up to 64 MiB of each file: how it is written (encoding, delimiter, quotes, header), what its columns are called,
/// and the narrowest type that holds every value. What a sample leaves open stays text, and a comment says so. The
/// spec is held against the sample before it is printed. Needs no database:
///
///   longshore dataset infer orders-*.csv > orders.toml
///
/// then check the file, and `longshore dataset apply orders.toml`.
#[derive(Debug, Args)]
pub(crate) struct InferArgs {
    /// Local paths or file:// URLs of files with the same columns; gzip and zstd archives as they are
    #[arg(required = true, value_name = "CSV")]
    files: Vec<OsString>,
}

pub(crate) fn run(args: &InferArgs) -> anyhow::Result<ExitCode> {
    let samples =
        InputFile::find_all(&args.files)?.into_iter().map(sample).collect::<anyhow::Result<Vec<_>>>()?;
    let inference = infer(&samples)?;
    if inference.rows_rejected > 0 {
        eprintln!(
            "longshore: note: {} of {} would be rejected; `longshore validate` says why",
            thousands(inference.rows_rejected),
            counted(inference.rows, "row")
        );
    }
    for failure in &inference.failures {
        eprintln!("longshore: note: {}; the end of the spec says what to do", output::one_line(failure));
    }
    output::print(inference.text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn sample(file: InputFile) -> anyhow::Result<Sample> {
    let open = file.open().map_err(|error| anyhow::anyhow!("{}: {error}", file.name))?;
    Ok(Sample::new(file.name, std::path::absolute(file.path)?, open))
}
