use encoding_rs::SHIFT_JIS;
use longshore_common::dataset::{AsciiOrNone, Dataset, ExtraColumns, FileEncoding, HeaderLines};

use super::super::testing::{dataset, decode, plan, read, texts};
use super::*;

fn two_texts() -> Dataset {
    dataset(&[("a", "text"), ("b", "text")])
}

/// Reads a file that must not fail: its output and counts as (rows, rejected).
fn rows(dataset: &Dataset, input: &str) -> (Output, (u64, u64)) {
    let (rows, out, result) = read(dataset, input.as_bytes(), &[]);
    assert_eq!(result, Ok(()), "{input:?}");
    let counts = rows.counts();
    (out, (counts.rows_read, counts.rows_rejected))
}

fn failure(dataset: &Dataset, input: &str) -> String {
    read(dataset, input.as_bytes(), &[]).2.unwrap_err().to_string()
}

#[test]
fn an_empty_file_and_a_mere_header_have_no_rows_and_are_no_errors() {
    for input in ["", "\u{feff}", "\r\n\n", "a,b", "a,b\n", "\u{feff}a,b\r\n\r\n"] {
        let (out, counts) = rows(&two_texts(), input);
        assert_eq!((out.tuples.len(), counts), (0, (0, 0)), "{input:?}");
    }
}

#[test]
fn columns_are_found_by_name_in_any_order() {
    for input in ["a,b\n1,2\n", "b,a\n2,1\n", "\u{feff}\"b\",\"a\"\r\n2,1"] {
        assert_eq!(texts(&rows(&two_texts(), input).0), [["1", "2"]], "{input:?}");
    }
}

#[test]
fn a_tuple_ends_with_the_file_and_the_physical_line() {
    let (out, _) = rows(&two_texts(), "a,b\n\n\"x\ny\",1\n3,4\n");
    let lineage: Vec<_> = decode(&out.tuples).iter().map(|row| row[2..].to_vec()).collect();
    let expected =
        [3_i32, 5].map(|line| vec![Some(7_i64.to_be_bytes().to_vec()), Some(line.to_be_bytes().to_vec())]);
    assert_eq!(lineage, expected);
    assert_eq!(out.rows, 2);
}

#[test]
fn a_bad_row_is_rejected_and_its_neighbours_stay() {
    let dataset = dataset(&[("id", "integer"), ("name", "text")]);
    let (out, counts) = rows(&dataset, "id,name\n1,one\nx\0,two\n3,th\"ree\n4\n\"5\"x,five\n6,six\n");
    assert_eq!((out.rows, counts), (3, (6, 3)));
    let ids: Vec<_> = decode(&out.tuples).iter().map(|row| row[0].clone().unwrap()[3]).collect();
    assert_eq!(ids, [1, 3, 6]);
    let seen: Vec<_> = out.rejects.iter().map(|r| (r.line, r.byte_offset, r.rule, r.raw.as_str())).collect();
    let expected = [
        (3, 14, "nul_byte", "x\u{2400},two"),
        (5, 30, "field_count", "4"),
        (6, 32, "quote_text_after", "\"5\"x,five"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(out.rejects[0].column.as_deref(), Some("id"));
    assert_eq!(out.rejects[1].reason, "has 1 field, the header has 2");
    assert_eq!(out.rejects[1].column, None);
}

#[test]
fn reasons_and_errors_never_hold_a_value_of_the_file() {
    let types = ["smallint", "real", "numeric(3,1)", "boolean", "date", "timestamp", "timestamptz", "uuid"];
    for column_type in types {
        let mut dataset = dataset(&[("a", column_type)]);
        dataset.rejects.max_rows = 0;
        let (_, out, result) = read(&dataset, b"a\nsecret", &[]);
        assert_eq!(out.rejects[0].raw, "secret");
        assert!(!out.rejects[0].reason.contains("secret"));
        let message = result.unwrap_err().to_string();
        assert!(message.contains("line 2, column `a`: not a ") && !message.contains("secret"), "{message}");
    }
    assert!(!failure(&two_texts(), "secret,1\n").contains("secret"));
}

#[test]
fn the_last_of_several_header_lines_names_the_columns() {
    let mut dataset = two_texts();
    dataset.csv.header = HeaderLines(3);
    dataset.csv.skip_lines = 1;
    dataset.csv.comment = AsciiOrNone(Some(b'#'));
    let input = "Report \"x\n\n\"2024,\n all\"\n#\n\"a broken\"title\nb,a\n2,1\n";
    let (out, counts) = rows(&dataset, input);
    assert_eq!((texts(&out), counts), (vec![vec!["1".to_owned(), "2".to_owned()]], (1, 0)));
    assert_eq!(decode(&out.tuples)[0][3], Some(8_i32.to_be_bytes().to_vec()));
    for input in ["", "x", "x\ny", "x\ny\nz", "x\ny\nz\na,b"] {
        assert_eq!(rows(&dataset, input).1, (0, 0), "{input:?}");
    }
}

#[test]
fn without_a_header_the_first_field_is_the_first_column() {
    let mut dataset = dataset(&[("a", "integer"), ("b", "text")]);
    dataset.csv.header = HeaderLines(0);
    let (out, counts) = rows(&dataset, "\u{feff}1,x\n2\n3,y,z\nx,\0\n4,w");
    assert_eq!((out.rows, counts), (2, (5, 3)));
    let seen: Vec<_> =
        out.rejects.iter().map(|r| (r.line, r.rule, r.reason.as_str(), r.column.as_deref())).collect();
    let nul = "has a NUL character, which Postgres cannot store";
    let expected = [
        (2, "field_count", "has 1 field, expected 2", None),
        (3, "field_count", "has 3 fields, expected 2", None),
        (4, "nul_byte", nul, Some("b")),
    ];
    assert_eq!(seen, expected);
    assert_eq!(rows(&dataset, "").1, (0, 0));
}

#[test]
fn without_a_header_extra_fields_are_left_out_and_as_many_in_every_row() {
    let mut dataset = two_texts();
    dataset.csv.header = HeaderLines(0);
    dataset.csv.extra_columns = ExtraColumns::Ignore;
    let (out, _) = rows(&dataset, "1\n2,x,\n3,y\n4,z,0\n5,,,\n");
    assert_eq!(texts(&out), [["2", "x"], ["4", "z"]]);
    let reasons: Vec<_> = out.rejects.iter().map(|reject| reject.reason.as_str()).collect();
    assert_eq!(reasons, ["has 1 field, expected 2", "has 2 fields, expected 3", "has 4 fields, expected 3"]);
}

#[test]
fn what_is_no_text_rejects_its_row_wherever_it_stands() {
    let mut dataset = dataset(&[("id", "integer"), ("name", "text")]);
    dataset.csv.extra_columns = ExtraColumns::Ignore;
    let input =
        b"name,other,id\nx,,1\nx,\xff,2\n\"a\xe9\",,3\nx\0,,4\n\"a\"\"\",\"\0\",5\nx,,6\0\n\xff,7\ny,,8\n";
    let (_, out, result) = read(&dataset, input, &[]);
    assert_eq!((result, texts(&out).len()), (Ok(()), 2));
    let seen: Vec<_> = out.rejects.iter().map(|r| (r.line, r.rule, r.column.as_deref())).collect();
    let (encoding, nul) = ("encoding", "nul_byte");
    let expected = [
        (3, encoding, None),
        (4, encoding, Some("name")),
        (5, nul, Some("name")),
        (6, nul, None),
        (7, nul, Some("id")),
        (8, encoding, None),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_file_in_another_encoding_is_loaded_as_text() {
    let mut dataset = two_texts();
    dataset.csv.encoding = FileEncoding::Named(SHIFT_JIS);
    let (bytes, ..) = SHIFT_JIS.encode("a,b\n表,ソ\n\"ア\n\",能\n");
    let (_, out, result) = read(&dataset, &[&bytes, &b"x,\x81\ny,z\n"[..]].concat(), &[3, 9]);
    assert_eq!(result, Ok(()));
    assert_eq!(texts(&out), [["表", "ソ"], ["ア\n", "能"], ["y", "z"]]);
    let [reject] = &out.rejects[..] else { panic!("{:?}", out.rejects) };
    assert_eq!((reject.line, reject.byte_offset, reject.rule), (5, bytes.len() as i64, "encoding"));
    assert_eq!((reject.column.as_deref(), reject.raw.as_str()), (Some("b"), "x,\u{fffd}"));
}

#[test]
fn a_row_of_mere_delimiters_is_rejected_with_the_true_number_of_its_fields() {
    let mut dataset = two_texts();
    let wide = |count: usize| ",".repeat(count - 1);
    let input = format!("a,b\n{}\n{}\n1,2\n", wide(10_001), wide(100_000));
    let (out, _) = rows(&dataset, &input);
    assert_eq!(texts(&out), [["1", "2"]]);
    let reasons = |out: &Output| out.rejects.iter().map(|reject| reject.reason.clone()).collect::<Vec<_>>();
    let expected = ["has 10001 fields, the header has 2", "has 100000 fields, the header has 2"];
    assert_eq!(reasons(&out), expected);
    for cuts in [vec![5, 10_000], (0..2000).map(|number| number * 57).collect()] {
        assert_eq!(read(&dataset, input.as_bytes(), &cuts).1.rejects, out.rejects);
    }

    dataset.csv.extra_columns = ExtraColumns::Ignore;
    let header = format!("a,b{}", wide(9_999));
    let (out, _) = rows(&dataset, &format!("{header}\n1{}\n2{}\n", wide(10_000), wide(10_001)));
    assert_eq!(texts(&out), [["1", "∅"]]);
    assert_eq!(reasons(&out), ["has 10001 fields, the header has 10000"]);
    dataset.csv.header = HeaderLines(0);
    let (out, _) = rows(&dataset, &format!("{}\n1{}\n2{}\n", wide(10_001), wide(10_000), wide(50_000)));
    assert_eq!(texts(&out), [["1", "∅"]]);
    assert_eq!(reasons(&out), ["has 10001 fields, expected 2", "has 50000 fields, expected 10000"]);
}

#[test]
fn extra_columns_are_left_out_if_the_spec_says_so() {
    let mut dataset = two_texts();
    dataset.csv.extra_columns = ExtraColumns::Ignore;
    let (out, counts) = rows(&dataset, "x,b,x,a,\n0,2,\u{1},1,\n0,2,1\n");
    assert_eq!(texts(&out), [["1", "2"]]);
    assert_eq!((counts, out.rejects[0].rule), ((2, 1), "field_count"));
}

#[test]
fn one_reject_more_than_allowed_fails_the_file_at_once() {
    let mut dataset = dataset(&[("a", "smallint")]);
    dataset.rejects.max_rows = 4;
    let (_, counts) = rows(&dataset, "a\nx\nx\nx\nx\n1\n");
    assert_eq!(counts, (5, 4));
    let (file, out, result) = read(&dataset, b"a\n1\nx\nx\n99999\nx\nx\nx\n1\n", &[]);
    assert_eq!((file.counts().rows_read, out.rejects.len()), (6, 5));
    let Err(FileError::TooManyRejects { count: 5, limit: 4, first }) = result else { panic!("{result:?}") };
    let seen: Vec<_> = first.iter().map(|reject| (reject.line, reject.column.as_deref())).collect();
    assert_eq!(seen, [(3, Some("a")), (4, Some("a")), (5, Some("a"))]);
}

#[test]
fn a_share_of_rejects_fails_a_file_of_a_thousand_rows_and_no_smaller_one() {
    let dataset = dataset(&[("a", "smallint")]);
    let file = |good: usize, bad: usize| format!("a\n{}{}", "1\n".repeat(good), "x\n".repeat(bad));
    assert_eq!(rows(&dataset, &file(1, 998)).1, (999, 998));
    assert_eq!(rows(&dataset, &file(950, 50)).1, (1000, 50));
    let message = failure(&dataset, &file(949, 51));
    assert!(message.starts_with("51 of 1000 rows rejected, the limit is a share of 0.05"), "{message}");
}

#[test]
fn a_row_beyond_the_last_line_number_fails_the_file() {
    let dataset = two_texts();
    let mut rows = FileRows::new(plan(&dataset), 7);
    let mut out = Output::default();
    rows.push(b"a,b\n", &mut out).unwrap();
    rows.splitter.set_line(i32::MAX as u64);
    rows.push(b"1,2\n", &mut out).unwrap();
    assert_eq!(out.rows, 1);
    assert_eq!(rows.push(b"1,2\n", &mut out), Err(FileError::TooManyLines));
}

#[test]
fn one_stray_quote_costs_one_line_and_a_long_line_no_memory() {
    let mut dataset = two_texts();
    dataset.csv.max_record_bytes.0 = 1024;
    let long = "z".repeat(100_000);
    let input = format!("a,b\n1,\"2\n3,4\n5,{long}\n6,7\n{}", "8,9\n".repeat(1000));
    let (out, counts) = rows(&dataset, &input);
    assert_eq!(counts, (1004, 2));
    assert_eq!(texts(&out)[..2], [["3", "4"], ["6", "7"]]);
    let rules: Vec<_> =
        out.rejects.iter().map(|reject| (reject.line, reject.rule, reject.raw.len())).collect();
    assert_eq!(rules, [(2, "quote_unclosed", 4), (4, "record_too_long", 1025)]);
}
