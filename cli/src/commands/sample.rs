use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use flate2::{Compression, write::GzEncoder};
use indicatif::{ProgressBar, ProgressStyle};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;

use super::loans::{CHECKSUM_SQL, HEADER, Loan};
use crate::output;

/// The files lie in hourly folders, YYYY/MM/DD/HH/, from 2026-01-01 on; the same seed gives the same files.
#[derive(Debug, Args)]
pub(crate) struct SampleArgs {
    /// Files to write, one an hour
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    files: u64,
    /// Rows in all files together
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(0..=10_000_000_000))]
    rows: u64,
    /// How many of the rows are broken on purpose
    #[arg(long, default_value_t = 0)]
    broken: u64,
    /// Every so many files one is gzip; 0 for none
    #[arg(long, default_value_t = 3)]
    gzip_every: u64,
    /// Seed of the random rows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON value: counts, and the checksum of the good rows with the SQL that gives it
    #[arg(long)]
    json: bool,
    /// Folder to write into
    dir: PathBuf,
}

#[derive(Debug, Default, Serialize)]
struct Manifest {
    files: u64,
    rows: u64,
    good: u64,
    broken: u64,
    bytes: u64,
    checksum: String,
    checksum_sql: &'static str,
}

pub(crate) fn run(args: &SampleArgs) -> anyhow::Result<ExitCode> {
    if args.broken > args.rows {
        anyhow::bail!(output::WrongCall(format!(
            "--broken {} is more than --rows {}",
            args.broken, args.rows
        )));
    }
    // On stderr, and only if that is a terminal.
    let bar = ProgressBar::new(args.rows);
    bar.set_style(ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} rows")?);
    let mut writer = Writer::new(args);
    for index in 0..args.files {
        writer.write_file(index)?;
        bar.set_position(writer.next_id - 1);
    }
    bar.finish_and_clear();
    let manifest = writer.finish();
    if args.json {
        output::print_json(&manifest)?;
    } else {
        output::print(&format!(
            "wrote {} files with {} rows ({} broken on purpose) to {}",
            output::thousands(manifest.files),
            output::thousands(manifest.rows),
            output::thousands(manifest.broken),
            args.dir.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Writer<'a> {
    args: &'a SampleArgs,
    random: StdRng,
    next_id: u64,
    checksum: u128,
    manifest: Manifest,
    scratch: String,
}

impl<'a> Writer<'a> {
    fn new(args: &'a SampleArgs) -> Self {
        Self {
            args,
            random: StdRng::seed_from_u64(args.seed),
            next_id: 1,
            checksum: 0,
            manifest: Manifest::default(),
            scratch: String::new(),
        }
    }

    fn write_file(&mut self, index: u64) -> anyhow::Result<()> {
        let is_gzip = self.args.gzip_every > 0 && (index + 1).is_multiple_of(self.args.gzip_every);
        let path = self.path(index, is_gzip)?;
        // Under another name until it is whole, as every writer into a watched folder should do.
        let partial = path.with_extension("part");
        let file = File::create(&partial).with_context(|| format!("cannot write {}", partial.display()))?;
        if is_gzip {
            let mut encoder = GzEncoder::new(BufWriter::new(file), Compression::fast());
            self.write_rows(index, &mut encoder)?;
            encoder.finish()?.flush()?;
        } else {
            let mut buffered = BufWriter::with_capacity(1 << 20, file);
            self.write_rows(index, &mut buffered)?;
            buffered.flush()?;
        }
        self.manifest.files += 1;
        self.manifest.bytes += fs::metadata(&partial)?.len();
        fs::rename(&partial, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    fn path(&self, index: u64, is_gzip: bool) -> anyhow::Result<PathBuf> {
        let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse()?;
        let hour = start + TimeDelta::hours(i64::try_from(index)?);
        let folder: &Path = &self.args.dir.join(hour.format("%Y/%m/%d/%H").to_string());
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let suffix = if is_gzip { "csv.gz" } else { "csv" };
        Ok(folder.join(format!("applications-{:06}.{suffix}", index + 1)))
    }

    fn write_rows(&mut self, index: u64, out: &mut impl Write) -> anyhow::Result<()> {
        writeln!(out, "{}", HEADER.join(","))?;
        let mut line = String::new();
        for _ in 0..share(self.args.rows, self.args.files, index) {
            line.clear();
            self.next_line(&mut line);
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn next_line(&mut self, line: &mut String) {
        let loan = Loan::draw(self.next_id, &mut self.random);
        self.next_id += 1;
        self.manifest.rows += 1;
        // Draws exactly `broken` rows out of all, each with the same chance.
        let rows_left = self.args.rows - self.manifest.rows + 1;
        let broken_left = self.args.broken - self.manifest.broken;
        if broken_left > 0 && self.random.random_range(0..rows_left) < broken_left {
            loan.write_broken_line(self.manifest.broken, line);
            self.manifest.broken += 1;
        } else {
            loan.write_line(line);
            self.manifest.good += 1;
            self.checksum += u128::from(loan.checksum(&mut self.scratch));
        }
    }

    fn finish(mut self) -> Manifest {
        self.manifest.checksum = self.checksum.to_string();
        self.manifest.checksum_sql = CHECKSUM_SQL;
        self.manifest
    }
}

/// Rows of the file `index` when `rows` are spread evenly over `files`.
fn share(rows: u64, files: u64, index: u64) -> u64 {
    rows / files + u64::from(index < rows % files)
}
