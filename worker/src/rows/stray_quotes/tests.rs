use longshore_common::dataset::{AsciiOrNone, Csv};

use super::super::{fields::Form, split::Splitter};
use super::*;

/// How many fields the record has in each reading, and which are one in the other.
fn readings(csv: &Csv, record: &str) -> Option<(usize, usize, (usize, usize))> {
    let dialect = Dialect::new(csv);
    let mut splitter = Splitter::new(dialect, 0, 1000);
    splitter.push(record.as_bytes());
    let piece = splitter.next_piece(true).unwrap();
    let other = other_reading(piece.bytes, piece.fields, &dialect)?;
    assert!(piece.has_quote, "{record}");
    Some((piece.field_count, piece.field_count - other.fewer, other.joined))
}

#[test]
fn a_separator_that_is_missing_before_a_quoted_field_gives_two_readings() {
    let cases = [
        ("1,5.20\"Lamp, red\",x", 4, 3, (2, 3)),
        ("5.20\"a,b,c\"", 3, 1, (1, 3)),
        ("x\"a,b\",y\"c,d\"", 4, 2, (1, 2)),
        // A space is text.
        ("1, \"b,c\"", 3, 2, (2, 3)),
        // In quotes, doubled ones are literals.
        ("1,5.20\"24\"\", red\",x", 4, 3, (2, 3)),
        ("1,5.20\"Lamp, 24\"\"\",x", 4, 3, (2, 3)),
        ("1,5.20\"\"\"Lamp\"\", red\"", 3, 2, (2, 3)),
        // Behind a pair in its own field.
        ("the \"best\" 5\"a,b\"", 2, 1, (1, 2)),
        // Quotes that nobody doubled, and a well-formed field between.
        ("5.20\"Lamp, the \"red\" one\",x", 3, 2, (1, 2)),
        ("5.20\"Lamp,\"big\", red\",x", 4, 2, (1, 3)),
        ("5.20\"a,\"\",b\",x", 4, 2, (1, 3)),
        ("5\" pipe,6\"", 2, 1, (1, 2)),
    ];
    for (record, text, quotes, joined) in cases {
        assert_eq!(readings(&Csv::default(), record), Some((text, quotes, joined)), "{record}");
    }
}

#[test]
fn a_quote_that_changes_no_limit_has_one_reading() {
    let records = [
        "5\" pipe,x",
        "24\",x",
        "24\",36\"",
        "x\"y\"z,a",
        "the \"best\" item,24\"",
        "say \"a\",say \"b\"",
        "5.20\"Lamp, red,x",
        "5\" pipe,6\" pipe",
        // A closing quote that is one already.
        "1,5\" pipe,\"note, text\",x",
        "\"a,b\",5\" pipe,\"\"",
        // Doubled, so that it would close nothing.
        "5.20\"Lamp,24\"\"",
        "\"a\"\"b,c\",d",
        "a,b",
    ];
    for record in records {
        assert_eq!(readings(&Csv::default(), record), None, "{record}");
    }
}

#[test]
fn quote_escape_and_delimiter_are_those_of_the_dialect() {
    let csv = Csv {
        delimiter: '→',
        quote: AsciiOrNone(Some(b'\'')),
        escape: AsciiOrNone(Some(b'\\')),
        ..Csv::default()
    };
    assert_eq!(readings(&csv, "1→5'a→b'→c"), Some((4, 3, (2, 3))));
    assert_eq!(readings(&csv, "1→5'a→b\\'→c"), None);
    assert_eq!(readings(&csv, "1→5'a→b\\\\'→c"), Some((4, 3, (2, 3))));
    assert_eq!(readings(&csv, "1→5'a\\'→b'"), Some((3, 2, (2, 3))));
    assert_eq!(readings(&csv, "1→5\"a→b\"→c"), None);
    assert_eq!(readings(&csv, "1→5'a,b'"), None);
    let none = Csv { quote: AsciiOrNone(None), ..Csv::default() };
    assert_eq!(readings(&none, "1,5\"a,b\",c"), None);
}

#[test]
fn many_quotes_that_open_and_none_that_closes_are_looked_at_once() {
    // Takes minutes if every field is held against all others.
    let record = "a\"b,".repeat(100_000) + "c";
    let fields: Vec<_> =
        (0..100_000).map(|number| Field::new(4 * number, 4 * number + 3, Form::Plain)).collect();
    let last = Field::new(0, 2, Form::Plain);
    let dialect = Dialect::new(&Csv::default());
    for _ in 0..20 {
        assert_eq!(
            other_reading(record.as_bytes(), &[&fields[..], &[last]].concat(), &dialect).unwrap().fewer,
            100_000
        );
        assert_eq!(other_reading(record.as_bytes(), &[&[last][..], &fields].concat(), &dialect), None);
    }
}

#[test]
fn a_buffer_is_searched_for_quotes_from_where_the_last_search_ended() {
    let buffer = b"ab\ncd\"\nef\ngh\"";
    let mut next = NextQuote::new(&Dialect::new(&Csv::default()));
    let found = [0..2, 3..6, 7..9, 10..13].map(|range| next.is_in(buffer, range));
    assert_eq!(found, [false, true, false, true]);
    let mut next = NextQuote::new(&Dialect::new(&Csv::default()));
    assert!(!next.is_in(b"abc\nd", 0..3));
    next.drained(4);
    assert!(next.is_in(b"d\"\n", 0..2));
}
