//! Names for Postgres out of names of headers and files.

use std::collections::{BTreeSet, HashMap, HashSet};

use heck::ToSnakeCase;
use longshore_common::dataset::{FILE_ID_COLUMN, LINE_COLUMN};

/// What Postgres keeps of a name, in bytes.
const MAX_NAME_BYTES: usize = 63;

/// A name for each column: its header's words in snake_case, or its position where there are none; unique.
pub(super) fn column_names(header: &[String]) -> Vec<String> {
    let mut taken: HashSet<String> = [FILE_ID_COLUMN, LINE_COLUMN].map(str::to_owned).into();
    // A name that comes often does not try all its numbers again.
    let mut next_numbers: HashMap<String, u32> = HashMap::new();
    let mut unique = |(index, text): (usize, &String)| {
        let words = identifier(text);
        let base = cut(&if words.is_empty() { format!("column_{}", index + 1) } else { words }, "");
        let mut name = base.clone();
        while !taken.insert(name.clone()) {
            let number = next_numbers.entry(base.clone()).or_insert(2);
            name = cut(&base, &format!("_{number}"));
            *number += 1;
        }
        name
    };
    header.iter().enumerate().map(&mut unique).collect()
}

/// Words in snake_case that need no quotes in SQL, as far as letters go.
fn identifier(text: &str) -> String {
    let words = text.to_snake_case();
    match words.chars().next() {
        Some(first) if first.is_numeric() => format!("_{words}"),
        _ => words,
    }
}

/// At most as long as a name may be, with this end.
fn cut(base: &str, end: &str) -> String {
    let length = base.floor_char_boundary(MAX_NAME_BYTES - end.len());
    format!("{}{end}", &base[..length])
}

/// What several files of a dataset have in common.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileNames {
    /// Of the dataset and its table.
    pub(super) dataset: String,
    /// Globs that match files that are named alike.
    pub(super) include: Vec<String>,
}

/// Files named `a.csv`, `b.csv` may all be of one kind.
const MIN_KIND_CHARS: usize = 3;

/// Names after the folder what is not named after the files. `names` are without their folders.
pub(super) fn file_names(folder: &str, names: &[String]) -> FileNames {
    let stems: Vec<(&str, &str)> = names.iter().map(|name| stem_and_suffix(name)).collect();
    let prefix = common_prefix(&stems);
    // What means something in a glob is left out of it, and so is what is too short to be the name of a kind of file.
    let is_plain = |text: &str| !text.contains(['*', '?', '[', ']', '{', '}', '\\', '!', ',']);
    let prefix_glob = if is_plain(prefix) && prefix.chars().count() >= MIN_KIND_CHARS { prefix } else { "" };
    let suffixes: BTreeSet<&str> =
        stems.iter().map(|(_, suffix)| *suffix).filter(|suffix| is_plain(suffix)).collect();
    let globs = |suffix: &str| match suffix {
        "" => vec![format!("**/{prefix_glob}*")],
        _ => ["", ".gz", ".zst"].map(|archive| format!("**/{prefix_glob}*{suffix}{archive}")).to_vec(),
    };
    let include = suffixes.into_iter().flat_map(globs).collect();
    let named = [prefix, folder].map(ascii_identifier).into_iter().find(|name| !name.is_empty());
    FileNames { dataset: named.unwrap_or_else(|| "dataset".to_owned()), include }
}

/// A name's part before `.csv` or another suffix, and that suffix without one of an archive.
fn stem_and_suffix(name: &str) -> (&str, &str) {
    let bare = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    match bare.rfind('.') {
        Some(at) if at > 0 => bare.split_at(at),
        _ => (bare, ""),
    }
}

/// What all stems begin with, without a date or number behind it.
fn common_prefix<'a>(stems: &[(&'a str, &str)]) -> &'a str {
    let Some(((first, _), others)) = stems.split_first() else { return "" };
    let shared = |other: &str| first.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let length = others.iter().map(|(other, _)| shared(other)).min().unwrap_or(first.len());
    let prefix = &first[..first.floor_char_boundary(length)];
    prefix.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | ' '))
}

/// The name of a dataset: lower-case ASCII letters, digits and underscores.
fn ascii_identifier(text: &str) -> String {
    let ascii: String =
        text.to_snake_case().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    cut(ascii.trim_matches('_'), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(header: &[&str]) -> Vec<String> {
        column_names(&header.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn names_are_the_headers_words_in_snake_case() {
        let cases = [
            ("MonthlyIncome", "monthly_income"),
            ("Sepal.Length", "sepal_length"),
            ("customerID", "customer_id"),
            ("HTTPStatus", "http_status"),
            ("Total (EUR)", "total_eur"),
            ("  Straße und Nr. ", "straße_und_nr"),
            ("q1", "q1"),
            ("2019", "_2019"),
            ("x\"; DROP TABLE t", "x_drop_table_t"),
            ("", "column_1"),
            ("%", "column_1"),
            ("_line", "line"),
            ("日付", "日付"),
        ];
        for (header, name) in cases {
            assert_eq!(named(&[header]), [name], "{header}");
        }
    }

    #[test]
    fn names_are_unique_and_short_enough_for_postgres() {
        assert_eq!(named(&["a", "A", "a_2", "", "a"]), ["a", "a_2", "a_2_2", "column_4", "a_3"]);
        let long = "ä".repeat(50);
        let names = named(&[&long, &long]);
        assert!(names.iter().all(|name| name.len() <= 63), "{names:?}");
        assert_ne!(names[0], names[1]);
        let many = named(&vec!["a"; 100_000]);
        assert_eq!((many[1].as_str(), many[99_999].as_str()), ("a_2", "a_100000"));
    }

    #[test]
    fn a_dataset_is_named_after_what_its_files_share() {
        let cases: [(&[&str], &str, &str); 10] = [
            (&["orders.csv"], "orders", "**/orders*.csv"),
            (&["orders-2026-01.csv", "orders-2026-02.csv"], "orders", "**/orders*.csv"),
            (&["Orders 2026.csv.gz"], "orders", "**/Orders*.csv"),
            (&["a.csv", "b.csv"], "inbox", "**/*.csv"),
            (&["2026-01.csv"], "inbox", "**/*.csv"),
            (&["x.tsv"], "x", "**/*.tsv"),
            (&["log.csv"], "log", "**/log*.csv"),
            (&["x.tsv", "y.csv"], "inbox", "**/*.csv"),
            (&["a[1].csv"], "a_1", "**/*.csv"),
            (&["noname"], "noname", "**/noname*"),
        ];
        for (names, dataset, include) in cases {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let found = file_names("inbox", &names);
            assert_eq!((found.dataset.as_str(), found.include[0].as_str()), (dataset, include), "{names:?}");
        }
        assert_eq!(file_names("日本", &["日本.csv".to_owned()]).dataset, "dataset");
    }
}
