//! Whether a file names its columns, and what they are called.

use longshore_common::dataset::{Csv, HeaderLines};

use super::{
    names::column_names,
    sample::{Extent, Head},
};
use crate::rows::{Record, Records};

/// Records that are looked at.
const MAX_ROWS: usize = 1000;
/// The share of a column's values that look like numbers or dates if it holds such.
const MIN_TYPED_SHARE: f64 = 0.9;
/// Names that are years, one after the other, are names.
const MIN_YEARS: usize = 3;
const YEARS: std::ops::RangeInclusive<i64> = 1800..=2200;

/// The columns of the files and where a file names them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// As samples are read: `skip_lines` ends before the header if there is one.
    pub(super) csv: Csv,
    /// The first record's fields, if they are names.
    pub(super) header: Option<Vec<String>>,
    /// As the spec says it: with the header, or past it where its names cannot be used.
    pub(super) spec_csv: Csv,
    /// Names for Postgres, one a field.
    pub(super) names: Vec<String>,
    /// Whether there is a row beside the header.
    pub(super) has_rows: bool,
    /// What to check, in words.
    pub(super) notes: Vec<String>,
}

impl Layout {
    /// Whether the spec takes columns by their names in the header.
    pub(super) fn is_by_name(&self) -> bool {
        self.spec_csv.has_header()
    }

    /// `csv` is the dialect, without a header. None if the file has no record.
    pub(super) fn of(head: &Head, csv: &Csv) -> Option<Self> {
        let rows = read_rows(head, csv);
        let ((first_line, first), rest) = rows.split_first()?;
        let width = rest.first().map_or(first.len(), |(_, row)| row.len());
        let rest_rows: Vec<&[Cell]> = rest.iter().map(|(_, row)| row.as_slice()).collect();
        let mut layout = Self {
            csv: csv.clone(),
            header: None,
            spec_csv: csv.clone(),
            names: Vec::new(),
            has_rows: !rest.is_empty(),
            notes: Vec::new(),
        };
        let votes = Votes::count(first, &rest_rows);
        if first.len() == width && !votes.are_for_names() {
            layout.has_rows = true;
            layout.names = column_names(&vec![String::new(); width]);
            layout.notes.push(
                "No header: the first record looks like all others. If it is one, set header = true."
                    .to_owned(),
            );
            return Some(layout);
        }
        let names: Vec<String> = first.iter().map(|(name, _)| name.clone()).collect();
        let problem = unusable(&names, width);
        match &problem {
            None => {
                layout.names = column_names(&names);
                layout.spec_csv.header = HeaderLines(1);
            }
            Some(problem) => {
                layout.names = column_names(&by_position(&names, &rest_rows, width));
                let last_line = rest.first().map_or(*first_line, |(line, _)| line - 1);
                layout.spec_csv.skip_lines = u32::try_from(last_line).unwrap_or(u32::MAX);
                layout
                    .notes
                    .push(format!("The header {problem}: it is skipped, and columns are taken by position."));
            }
        }
        layout.header = Some(names);
        if rest.is_empty() {
            layout.notes.push("No rows in the sample, so all columns are text.".to_owned());
        } else if problem.is_none() && votes.is_a_guess() {
            layout.notes.push(
                "Nothing tells the first record from the others; it is taken for the header, as in most files.".to_owned(),
            );
        }
        Some(layout)
    }
}

/// A field's text, and whether it stands in quotes.
type Cell = (String, bool);

/// Records that are whole, with the lines on which they begin. The first may have another number of fields than the
/// others, which have as many as most.
fn read_rows(head: &Head, csv: &Csv) -> Vec<(u64, Vec<Cell>)> {
    let mut rows: Vec<(u64, Vec<Cell>)> = Vec::new();
    let mut note = |mut record: Record<'_>| {
        if rows.len() < MAX_ROWS && record.is_whole() {
            let mut row = Vec::with_capacity(record.width());
            record.each_field(|_, text, is_quoted| {
                row.push((String::from_utf8_lossy(text).into_owned(), is_quoted));
            });
            rows.push((record.line, row));
        }
    };
    let mut records = Records::new(csv);
    records.push(&head.bytes, &mut note);
    if head.extent == Extent::Whole {
        records.finish(&mut note);
    }
    let mut counts = std::collections::BTreeMap::new();
    rows.iter().skip(1).for_each(|(_, row)| *counts.entry(row.len()).or_insert(0) += 1);
    let width = counts.into_iter().max_by_key(|&(_, count)| count).map(|(width, _)| width);
    let mut place = 0;
    rows.retain(|(_, row)| {
        place += 1;
        place == 1 || Some(row.len()) == width
    });
    rows
}

/// Why columns cannot be taken by the header's names.
fn unusable(header: &[String], width: usize) -> Option<String> {
    if header.len() != width {
        return Some(format!("has {} fields and the rows have {width}", header.len()));
    }
    let mut names: Vec<&String> = header.iter().collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some([name, _]) if name.is_empty() => Some("has more than one column without a name".to_owned()),
        Some([name, _]) => Some(format!("names `{}` more than once", name.escape_default())),
        _ => None,
    }
}

/// A name for each field, where the header has other many fields.
fn by_position(header: &[String], rows: &[&[Cell]], width: usize) -> Vec<String> {
    let mut names = header.to_vec();
    if names.len() + 1 == width && rows.iter().any(|row| row.last().is_some_and(|(last, _)| !last.is_empty()))
    {
        names.insert(0, "row_name".to_owned());
    }
    names.resize(width, String::new());
    names
}

/// How many columns say that the first record names them, and how many that it is a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Votes {
    for_names: usize,
    for_values: usize,
}

impl Votes {
    fn count(first: &[Cell], rest: &[&[Cell]]) -> Self {
        if names_all_but_the_first(first, rest) || has_years(first) {
            return Self { for_names: first.len(), for_values: 0 };
        }
        let mut votes = Self::default();
        for (place, (cell, is_quoted)) in first.iter().enumerate().filter(|(_, (cell, _))| !cell.is_empty()) {
            let values =
                || rest.iter().filter_map(|row| row.get(place)).filter(|(value, _)| !value.is_empty());
            let (typed, all) = (values().filter(|(value, _)| looks_typed(value)).count(), values().count());
            let is_typed = all > 0 && typed as f64 >= MIN_TYPED_SHARE * all as f64;
            // A name would hardly come again among the values.
            let comes_again = || {
                rest.iter().any(|row| row.get(place).is_some_and(|(value, _)| value == cell) && *row != first)
            };
            if *is_quoted && all > 0 && values().all(|(_, is_quoted)| !is_quoted)
                || is_typed && !looks_typed(cell)
            {
                votes.for_names += 1;
            } else if is_typed || comes_again() {
                votes.for_values += 1;
            }
        }
        votes
    }

    /// In doubt it does.
    fn are_for_names(self) -> bool {
        self.for_names >= self.for_values
    }

    fn is_a_guess(self) -> bool {
        self.for_names == self.for_values
    }
}

/// R and pandas write the rows' own names first, in a column without one.
fn names_all_but_the_first(first: &[Cell], rest: &[&[Cell]]) -> bool {
    let is_first_empty = |row: &[Cell]| row.first().is_some_and(|(cell, _)| cell.is_empty());
    let named = first.iter().skip(1).filter(|(cell, _)| !cell.is_empty()).count();
    named > 0
        && named + 1 == first.len()
        && is_first_empty(first)
        && !rest.is_empty()
        && !rest.iter().any(|row| is_first_empty(row))
}

/// Whether the record's numbers are years that follow each other.
fn has_years(first: &[Cell]) -> bool {
    let numbers: Vec<i64> = first.iter().filter_map(|(cell, _)| cell.trim().parse().ok()).collect();
    numbers.len() >= MIN_YEARS
        && numbers.iter().all(|year| YEARS.contains(year))
        && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

/// Whether a text looks like a number, a date or a time.
fn looks_typed(text: &str) -> bool {
    let text = text.trim();
    let allowed = |byte: &u8| byte.is_ascii_digit() || b"+-.,/: 'eETZ%".contains(byte);
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| allowed(&byte))
        && text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | ','))
}

#[cfg(test)]
mod tests {
    use super::{super::dialect::sniff, *};
    use longshore_common::dataset::FileEncoding;

    fn layout(text: &str) -> Layout {
        let head = Head { bytes: text.as_bytes().to_vec(), extent: Extent::Whole };
        Layout::of(&head, &sniff(&head, FileEncoding::Auto)).unwrap()
    }

    #[test]
    fn a_header_is_told_from_a_row() {
        let headers = [
            "id,name\n1,x\n2,y\n",
            "name,city\nAnn,Rome\nBob,Oslo\n",
            ",SeriousDlqin2yrs,age\n1,0,45\n2,1,40\n",
            "country,1960,1961,1962\nAland,3.5,4,5\n",
            "a,b\n",
            "id,name\n1,x\nid,name\n2,y\n",
            "day,n\n2024-01-01,1\n2024-01-02,2\n",
            "\"\",\"0\",\"1\"\n\"0\",27,29\n\"1\",59,53\n",
            "\"0\",\"10\"\n27,29\n59,53\n",
        ];
        for text in headers {
            let layout = layout(text);
            assert!(layout.is_by_name() && layout.header.is_some(), "{text}");
        }
        let rows = [
            "1,x\n2,y\n3,z\n",
            "2024-01-01;5;a\n2024-01-02;6;b\n",
            "male,Rome\nfemale,Oslo\nmale,Bern\nfemale,Rome\n",
            "0.5,1e5\n0.25,2\n",
            "1,2,3\n4,5,6\n",
        ];
        for text in rows {
            let layout = layout(text);
            assert!(!layout.is_by_name() && layout.header.is_none(), "{text}");
            assert_eq!(layout.names[..2], ["column_1", "column_2"]);
        }
    }

    #[test]
    fn a_header_whose_names_cannot_be_used_is_skipped() {
        let cases: [(&str, u32, &[&str]); 5] = [
            ("id,n,n\n1,2,3\n2,3,4\n", 1, &["id", "n", "n_2"]),
            ("title\n\nid,,\n1,2,3\n2,3,4\n", 3, &["id", "column_2", "column_3"]),
            ("speed,dist\n1,4,2\n2,4,10\n", 1, &["row_name", "speed", "dist"]),
            ("a,b\n1,2,\n3,4,\n", 1, &["a", "b", "column_3"]),
            ("\"a\nb\",c,c\n1,2,3\n", 2, &["a_b", "c", "c_2"]),
        ];
        for (text, skip_lines, names) in cases {
            let layout = layout(text);
            assert!(!layout.is_by_name(), "{text}");
            assert_eq!(layout.spec_csv.skip_lines, skip_lines, "{text}");
            assert_eq!(layout.names, names, "{text}");
            assert_eq!(layout.notes.len(), 1, "{layout:?}");
        }
    }
}
