//! A tree of many files, as a year of deliveries leaves it: nothing in them, because who lists them does not read them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use longshore_tests::{Progress, thousands};
use tempfile::TempDir;

/// Files of a folder, which has the deliveries of an hour.
const FILES_PER_FOLDER: u64 = 1000;
const HOURS_OF_A_YEAR: u64 = 365 * 24;
/// Parts of their names.
const BRANCHES: [&str; 4] = ["north", "south-east", "overseas-territories", "west"];
/// Lines that tell how far the writing is.
const STEPS: u64 = 10;

/// Goes away when it is dropped.
pub(crate) struct Tree {
    folder: TempDir,
    /// How many.
    pub(crate) files: u64,
}

impl Tree {
    /// Writes it below `parent`. The same names and modified times for the same number.
    pub(crate) async fn write(figure: &'static str, parent: &Path, files: u64) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-tree-").tempdir_in(parent);
        let folder = folder.with_context(|| format!("cannot make a folder in {}", parent.display()))?;
        let folders = files.div_ceil(FILES_PER_FOLDER);
        let progress = Progress::new(figure, STEPS);
        let write = |number: u64| {
            if (number * STEPS / folders) > (number.saturating_sub(1) * STEPS / folders) || number == 0 {
                let written = thousands(number * FILES_PER_FOLDER);
                progress.begin(&format!("writing {} empty files: {written}", thousands(files)));
            }
            let root = folder.path().to_owned();
            let begin = number * FILES_PER_FOLDER;
            let end = files.min(begin + FILES_PER_FOLDER);
            let hour = number * HOURS_OF_A_YEAR / folders;
            async move { tokio::task::spawn_blocking(move || write_folder(&root, hour, begin..end)).await? }
        };
        let threads = thread::available_parallelism()?.get();
        stream::iter(0..folders).map(write).buffer_unordered(threads).try_collect::<()>().await?;
        Ok(Self { folder, files })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn write_folder(root: &Path, hour: u64, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    let begin = year_start()? + TimeDelta::hours(i64::try_from(hour)?);
    let folder: PathBuf = root.join(begin.format("%Y/%m/%d/%H").to_string());
    fs::create_dir_all(&folder)?;
    let day = begin.format("%Y%m%d");
    for number in numbers {
        let branch = BRANCHES[number as usize % BRANCHES.len()];
        let time = begin + TimeDelta::microseconds(i64::try_from(number % FILES_PER_FOLDER)? * 3_599_997);
        let file = File::create_new(folder.join(format!("{branch}-{day}-{number:07}.csv")))?;
        file.set_modified(time.into())?;
    }
    Ok(())
}

/// Always in the past.
fn year_start() -> anyhow::Result<DateTime<Utc>> {
    DateTime::from_timestamp(1_735_689_600, 0).context("2025-01-01")
}
