use longshore_common::dataset::{Dataset, ExtraColumns};

use super::super::testing::{column, dataset, read};

fn two_texts() -> Dataset {
    dataset(&[("a", "text"), ("b", "text")])
}

fn failure(dataset: &Dataset, input: &str) -> String {
    read(dataset, input.as_bytes(), &[]).2.unwrap_err().to_string()
}

#[test]
fn a_header_that_does_not_fit_fails_the_file_and_names_all_that_is_wrong() {
    assert_eq!(failure(&two_texts(), "c,d\n1,2\n"), "the header lacks `a`, `b`; it has 2 columns");
    assert_eq!(failure(&two_texts(), "a,B\n"), "the header lacks `b`; it has 2 columns");
    assert_eq!(failure(&two_texts(), "a,b,a,b\n"), "the header names `a`, `b` more than once");
    let message = failure(&two_texts(), "a,b,c,\n");
    assert!(
        message.contains("has 2 columns that the spec does not name: `c`, the column with an empty name;"),
        "{message}"
    );
    for input in ["\"a\"x,b\n", "a,\"b\n"] {
        assert!(failure(&two_texts(), input).starts_with("the header, on line 1, cannot be read: "));
    }
    let long = format!("a,{}", "b".repeat(2 << 20));
    assert!(failure(&two_texts(), &long).contains("longer than 1048576 bytes"));
}

#[test]
fn a_header_that_another_delimiter_would_split_is_told_so() {
    let cases = [
        (
            "a;b;c\n",
            "the header lacks `a`, `b`; it has 1 column; is csv.delimiter right? the line has 2 semicolons",
        ),
        ("a\tb\n", "the header lacks `a`, `b`; it has 1 column; is csv.delimiter right? the line has 1 tab"),
        ("a,c|d|b|\n", "the header lacks `b`; it has 2 columns; is csv.delimiter right? the line has 3 bars"),
        ("a,c|d\n", "the header lacks `b`; it has 2 columns"),
    ];
    for (input, expected) in cases {
        assert_eq!(failure(&two_texts(), input), expected);
    }
    let mut dataset = two_texts();
    dataset.csv.delimiter = ';';
    assert!(failure(&dataset, "a,b\n1,2\n").ends_with("the line has 1 comma"));
}

#[test]
fn a_header_that_is_no_text_asks_for_the_encoding() {
    let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    for input in [b"a,\xe4\n".to_vec(), utf_16("a,b\n")] {
        let message = read(&two_texts(), &input, &[]).2.unwrap_err().to_string();
        assert!(message.starts_with("the header, on line 1, cannot be read: has "), "{message}");
        assert!(message.ends_with("; is csv.encoding right?"), "{message}");
    }
    let message = read(&two_texts(), b"a,b,\xe4\n", &[]).2.unwrap_err().to_string();
    assert!(message.contains("does not name: `\u{fffd}`"), "{message}");
}

#[test]
fn a_message_names_ten_columns_and_cuts_their_names() {
    let long = |name: &str| format!("{name}{}", "é".repeat(100));
    let mut dataset = two_texts();
    dataset.columns = (10..30).map(|number| column(&format!("c{number}"), "text")).collect();
    dataset.columns.iter_mut().for_each(|column| column.source = Some(long(&column.name)));
    let names: Vec<_> = dataset.columns.iter().map(|column| long(&column.name)).collect();
    let shown: Vec<_> = (10..20).map(|number| format!("`c{number}{}`", "é".repeat(60))).collect();
    let shown = format!("{} and 10 more", shown.join(", "));

    assert_eq!(failure(&dataset, "x\n"), format!("the header lacks {shown}; it has 1 column"));
    let twice = [&names[..], &names].concat().join(",");
    assert_eq!(failure(&dataset, &twice), format!("the header names {shown} more than once"));
    let extra = failure(&two_texts(), &format!("a,b,{}\n", names.join(",")));
    assert!(extra.contains(&format!("has 20 columns that the spec does not name: {shown}; add")), "{extra}");
}

#[test]
fn a_header_with_more_columns_than_are_read_fails_the_file() {
    let mut dataset = two_texts();
    dataset.csv.extra_columns = ExtraColumns::Ignore;
    let header = |count: usize| format!("\na,b{}\n", ",x".repeat(count - 2));
    assert_eq!(read(&dataset, header(10_000).as_bytes(), &[]).2, Ok(()));
    let message = failure(&dataset, &header(10_001));
    let expected = "the header, on line 2, has 10001 columns, at most 10000 are read; are csv.delimiter, csv.header and \
                    csv.skip_lines right?";
    assert_eq!(message, expected);
    assert!(failure(&dataset, &header(300_000)).contains(" has 300000 columns"));
}
