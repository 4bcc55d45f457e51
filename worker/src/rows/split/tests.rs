use longshore_common::dataset::{AsciiOrNone, Csv};

use super::*;

/// The pieces of an input as `line@offset text`, line breaks as ␍ and ␊, fields between ¦, with the rule behind a broken
/// one.
fn pieces(csv: &Csv, max_record_bytes: usize, chunks: &[&[u8]]) -> Vec<String> {
    let dialect = Dialect::new(csv);
    let mut splitter = Splitter::new(dialect, csv.skip_lines, max_record_bytes);
    let mut shown = Vec::new();
    for (chunk, ended) in chunks.iter().map(|chunk| (*chunk, false)).chain([(&b""[..], true)]) {
        splitter.push(chunk);
        while let Some(piece) = splitter.next_piece(ended) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\r', "␍").replace('\n', "␊");
            let fields = piece
                .fields
                .iter()
                .map(|field| text(field.cell(piece.bytes, &dialect, &mut Vec::new()).text()));
            let shown_piece = match piece.kind {
                Kind::Record => fields.collect::<Vec<_>>().join("¦"),
                Kind::NotText => format!("{} !text", text(piece.bytes)),
                Kind::Broken(breakage) => format!("{} !{}", text(piece.bytes), breakage.rule()),
            };
            shown.push(format!("{}@{} {shown_piece}", piece.line, piece.byte_offset));
        }
    }
    shown
}

/// Whole, and byte by byte.
fn check_in(csv: &Csv, max_record_bytes: usize, cases: &[(&str, &[&str])]) {
    for (input, expected) in cases {
        let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        assert_eq!(pieces(csv, max_record_bytes, &[input.as_bytes()]), *expected, "{input:?}");
        assert_eq!(pieces(csv, max_record_bytes, &bytes), *expected, "{input:?} byte by byte");
    }
}

fn check(max_record_bytes: usize, cases: &[(&str, &[&str])]) {
    check_in(&Csv::default(), max_record_bytes, cases);
}

#[test]
fn every_kind_of_line_break_ends_a_record() {
    check(
        100,
        &[
            ("", &[]),
            ("a,b\nc\n", &["1@0 a¦b", "2@4 c"]),
            ("a,b\r\nc\r\n", &["1@0 a¦b", "2@5 c"]),
            ("a,b\rc\r", &["1@0 a¦b", "2@4 c"]),
            ("a\nb", &["1@0 a", "2@2 b"]),
        ],
    );
}

#[test]
fn blank_lines_are_no_records_but_count_as_lines() {
    check(
        100,
        &[
            ("\n\na\n\r\n\rb\n\n", &["3@2 a", "6@7 b"]),
            ("a\r\r\nb", &["1@0 a", "3@4 b"]),
            (" \n", &["1@0  "]),
            ("\"\"\n", &["1@0 "]),
        ],
    );
}

#[test]
fn line_breaks_in_quotes_belong_to_the_record_and_count_as_lines() {
    check(
        100,
        &[
            ("\"a\nb\",c\nd", &["1@0 a␊b¦c", "3@8 d"]),
            ("\"a\r\nb\r\r\n\"\nd", &["1@0 a␍␊b␍␍␊", "5@10 d"]),
            ("\"a \"\"b\"\",\n\"\nd", &["1@0 a \"b\",␊", "3@12 d"]),
        ],
    );
}

#[test]
fn a_quote_inside_an_unquoted_field_is_a_literal() {
    check(100, &[("a\"b,5\"\nc", &["1@0 a\"b¦5\"", "2@7 c"]), (" \"a\nb\"", &["1@0  \"a", "2@4 b\""])]);
}

#[test]
fn a_broken_record_costs_its_first_line_only() {
    check(
        100,
        &[
            ("\"a\"b,c\nd", &["1@0 \"a\"b,c !quote_text_after", "2@7 d"]),
            ("\"a\nb\"c\nd", &["1@0 \"a !quote_text_after", "2@3 b\"c", "3@7 d"]),
            ("a,\"b\nc\nd", &["1@0 a,\"b !quote_unclosed", "2@5 c", "3@7 d"]),
            ("a,\"b\r\nc", &["1@0 a,\"b !quote_unclosed", "2@6 c"]),
            ("\"a\" \n", &["1@0 \"a\"  !quote_text_after"]),
            ("\"", &["1@0 \" !quote_unclosed"]),
            ("\"\"\"", &["1@0 \"\"\" !quote_unclosed"]),
        ],
    );
}

#[test]
fn a_record_may_have_max_record_bytes_and_not_one_more() {
    check(
        4,
        &[
            ("abcd\nef", &["1@0 abcd", "2@5 ef"]),
            ("abcd", &["1@0 abcd"]),
            ("\"ab\"\nc", &["1@0 ab", "2@5 c"]),
            ("\"ab\"", &["1@0 ab"]),
            ("abcde\nf", &["1@0 abcde !record_too_long", "2@6 f"]),
            ("abcdefghijk\r\nf", &["1@0 abcde !record_too_long", "2@13 f"]),
            ("abcdefghijk", &["1@0 abcde !record_too_long"]),
            ("\"a\n\",bc\nd", &["1@0 \"a !record_too_long", "2@3 \",bc !quote_unclosed", "3@8 d"]),
            ("\"a\nbcdef\ng", &["1@0 \"a !quote_unclosed", "2@3 bcdef !record_too_long", "3@9 g"]),
            ("\"abcdefgh\ni", &["1@0 \"abcd !quote_unclosed", "2@10 i"]),
        ],
    );
}

#[test]
fn memory_is_bounded_by_a_record_and_a_chunk_whatever_comes() {
    let (max_record_bytes, chunk_bytes) = (1000, 64);
    let chunks =
        [vec![b'a'; chunk_bytes], vec![b'"'; chunk_bytes], vec![b'\n'; chunk_bytes], b"\"a\n".repeat(21)];
    for first in [&b"x"[..], b"\"", b"\"a\"b"] {
        for chunk in &chunks {
            let mut splitter = Splitter::new(Dialect::new(&Csv::default()), 0, max_record_bytes);
            splitter.push(first);
            for _ in 0..1000 {
                splitter.push(chunk);
                while splitter.next_piece(false).is_some() {}
                assert!(splitter.buffer.len() <= max_record_bytes + 1 + chunk_bytes);
            }
        }
    }
}

#[test]
fn skipped_lines_are_physical_and_count() {
    let csv = Csv { skip_lines: 2, ..Csv::default() };
    let long = "x".repeat(1000);
    check_in(
        &csv,
        100,
        &[
            ("", &[]),
            ("one\n", &[]),
            ("a \"quote\r\n\"x\na\n", &["3@13 a"]),
            ("\n\n\na", &["4@3 a"]),
            ("\r\r\na", &["3@3 a"]),
            (&format!("{long}\n{long}\na"), &["3@2002 a"]),
        ],
    );
}

#[test]
fn comments_are_lines_where_a_record_could_begin() {
    let csv = Csv { comment: AsciiOrNone(Some(b'#')), ..Csv::default() };
    let long = "x".repeat(1000);
    check_in(
        &csv,
        100,
        &[
            ("#a,\"b\n#\r\n#\n\nc,#d\n#", &["5@12 c¦#d"]),
            (" #a\n\"#b\"\n", &["1@0  #a", "2@4 #b"]),
            ("\"a\n#b\"\n#\nc", &["1@0 a␊#b", "4@9 c"]),
            ("\"a\n#b\nc\n", &["1@0 \"a !quote_unclosed", "3@6 c"]),
            (&format!("#{long}\na"), &["2@1002 a"]),
        ],
    );
}

#[test]
fn an_escape_means_something_inside_quotes_only() {
    let csv = Csv { escape: AsciiOrNone(Some(b'\\')), ..Csv::default() };
    check_in(
        &csv,
        100,
        &[
            (r#""a\"b","c\\",d\"#, &[r#"1@0 a"b¦c\¦d\"#]),
            (r#"a\,"b""\"","C:\new""#, &[r#"1@0 a\¦b""¦C:\new"#]),
            ("\"a\\\n\"\nb", &["1@0 a\\␊", "3@6 b"]),
            ("\"a\\\"\nb", &["1@0 \"a\\\" !quote_unclosed", "2@5 b"]),
            ("\"a\\", &["1@0 \"a\\ !quote_unclosed"]),
            ("\"a\"\\\nb", &["1@0 \"a\"\\ !quote_text_after", "2@5 b"]),
        ],
    );
}

#[test]
fn without_a_quote_character_every_quote_is_a_literal() {
    let csv = Csv { quote: AsciiOrNone(None), ..Csv::default() };
    check_in(&csv, 100, &[("\"a,b\"\n\"\n", &["1@0 \"a¦b\"", "2@6 \""])]);
}

#[test]
fn a_delimiter_may_be_any_character() {
    for (delimiter, length) in [(' ', 1), ('\u{1}', 1), ('¦', 2), ('→', 3), ('𝄞', 4)] {
        let csv = Csv { delimiter, ..Csv::default() };
        let d = delimiter;
        let second = format!("2@{} æ¦", 2 + length);
        let third = format!("3@{} x{d}y¦¦", 5 + 2 * length);
        check_in(
            &csv,
            100,
            &[
                (&format!("a{d}\næ{d}\n\"x{d}y\"{d}\"\"{d}"), &["1@0 a¦", &second, &third]),
                (
                    &format!("\"a\"{d}b\n\"a\"€\n"),
                    &["1@0 a¦b", &format!("2@{} \"a\"€ !quote_text_after", 5 + length)],
                ),
                (&format!("{d}{d}"), &["1@0 ¦¦"]),
            ],
        );
    }
}

#[test]
fn half_a_delimiter_behind_a_quote_is_text() {
    let csv = Csv { delimiter: '→', ..Csv::default() };
    for half in [&b"\"a\"\xe2\x86"[..], b"\"a\"\xe2\x86\nb"] {
        let whole = pieces(&csv, 100, &[half]);
        assert!(whole[0].ends_with("!quote_text_after"), "{whole:?}");
        assert_eq!(pieces(&csv, 100, &half.chunks(1).collect::<Vec<_>>()), whole);
    }
}

#[test]
fn a_record_that_is_no_text_is_told_from_its_neighbours() {
    let input = b"a,b\nc\xff,d\ne\0,f\n\xe2\x82\n\xe2\x82\xac\n\"\xe9\n\",g";
    let expected = [
        "1@0 a¦b",
        "2@4 c\u{fffd},d !text",
        "3@9 e\0,f !text",
        "4@14 \u{fffd} !text",
        "5@17 €",
        "6@21 \"\u{fffd}␊\",g !text",
    ];
    assert_eq!(pieces(&Csv::default(), 100, &[input]), expected);
    assert_eq!(pieces(&Csv::default(), 100, &input.chunks(1).collect::<Vec<_>>()), expected);
}
