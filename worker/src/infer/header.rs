//! Whether a file names its columns, and what they are called.

use longshore_common::dataset::{Csv, HeaderLines, MAX_COLUMNS};

use super::{
    dialect::most_frequent,
    error::InferError,
    names::column_names,
    sample::{Extent, Head},
    votes::Votes,
};
use crate::rows::{Record, Records};

/// Records that are looked at.
const MAX_ROWS: usize = 1000;

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
    pub(super) fn of(head: &Head, csv: &Csv) -> Result<Option<Self>, InferError> {
        let rows = HeadRows::read(head, csv);
        let Some(first) = rows.first.as_deref() else { return Ok(None) };
        let width = rows.rest.first().map_or(first.len(), Vec::len);
        // Before anything is done for each of them.
        if width > MAX_COLUMNS {
            return Err(InferError::TooManyColumns { count: width });
        }
        let votes = Votes::count(first, &rows.rest);
        let mut layout = Self {
            csv: csv.clone(),
            header: None,
            spec_csv: csv.clone(),
            names: column_names(&vec![String::new(); width]),
            has_rows: true,
            notes: Vec::new(),
        };
        if first.len() == width && !votes.are_for_names() {
            layout
                .note("No header: the first record looks like all others. If it is one, set header = true.");
            return Ok(Some(layout));
        }
        layout.take_header(first, &rows, width);
        if rows.rest.is_empty() {
            layout.has_rows = false;
            layout.note("No rows in the sample, so all columns are text.");
        } else if layout.is_by_name() && votes.is_a_guess() {
            layout.note("Nothing tells the first record from the others; it is taken for the header, as in most files.");
        }
        Ok(Some(layout))
    }

    fn take_header(&mut self, first: &[Cell], rows: &HeadRows, width: usize) {
        let header: Vec<String> = first.iter().map(|(name, _)| name.clone()).collect();
        match unusable(&header, width) {
            None => {
                self.names = column_names(&header);
                self.spec_csv.header = HeaderLines(1);
            }
            Some(problem) => {
                self.names = column_names(&by_position(&header, &rows.rest, width));
                // Past the header's last line, which ends where the next record begins.
                self.spec_csv.skip_lines = u32::try_from(rows.second_line - 1).unwrap_or(u32::MAX);
                self.note(format!("The header {problem}: it is skipped, and columns are taken by position."));
            }
        }
        self.header = Some(header);
    }

    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// A field's text, and whether it stands in quotes.
pub(super) type Cell = (String, bool);

/// The first records of a file.
#[derive(Debug, Default)]
struct HeadRows {
    /// The first that is whole.
    first: Option<Vec<Cell>>,
    /// Physical line on which the record behind that begins, or would begin.
    second_line: u64,
    has_second: bool,
    /// Those of the others that are whole and have as many fields as most.
    rest: Vec<Vec<Cell>>,
}

impl HeadRows {
    fn read(head: &Head, csv: &Csv) -> Self {
        let mut rows = Self::default();
        let mut records = Records::new(csv);
        records.push(&head.bytes, |record| rows.take(record));
        if head.extent == Extent::Whole {
            records.finish(|record| rows.take(record));
        }
        let width = most_frequent(rows.rest.iter().map(Vec::len));
        rows.rest.retain(|row| Some(row.len()) == width);
        rows
    }

    fn take(&mut self, mut record: Record<'_>) {
        if self.first.is_some() && !self.has_second {
            self.has_second = true;
            self.second_line = record.line;
        }
        if !record.is_whole() || self.rest.len() == MAX_ROWS {
            return;
        }
        let mut row = Vec::with_capacity(record.width());
        record.each_field(|_, text, is_quoted| {
            row.push((String::from_utf8_lossy(text).into_owned(), is_quoted));
        });
        match self.first {
            Some(_) => self.rest.push(row),
            None => {
                self.second_line = record.line + 1;
                self.first = Some(row);
            }
        }
    }
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
fn by_position(header: &[String], rows: &[Vec<Cell>], width: usize) -> Vec<String> {
    let mut names = header.to_vec();
    if names.len() + 1 == width && rows.iter().any(|row| row.last().is_some_and(|(last, _)| !last.is_empty()))
    {
        names.insert(0, "row_name".to_owned());
    }
    names.resize(width, String::new());
    names
}

#[cfg(test)]
mod tests {
    use super::{super::dialect::sniff, *};
    use longshore_common::dataset::FileEncoding;

    fn layout(text: &str) -> Layout {
        let head = Head { bytes: text.as_bytes().to_vec(), extent: Extent::Whole };
        Layout::of(&head, &sniff(&head, FileEncoding::Auto)).unwrap().unwrap()
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
        let cases: [(&str, u32, &[&str]); 6] = [
            ("id,n,n\n1,2,3\n2,3,4\n", 1, &["id", "n", "n_2"]),
            ("title\n\nid,,\n1,2,3\n2,3,4\n", 3, &["id", "column_2", "column_3"]),
            ("speed,dist\n1,4,2\n2,4,10\n", 1, &["row_name", "speed", "dist"]),
            ("a,b\n1,2,\n3,4,\n", 1, &["a", "b", "column_3"]),
            ("\"a\nb\",c,c\n1,2,3\n", 2, &["a_b", "c", "c_2"]),
            // A row that will be rejected is not skipped with the header.
            ("c,c\n1\n1,2\n2,3\n", 1, &["c", "c_2"]),
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
