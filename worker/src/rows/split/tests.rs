use super::*;

/// The pieces of an input as `line@offset text`, line breaks as ␍ and ␊, with the rule behind a broken one.
fn pieces(max_record_bytes: usize, chunks: &[&[u8]]) -> Vec<String> {
    let mut splitter = Splitter::new(b',', b'"', max_record_bytes);
    let mut shown = Vec::new();
    for (chunk, ended) in chunks.iter().map(|chunk| (*chunk, false)).chain([(&b""[..], true)]) {
        splitter.push(chunk);
        while let Some(piece) = splitter.next_piece(ended) {
            let text = String::from_utf8_lossy(piece.bytes).replace('\r', "␍").replace('\n', "␊");
            let rule = match piece.kind {
                Kind::Broken(breakage) => format!(" !{}", breakage.rule()),
                Kind::Plain | Kind::Quoted => String::new(),
            };
            shown.push(format!("{}@{} {text}{rule}", piece.line, piece.byte_offset));
        }
    }
    shown
}

/// Whole, and byte by byte.
fn check(max_record_bytes: usize, cases: &[(&str, &[&str])]) {
    for (input, expected) in cases {
        let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        assert_eq!(pieces(max_record_bytes, &[input.as_bytes()]), *expected, "{input:?}");
        assert_eq!(pieces(max_record_bytes, &bytes), *expected, "{input:?} byte by byte");
    }
}

#[test]
fn every_kind_of_line_break_ends_a_record() {
    check(
        100,
        &[
            ("", &[]),
            ("a,b\nc\n", &["1@0 a,b", "2@4 c"]),
            ("a,b\r\nc\r\n", &["1@0 a,b", "2@5 c"]),
            ("a,b\rc\r", &["1@0 a,b", "2@4 c"]),
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
            ("\"\"\n", &["1@0 \"\""]),
        ],
    );
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_very_start_only() {
    check(
        100,
        &[
            ("\u{feff}a\n\u{feff}b", &["1@3 a", "2@5 \u{feff}b"]),
            ("\u{feff}", &[]),
            ("\u{feff}\u{feff}a", &["1@3 \u{feff}a"]),
            ("\u{feff}\"a\nb\"", &["1@3 \"a␊b\""]),
        ],
    );
    assert_eq!(pieces(100, &[b"\xef\xbb", b"\n"]), ["1@0 \u{fffd}"]);
}

#[test]
fn line_breaks_in_quotes_belong_to_the_record_and_count_as_lines() {
    check(
        100,
        &[
            ("\"a\nb\",c\nd", &["1@0 \"a␊b\",c", "3@8 d"]),
            ("\"a\r\nb\r\r\n\"\nd", &["1@0 \"a␍␊b␍␍␊\"", "5@10 d"]),
            ("\"a \"\"b\"\",\n\"\nd", &["1@0 \"a \"\"b\"\",␊\"", "3@12 d"]),
        ],
    );
}

#[test]
fn a_quote_inside_an_unquoted_field_is_a_literal() {
    check(100, &[("a\"b,5\"\nc", &["1@0 a\"b,5\"", "2@7 c"]), (" \"a\nb\"", &["1@0  \"a", "2@4 b\""])]);
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
            ("\"ab\"\nc", &["1@0 \"ab\"", "2@5 c"]),
            ("\"ab\"", &["1@0 \"ab\""]),
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
            let mut splitter = Splitter::new(b',', b'"', max_record_bytes);
            splitter.push(first);
            for _ in 0..1000 {
                splitter.push(chunk);
                while splitter.next_piece(false).is_some() {}
                assert!(splitter.buffer.len() <= max_record_bytes + 1 + chunk_bytes);
            }
        }
    }
}
