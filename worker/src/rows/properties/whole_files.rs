//! A file's rows and rejects do not depend on where its bytes are cut, and rejects say where they stand.

use encoding_rs::{BIG5, Encoding, GB18030, ISO_2022_JP, SHIFT_JIS, UTF_16BE, UTF_16LE, WINDOWS_1252};
use longshore_common::dataset::{Csv, ExtraColumns, FileEncoding, HeaderLines};
use proptest::prelude::*;

use super::super::{
    FileError, Reject,
    testing::{dataset, read},
};
use super::{any_bytes, any_cuts, any_dialect};

/// Everything that a caller sees of a file: tuples, how many, rejects, and how it ended.
type Outcome = (Vec<u8>, u64, Vec<Reject>, Result<(), FileError>);

fn outcome(csv: &Csv, max_rows: u32, input: &[u8], cuts: &[usize]) -> Outcome {
    let mut dataset = dataset(&[("a", "text"), ("b", "smallint")]);
    dataset.csv = csv.clone();
    dataset.rejects.max_rows = max_rows;
    let (rows, out, result) = read(&dataset, input, cuts);
    let counts = rows.counts();
    assert_eq!(counts.rows_read, out.rows + counts.rows_rejected, "rows are conserved");
    assert_eq!(counts.rows_rejected, out.rejects.len() as u64);
    assert!(out.rejects.iter().all(|reject| !reject.raw.contains('\0')));
    (out.tuples, out.rows, out.rejects, result)
}

fn any_encoding() -> impl Strategy<Value = FileEncoding> {
    let named =
        [UTF_16LE, UTF_16BE, WINDOWS_1252, SHIFT_JIS, GB18030, BIG5, ISO_2022_JP].map(FileEncoding::Named);
    prop_oneof![2 => Just(FileEncoding::Auto), 3 => prop::sample::select(named.to_vec())]
}

/// The text in an encoding; UTF-16 is what the crate reads but does not write.
fn encoded(text: &str, encoding: &'static Encoding) -> Vec<u8> {
    match encoding {
        encoding if encoding == UTF_16LE => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        encoding if encoding == UTF_16BE => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        encoding => encoding.encode(text).0.into_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_give_the_same_rows_and_rejects_however_cut(
        mut csv in any_dialect(),
        encoding in any_encoding(),
        body in any_bytes(),
        cuts in any_cuts(),
        (header, max_record_bytes) in (0..3_u32, 1..80_u64),
        max_rows in prop::sample::select(vec![0, 2, 1000]),
        extra_columns in prop::sample::select(vec![ExtraColumns::Fail, ExtraColumns::Ignore]),
    ) {
        csv.extra_columns = extra_columns;
        (csv.encoding, csv.header, csv.max_record_bytes.0) = (encoding, HeaderLines(header), max_record_bytes);
        for head in [&b"a,b\n"[..], b"\xef\xbb\xbfb,\"a\"\r\n", b"", b"\xff\xfe", b"\xfe\xff\0a\0,\0b\0\n"] {
            let input = [head, &body].concat();
            let whole = outcome(&csv, max_rows, &input, &[]);
            prop_assert_eq!(&outcome(&csv, max_rows, &input, &cuts), &whole);
            let bytes: Vec<_> = (0..input.len()).collect();
            prop_assert_eq!(&outcome(&csv, max_rows, &input, &bytes), &whole);
        }
    }

    /// Each line is a reject, because `b` is no number; each holds characters of one, two, three and four bytes.
    #[test]
    fn a_rejects_offset_and_line_point_at_its_text_in_the_file(
        lines in prop::collection::vec("[a-zé€ア中𝄞\"#]{0,20}", 0..20),
        breaks in prop::collection::vec(prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n"]), 20),
        encoding in prop::sample::select(vec![UTF_16LE, UTF_16BE, WINDOWS_1252, SHIFT_JIS, GB18030]),
        marked in any::<bool>(),
        cuts in any_cuts(),
    ) {
        let mut dataset = dataset(&[("a", "text"), ("b", "smallint")]);
        dataset.csv.encoding = FileEncoding::Named(encoding);
        dataset.csv.header = HeaderLines(0);
        let mut input = Vec::new();
        if marked && [UTF_16LE, UTF_16BE].contains(&encoding) {
            input.extend(encoded("\u{feff}", encoding));
        }
        let mut expected = Vec::new();
        let mut line_number = 1;
        for (line, line_break) in lines.iter().zip(&breaks) {
            let line = format!("x{line},no number");
            expected.push((line_number, input.len() as i64));
            line_number += if *line_break == "\n\n" { 2 } else { 1 };
            input.extend(encoded(&line, encoding));
            input.extend(encoded(line_break, encoding));
        }
        let (_, out, result) = read(&dataset, &input, &cuts);
        prop_assert_eq!(result, Ok(()));
        let seen: Vec<_> = out.rejects.iter().map(|reject| (reject.line, reject.byte_offset)).collect();
        prop_assert_eq!(seen, expected);
        for reject in &out.rejects {
            let raw = encoded(&reject.raw, encoding);
            prop_assert!(input[reject.byte_offset as usize..].starts_with(&raw), "{}", reject.raw);
        }
    }
}
