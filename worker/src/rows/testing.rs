//! What the tests of several modules share.

use std::sync::Arc;

use longshore_common::dataset::{Column, ColumnType, Dataset, parse_spec};

use super::{FileError, FileRows, Output, RowPlan};

/// A dataset with these columns and the defaults of a spec.
pub(super) fn dataset(columns: &[(&str, &str)]) -> Dataset {
    let mut dataset = dataset_with("bigint", "");
    dataset.columns = columns.iter().map(|(name, column_type)| column(name, column_type)).collect();
    dataset
}

/// A column without further rules.
pub(super) fn column(name: &str, column_type: &str) -> Column {
    Column::new(name, ColumnType::try_from(column_type.to_owned()).unwrap())
}

/// A dataset with one column, `a`, that has further keys in TOML.
pub(super) fn dataset_with(column_type: &str, keys: &str) -> Dataset {
    let text = format!(
        "name = \"orders\"\nsource = \"file:///srv/orders\"\n[target]\ntable = \"reporting.orders\"\n\
         [[columns]]\nname = \"a\"\ntype = \"{column_type}\"\n{keys}\n"
    );
    parse_spec("orders.toml", &text, |_| None).unwrap()
}

/// The plan of a dataset whose rules can be applied.
pub(super) fn plan(dataset: &Dataset) -> Arc<RowPlan> {
    Arc::new(RowPlan::compile(dataset).unwrap())
}

/// Reads a whole file, cut at the given places: what came out, and how it ended.
pub(super) fn read(
    dataset: &Dataset,
    input: &[u8],
    cuts: &[usize],
) -> (FileRows, Output, Result<(), FileError>) {
    let mut rows = FileRows::new(plan(dataset), 7);
    let mut out = Output::default();
    let pushed = chunks(input, cuts).into_iter().try_for_each(|chunk| rows.push(chunk, &mut out));
    let result = pushed.and_then(|()| rows.finish(&mut out));
    (rows, out, result)
}

/// The input in pieces, cut at these places (in any order, each taken modulo the length).
pub(super) fn chunks<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    places.sort_unstable();
    let mut chunks = Vec::new();
    let mut rest = input;
    for place in places {
        let (chunk, behind) = rest.split_at(place - (input.len() - rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks.push(rest);
    chunks
}

/// The fields of each tuple; `None` is NULL.
pub(super) fn decode(mut tuples: &[u8]) -> Vec<Vec<Option<Vec<u8>>>> {
    let mut rows = Vec::new();
    while let Some((count, rest)) = tuples.split_first_chunk() {
        tuples = rest;
        let row = (0..i16::from_be_bytes(*count)).map(|_| decode_field(&mut tuples));
        rows.push(row.collect());
    }
    rows
}

fn decode_field(tuples: &mut &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = tuples.split_first_chunk().unwrap();
    let length = i32::from_be_bytes(*length);
    let (value, rest) = rest.split_at(length.max(0) as usize);
    *tuples = rest;
    (length >= 0).then(|| value.to_vec())
}

/// The rows of a file whose columns are all text, without the lineage; NULL is shown as `∅`.
pub(super) fn texts(out: &Output) -> Vec<Vec<String>> {
    let text = |field: &Option<Vec<u8>>| match field {
        Some(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        None => "∅".to_owned(),
    };
    let rows = decode(&out.tuples);
    rows.iter().map(|row| row[..row.len() - 2].iter().map(text).collect()).collect()
}
