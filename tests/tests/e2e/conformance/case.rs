//! One case: an input, how to read it, and what has to come of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{Table, Value};

/// What stands for NULL among the expected values.
pub(super) const NULL: &str = "∅";

/// A case as its file says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    about: Subject,
    shows: String,
    columns: Vec<Table>,
    #[serde(default)]
    csv: Table,
    #[serde(default)]
    rejects: Table,
    expect: Expected,
}

/// Which part of reading a case is about, in the order of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Subject {
    Archives,
    Encodings,
    Records,
    Header,
    Values,
    Rules,
    Rejects,
}

/// What has to come of a file: rows and rejects by the physical line on which they begin, or its failure.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// The values as Postgres shows them.
    #[serde(default)]
    pub(super) rows: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) rejects: BTreeMap<String, ExpectedReject>,
    /// How the failure's message begins.
    pub(super) fails: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedReject {
    /// Offset of the row's first byte in the decompressed file.
    pub(super) byte: i64,
    pub(super) column: Option<String>,
    pub(super) rule: String,
    /// The row's text as it is kept; not compared where the case does not give it.
    pub(super) raw: Option<String>,
}

pub(super) struct Case {
    /// `quoted-line-break`
    pub(super) name: String,
    pub(super) about: Subject,
    pub(super) shows: String,
    pub(super) expected: Expected,
    /// The input, next to the case's own file.
    pub(super) input: PathBuf,
    spec: Table,
}

/// All cases of `tests/conformance`, by name.
pub(super) fn all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let is_case = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    let cases: Vec<_> = paths.iter().filter(is_case).map(|path| read(path, &paths)).collect();
    assert_eq!(cases.len() * 2, paths.len(), "each case has a .toml and one .csv, .csv.gz or .csv.zst");
    cases
}

fn read(path: &Path, beside: &[PathBuf]) -> Case {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let written: Written = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let inputs = ["csv", "csv.gz", "csv.zst"].map(|suffix| path.with_file_name(format!("{name}.{suffix}")));
    let input = inputs.into_iter().find(|input| beside.contains(input));
    let parts = [("csv", Value::Table(written.csv)), ("rejects", Value::Table(written.rejects))];
    let mut spec: Table = parts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    spec.insert("columns".to_owned(), Value::Array(written.columns.into_iter().map(Value::Table).collect()));
    let input = input.unwrap_or_else(|| panic!("{name} has no input"));
    Case { name, about: written.about, shows: written.shows, expected: written.expect, input, spec }
}

impl Case {
    /// As names in SQL and of datasets are.
    pub(super) fn dataset(&self) -> String {
        self.name.replace(['-', '.'], "_")
    }

    pub(super) fn column_names(&self) -> Vec<&str> {
        let columns = self.spec["columns"].as_array().unwrap();
        columns.iter().map(|column| column["name"].as_str().unwrap()).collect()
    }

    /// The whole spec, for files below this folder.
    pub(super) fn spec(&self, inbox: &Path) -> String {
        let mut spec = self.spec.clone();
        let own = toml::toml! { discovery = { settle = "0s" } batch = { max_wait = "0s" } };
        spec.extend(own);
        spec.insert("name".to_owned(), self.dataset().into());
        spec.insert("source".to_owned(), format!("file://{}/{}", inbox.display(), self.name).into());
        let table = format!("reporting.{}", self.dataset());
        spec.insert(
            "target".to_owned(),
            Value::Table(Table::from_iter([("table".to_owned(), table.into())])),
        );
        toml::to_string(&spec).unwrap()
    }

    /// In a few words, for the page.
    pub(super) fn outcome(&self) -> String {
        let Expected { rows, rejects, fails } = &self.expected;
        if let Some(message) = fails {
            return format!("fails: {message} …");
        }
        let plural = if rows.len() == 1 { "" } else { "s" };
        let mut outcome = format!("{} row{plural}", rows.len());
        let mut rules: Vec<_> = rejects.values().map(|reject| reject.rule.as_str()).collect();
        rules.sort_unstable();
        for same in rules.chunk_by(|one, other| one == other) {
            outcome += &format!(", {} × `{}`", same.len(), same[0]);
        }
        outcome
    }
}
