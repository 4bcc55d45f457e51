//! Whatever tables hold, the inferred spec loads them.

use std::fs::File;

use proptest::prelude::*;

use super::{Inference, Sample, infer};

/// Texts that look alike and are not, by what a column mostly holds.
const CELLS: [&[&str]; 8] = [
    &["1", "-7", "40000", "3000000000", "2.0", "2.5", "+3", "007", "1e5", "99999999999999999999"],
    &["1,5", "1.234,5", "1.234", "1,234", "12", "1 234", "1'000", "0,25"],
    &[
        "2024-01-31",
        "2024-1-5",
        "31.01.2024",
        "01/02/2024",
        "31/01/2024",
        "01/31/2024",
        "20240131",
        "1.2.3",
        "0000-00-00",
    ],
    &["2024-01-31 10:00:00", "2024-01-31T10:00:00Z", "2024-01-31", "31.01.2024 10:00", "2024-01-31 25:00"],
    &["true", "False", "yes", "no", "Y", "n", "J", "0", "1", "t"],
    &["a", "Smith, John", "say \"hi\"", "two\nlines", "  ", " x ", "it's", "#5", "ä€", "a;b|c\td"],
    &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC999C0B4EF8BB6D6BB9BD380A11", "{a0eebc99}"],
    &["NaN", "inf", "-Infinity", "1.5", "nan"],
];
const GAPS: [&str; 6] = ["", "NA", "-", "NULL", "?", "\\N"];

/// Columns of cells, each drawn from few texts of one kind.
fn columns() -> impl Strategy<Value = Vec<Vec<&'static str>>> {
    (2..6_usize, 3..12_usize).prop_flat_map(|(width, rows)| {
        let cell = |kind: &'static [&'static str]| {
            prop_oneof![6 => prop::sample::select(kind), 1 => prop::sample::select(GAPS.as_slice())]
        };
        let column = (0..CELLS.len()).prop_flat_map(move |kind| prop::collection::vec(cell(CELLS[kind]), rows));
        prop::collection::vec(column, width)
    })
}

fn written(columns: &[Vec<&str>], delimiter: u8, quotes: csv::QuoteStyle) -> Vec<u8> {
    let mut writer =
        csv::WriterBuilder::new().delimiter(delimiter).quote_style(quotes).from_writer(Vec::new());
    let names: Vec<_> =
        (0..columns.len()).map(|place| format!("name {}", char::from(b'a' + place as u8))).collect();
    writer.write_record(names).unwrap();
    for row in 0..columns[0].len() {
        writer.write_record(columns.iter().map(|column| column[row])).unwrap();
    }
    writer.into_inner().unwrap()
}

fn inferred(content: &[u8]) -> Inference {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, content).unwrap();
    infer(&[Sample::new("a.csv".to_owned(), path.clone(), File::open(path).unwrap())]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_inferred_from_a_table_loads_all_of_its_rows(
        columns in columns(),
        delimiter in prop::sample::select(b",;\t|".as_slice()),
        quotes in prop::sample::select([csv::QuoteStyle::Necessary, csv::QuoteStyle::Always].as_slice()),
    ) {
        let content = written(&columns, delimiter, quotes);
        let inference = inferred(&content);
        prop_assert_eq!(inference.rows_rejected, 0, "{}\n{}", String::from_utf8_lossy(&content), inference.text);
        prop_assert_eq!(inference.rows as usize, columns[0].len(), "{}", inference.text);
        prop_assert_eq!(inference.dataset.columns.len(), columns.len(), "{}", inference.text);
    }

    #[test]
    fn any_bytes_are_inferred_from_or_refused(content in prop::collection::vec(prop::sample::select(b"a1,;\"'\\\n\r#\xe4\0 \t".as_slice()), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, content).unwrap();
        let _ = infer(&[Sample::new("a.csv".to_owned(), path.clone(), File::open(path).unwrap())]);
    }
}
