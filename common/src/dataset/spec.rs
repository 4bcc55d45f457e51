//! The spec's tables and keys with their defaults, and the rules that hold between keys.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    after_load::{AfterLoad, check_after_load},
    column::Column,
    column_check::check_columns,
    csv::Csv,
    partition::{MAX_FOLDERS, Partition},
    schedule::{Cron, Schedule},
    source,
    units::{HumanBytes, HumanDuration},
};

/// Lineage column of every target table: `longshore.file.id`, a bigint.
pub const FILE_ID_COLUMN: &str = "_file_id";
/// Lineage column of every target table: the physical line in the file, from 1, an integer.
pub const LINE_COLUMN: &str = "_line";

/// A checked dataset spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Unique name: lower-case letters, digits and underscores.
    pub name: String,
    /// Becomes the target table's comment.
    #[serde(default)]
    pub description: String,
    /// Folder to list, as a `file://` URL, or bucket and prefix, as an `s3://` URL; without a trailing slash.
    pub source: String,
    /// Glob patterns over the path below `source`; a file is taken if one matches.
    #[serde(default = "default_include")]
    pub include: Vec<String>,
    /// When the scanner service looks for new files.
    #[serde(default = "default_schedule")]
    pub schedule: Schedule,
    /// How files become tasks.
    #[serde(default)]
    pub batch: Batch,
    /// How files are found.
    #[serde(default)]
    pub discovery: Discovery,
    /// How files are read.
    #[serde(default)]
    pub csv: Csv,
    /// How many bad rows a file may have.
    #[serde(default)]
    pub rejects: Rejects,
    /// Where rows go.
    pub target: Target,
    /// The columns, in the target table's order.
    pub columns: Vec<Column>,
}

/// How files become tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    /// A task is closed before it would exceed this; a larger file is a task alone.
    pub max_bytes: HumanBytes,
    /// Files in a task at most.
    pub max_files: u32,
    /// A partial batch is sent once its oldest file was scanned this long ago.
    pub max_wait: HumanDuration,
}

/// How files are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Discovery {
    /// Files that changed more recently wait for the next scan.
    pub settle: HumanDuration,
    /// How far behind the watermark a scan still compares.
    pub lookback: HumanDuration,
    /// What becomes of new content under a URI whose earlier version is loaded.
    pub on_change: OnChange,
    /// Share of the earlier version's rows that a new version must have to take its place; any, if there is none. Only with
    /// [`OnChange::Replace`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rows_ratio: Option<f64>,
    /// Follow symbolic links, also out of the source; local folders only.
    pub follow_links: bool,
    /// Folders below the source, by the time of their files: a scan lists only those from watermark − lookback to now.
    pub partition: Partition,
    /// When the scanner service compares the whole store with the ledger.
    pub audit: Cron,
    /// What becomes of a file once its rows are in the table.
    pub after_load: AfterLoad,
    /// Where a file is moved to: the URL of a folder or prefix without a trailing slash; only with [`AfterLoad::Move`].
    pub move_to: Option<String>,
    /// How long after its load a file is left where it is before it is moved or deleted.
    pub after_load_delay: HumanDuration,
    /// Delete also files with rejected rows; only with [`AfterLoad::Delete`].
    pub delete_with_rejects: bool,
}

impl Discovery {
    /// How long a loaded file is left where it is: never shorter than `settle`, also in a spec that was stored before there was
    /// such a key.
    pub fn stays_after_load(&self) -> Duration {
        self.after_load_delay.0.max(self.settle.0)
    }
}

/// What becomes of new content under a URI whose earlier version is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnChange {
    /// The new version's rows take the place of the earlier one's.
    #[default]
    Replace,
    /// The new version's rows are loaded beside the earlier one's.
    Append,
    /// The new version is recorded and not loaded.
    Ignore,
    /// The new version becomes a FAILED task, which an operator may retry.
    Fail,
}

/// How many bad rows a file may have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rejects {
    /// Per file; one more fails the file.
    pub max_rows: u32,
    /// Share of a file's rows, for files of 1,000 rows or more; a larger share fails the file.
    pub max_ratio: f64,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `reporting.` and the table's name.
    pub table: String,
}

impl Target {
    /// The table's name without its schema.
    pub fn table_name(&self) -> &str {
        self.table.strip_prefix(TARGET_SCHEMA_PREFIX).unwrap_or(&self.table)
    }
}

const TARGET_SCHEMA_PREFIX: &str = "reporting.";

fn default_include() -> Vec<String> {
    ["**/*.csv", "**/*.csv.gz", "**/*.csv.zst"].map(str::to_owned).to_vec()
}

fn default_schedule() -> Schedule {
    Schedule::Cron(checked_cron("0 * * * *"))
}

fn checked_cron(text: &str) -> Cron {
    match Cron::try_from(text.to_owned()) {
        Ok(cron) => cron,
        Err(message) => unreachable!("{message}"),
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            max_bytes: HumanBytes(64 << 20),
            max_files: 1000,
            max_wait: HumanDuration(Duration::from_secs(5 * 60)),
        }
    }
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            settle: HumanDuration(Duration::from_secs(5)),
            lookback: HumanDuration(Duration::from_secs(24 * 3600)),
            on_change: OnChange::default(),
            min_rows_ratio: None,
            follow_links: false,
            partition: Partition::default(),
            audit: checked_cron("0 3 * * *"),
            after_load: AfterLoad::Keep,
            move_to: None,
            after_load_delay: HumanDuration(Duration::from_secs(3600)),
            delete_with_rejects: false,
        }
    }
}

impl Default for Rejects {
    fn default() -> Self {
        Self { max_rows: 1000, max_ratio: 0.05 }
    }
}

/// A rule between keys that does not hold: the key and one sentence.
pub(super) type BrokenRule = (&'static str, String);

impl Dataset {
    /// Checks what the types of the keys cannot say. An error is the key and one sentence.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        self.check_keys().map_err(|(key, message)| (key.to_owned(), message))?;
        check_columns(&self.columns, self.csv.has_header())
    }

    fn check_keys(&self) -> Result<(), BrokenRule> {
        self.check_name()?;
        self.check_source()?;
        check_after_load(&self.discovery, &self.source)?;
        self.check_limits()?;
        self.csv.check()?;
        self.check_target()
    }

    fn check_name(&self) -> Result<(), BrokenRule> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if self.name.is_empty() || self.name.len() > 63 || !self.name.chars().all(plain) {
            return Err((
                "name",
                format!("`{}` is not allowed: 1 to 63 lower-case letters, digits and underscores", self.name),
            ));
        }
        Ok(())
    }

    fn check_source(&self) -> Result<(), BrokenRule> {
        source::check(&self.source).map_err(|message| ("source", message))?;
        for pattern in &self.include {
            globset::Glob::new(pattern).map_err(|error| ("include", error.to_string()))?;
        }
        if self.include.is_empty() {
            return Err((
                "include",
                "no pattern, so no file would ever match; write one such as `**/*.csv`".to_owned(),
            ));
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), BrokenRule> {
        if self.batch.max_files == 0 || self.batch.max_files > 100_000 {
            return Err(("batch.max_files", "allowed is 1 to 100000".to_owned()));
        }
        if self.batch.max_bytes.0 == 0 {
            return Err(("batch.max_bytes", "allowed is one byte or more, such as `64 MiB`".to_owned()));
        }
        if self.discovery.lookback < self.discovery.settle {
            let message =
                "must be at least `discovery.settle`, or files that were settling are never compared again";
            return Err(("discovery.lookback", message.to_owned()));
        }
        if self.discovery.min_rows_ratio.is_some_and(|ratio| !(ratio > 0.0 && ratio <= 1.0)) {
            let message =
                "allowed is above 0.0, up to 1.0; without the key, a new version may have any number of rows";
            return Err(("discovery.min_rows_ratio", message.to_owned()));
        }
        if self.discovery.min_rows_ratio.is_some() && self.discovery.on_change != OnChange::Replace {
            return Err(("discovery.min_rows_ratio", "goes only with `on_change = \"replace\"`".to_owned()));
        }
        if self.discovery.follow_links && source::BucketSource::parse(&self.source).is_some() {
            let message = "a bucket has no links: remove the key, or take a `file://` source";
            return Err(("discovery.follow_links", message.to_owned()));
        }
        let folders = self.discovery.partition.folders_in(self.discovery.lookback.0.as_secs());
        if folders > MAX_FOLDERS {
            let message = format!(
                "`{}` is {folders} folders of `discovery.partition`, and each scan would list all of them; allowed are {MAX_FOLDERS}",
                self.discovery.lookback
            );
            return Err(("discovery.lookback", message));
        }
        if !(0.0..=1.0).contains(&self.rejects.max_ratio) {
            return Err(("rejects.max_ratio", "allowed is 0.0 to 1.0".to_owned()));
        }
        Ok(())
    }

    fn check_target(&self) -> Result<(), BrokenRule> {
        let allowed = "allowed is `reporting.` and a name of 1 to 63 bytes";
        match self.target.table.strip_prefix(TARGET_SCHEMA_PREFIX) {
            Some(name) if is_identifier(name) => Ok(()),
            _ => Err(("target.table", format!("`{}`: {allowed}", self.target.table))),
        }
    }
}

pub(super) fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.len() <= 63 && !name.contains('\0')
}
