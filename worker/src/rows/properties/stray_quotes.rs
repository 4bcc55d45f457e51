//! A record is rejected for its stray quotes exactly if they would give its fields other limits.

use longshore_common::dataset::{Csv, StrayQuotes};
use proptest::prelude::*;

use super::super::{
    Reject,
    dialect::Dialect,
    split::{Kind, Splitter},
    stray_quotes::other_reading,
    testing::{chunks, dataset, decode, read},
};
use super::{any_bytes, any_cuts, any_dialect};

/// Where the delimiters stand that are limits of fields if stray quotes are quotes: a byte at a time.
fn limits_with_quotes(csv: &Csv, record: &[u8]) -> Vec<usize> {
    let mut limits = Vec::new();
    let (mut at, mut field_start) = (0, 0);
    while at < record.len() {
        if at == field_start && is_quote(csv, record, at) {
            at = behind_quoted(csv, record, at);
        } else if is_quote(csv, record, at) && !is_field_end(csv, record, at + 1) {
            at = behind_stray(csv, record, at + 1).unwrap_or(at + 1);
        } else if is_delimiter(csv, record, at) {
            limits.push(at);
            at += csv.delimiter.len_utf8();
            field_start = at;
        } else {
            at += 1;
        }
    }
    limits
}

/// Behind the quote that closes those before `at`, if one does.
fn behind_stray(csv: &Csv, record: &[u8], mut at: usize) -> Option<usize> {
    let mut is_first_field = true;
    while at < record.len() {
        if is_literal(csv, record, at) {
            at += 2;
        } else if is_quote(csv, record, at) && (is_first_field || is_field_end(csv, record, at + 1)) {
            return Some(at + 1);
        } else if is_delimiter(csv, record, at) {
            is_first_field = false;
            at += csv.delimiter.len_utf8();
            // A field that stands in quotes is a field, whatever it holds.
            while is_quote(csv, record, at) {
                at = behind_quoted(csv, record, at);
                at += if is_delimiter(csv, record, at) { csv.delimiter.len_utf8() } else { 0 };
            }
        } else {
            at += 1;
        }
    }
    None
}

/// Behind the closing quote of the field whose opening one stands there.
fn behind_quoted(csv: &Csv, record: &[u8], mut at: usize) -> usize {
    at += 1;
    while !is_quote(csv, record, at) || is_literal(csv, record, at) {
        at += if is_literal(csv, record, at) { 2 } else { 1 };
    }
    at + 1
}

fn is_quote(csv: &Csv, record: &[u8], at: usize) -> bool {
    record.get(at).is_some_and(|&byte| csv.quote.0 == Some(byte))
}

fn is_literal(csv: &Csv, record: &[u8], at: usize) -> bool {
    let is_escape = |at| record.get(at).is_some_and(|&byte| csv.escape.0 == Some(byte));
    is_quote(csv, record, at) && is_quote(csv, record, at + 1)
        || is_escape(at) && (is_quote(csv, record, at + 1) || is_escape(at + 1))
}

fn is_delimiter(csv: &Csv, record: &[u8], at: usize) -> bool {
    let mut bytes = [0; 4];
    let delimiter = csv.delimiter.encode_utf8(&mut bytes).as_bytes();
    record.get(at..).is_some_and(|rest| rest.starts_with(delimiter))
}

fn is_field_end(csv: &Csv, record: &[u8], at: usize) -> bool {
    at == record.len() || is_delimiter(csv, record, at)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn a_record_has_another_reading_if_quotes_give_its_fields_other_limits(
        csv in any_dialect(),
        input in any_bytes(),
        cuts in any_cuts(),
    ) {
        let dialect = Dialect::new(&csv);
        let mut splitter = Splitter::new(dialect, csv.skip_lines, 200);
        let pushed = chunks(&input, &cuts).into_iter().map(|chunk| (chunk, false));
        for (chunk, ended) in pushed.chain([(&b""[..], true)]) {
            splitter.push(chunk);
            while let Some(piece) = splitter.next_piece(ended) {
                if matches!(piece.kind, Kind::Broken(_)) {
                    continue;
                }
                let expected = limits_with_quotes(&csv, piece.bytes).len() + 1 != piece.field_count;
                let other = other_reading(piece.bytes, piece.fields, &dialect);
                prop_assert_eq!(other.is_some(), expected, "{:?}", piece);
                prop_assert_eq!(piece.has_quote, csv.quote.0.is_some_and(|quote| piece.bytes.contains(&quote)));
            }
        }
    }

    #[test]
    fn every_other_record_is_read_as_if_stray_quotes_were_literals(
        mut csv in any_dialect(),
        input in any_bytes(),
        cuts in any_cuts(),
    ) {
        let mut dataset = dataset(&[("a", "text"), ("b", "text"), ("c", "text")]);
        csv.header.0 = 0;
        dataset.csv = csv;
        let (_, checked, result) = read(&dataset, &input, &cuts);
        prop_assert_eq!(result, Ok(()));
        dataset.csv.stray_quotes = StrayQuotes::Literal;
        let (_, literal, result) = read(&dataset, &input, &cuts);
        prop_assert_eq!(result, Ok(()));

        let ambiguous: Vec<_> =
            checked.rejects.iter().filter(|reject| reject.rule == "quote_ambiguous").map(|reject| reject.line).collect();
        let others = |rejects: &[Reject]| -> Vec<_> {
            rejects.iter().filter(|reject| !ambiguous.contains(&reject.line)).cloned().collect()
        };
        prop_assert_eq!(others(&checked.rejects), others(&literal.rejects));
        let expected: Vec<_> = decode(&literal.tuples)
            .into_iter()
            .filter(|row| {
                let line = row.last().and_then(Option::as_deref).unwrap();
                !ambiguous.contains(&i32::from_be_bytes(line.try_into().unwrap()))
            })
            .collect();
        prop_assert_eq!(decode(&checked.tuples), expected);
    }
}
