//! Records are what the plain rules say.

use longshore_common::dataset::Csv;
use proptest::prelude::*;

use super::super::{
    dialect::Dialect,
    fields::Field,
    split::{Kind, Splitter},
    testing::chunks,
};
use super::{any_bytes, any_cuts, any_dialect, plainly};

fn split(csv: &Csv, input: &[u8], cuts: &[usize], max_record_bytes: usize) -> Vec<plainly::Seen> {
    let dialect = Dialect::new(csv);
    let mut splitter = Splitter::new(dialect, csv.skip_lines, max_record_bytes);
    let mut seen = Vec::new();
    let mut take = |chunk: &[u8], ended| {
        splitter.push(chunk);
        while let Some(piece) = splitter.next_piece(ended) {
            let text = |field: &Field| field.cell(piece.bytes, &dialect, &mut Vec::new()).text().to_vec();
            let fields = match piece.kind {
                Kind::Record | Kind::NotText => piece.fields.iter().map(text).collect(),
                Kind::Broken(_) => Vec::new(),
            };
            seen.push((piece.line, piece.byte_offset as usize, piece.bytes.to_vec(), piece.kind, fields));
        }
    };
    chunks(input, cuts).into_iter().for_each(|chunk| take(chunk, false));
    take(b"", true);
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn any_bytes_split_as_the_plain_rules_say(
        csv in any_dialect(),
        input in any_bytes(),
        cuts in any_cuts(),
        max in 1..80_usize,
    ) {
        prop_assert_eq!(split(&csv, &input, &cuts, max), plainly::split(&csv, &input, max));
    }
}
