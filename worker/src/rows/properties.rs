//! What holds for every input, however it is cut into chunks.

use proptest::prelude::*;

use super::{
    FileError, Output, Reject,
    scan::Breakage,
    split::{Kind, Splitter},
    testing::{chunks, dataset, read, texts},
};

/// Bytes among which those that mean something are frequent.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(b'"'),
        3 => Just(b','),
        2 => Just(b'\n'),
        2 => Just(b'\r'),
        4 => prop::sample::select(b"a1 \xef\xbb\xbf".as_slice()),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..120)
}

fn any_cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..12)
}

/// Line, offset, bytes and kind of a piece.
type Seen = (u64, usize, Vec<u8>, Kind);

fn split(input: &[u8], cuts: &[usize], max_record_bytes: usize) -> Vec<Seen> {
    let mut splitter = Splitter::new(b',', b'"', max_record_bytes);
    let mut seen = Vec::new();
    let mut take = |chunk: &[u8], ended| {
        splitter.push(chunk);
        while let Some(piece) = splitter.next_piece(ended) {
            seen.push((piece.line, piece.byte_offset as usize, piece.bytes.to_vec(), piece.kind));
        }
    };
    chunks(input, cuts).into_iter().for_each(|chunk| take(chunk, false));
    take(b"", true);
    seen
}

/// The rules of splitting once more, as plainly as possible: a whole input, a byte at a time.
fn split_plainly(input: &[u8], max_record_bytes: usize) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut start = if input.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut line = 1;
    while start < input.len() {
        let first_line = input[start..].iter().position(|byte| b"\r\n".contains(byte));
        let first_line = first_line.map_or(input.len(), |length| start + length);
        let limit = start + max_record_bytes + 1;
        let (end, kind) = match record_end(&input[..input.len().min(limit)], start, input.len() < limit) {
            Ok((end, kind)) => (end, kind),
            Err(breakage) => (first_line, Kind::Broken(breakage)),
        };
        if end > start {
            seen.push((line, start, input[start..end.min(limit)].to_vec(), kind));
        }
        let next = if input[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        let text = String::from_utf8_lossy(&input[start..next.min(input.len())]).replace("\r\n", "\n");
        line += text.matches(['\r', '\n']).count() as u64;
        start = next;
    }
    seen
}

fn record_end(input: &[u8], start: usize, whole: bool) -> Result<(usize, Kind), Breakage> {
    let (mut at, mut kind) = (start, Kind::Plain);
    loop {
        // A field.
        if input.get(at) == Some(&b'"') {
            kind = Kind::Quoted;
            at += 1;
            loop {
                match (input.get(at), input.get(at + 1)) {
                    (None, _) => return Err(Breakage::UnclosedQuote),
                    (Some(b'"'), Some(b'"')) => at += 2,
                    (Some(b'"'), _) => break,
                    _ => at += 1,
                }
            }
            at += 1;
        } else {
            while input.get(at).is_some_and(|byte| !b",\r\n".contains(byte)) {
                at += 1;
            }
        }
        // What ends it.
        match input.get(at) {
            Some(b',') => at += 1,
            Some(b'\r' | b'\n') => return Ok((at, kind)),
            None if whole => return Ok((at, kind)),
            None => return Err(Breakage::TooLong),
            Some(_) => return Err(Breakage::TextAfterQuote),
        }
    }
}

/// Everything that a caller sees of a file.
type Outcome = (Vec<u8>, u64, Vec<Reject>, Result<(), FileError>);

fn outcome((rows, out, result): (super::FileRows, Output, Result<(), FileError>)) -> Outcome {
    let counts = rows.counts();
    assert_eq!(counts.rows_read, out.rows + counts.rows_rejected, "rows are conserved");
    assert_eq!(counts.rows_rejected, out.rejects.len() as u64);
    assert!(out.rejects.iter().all(|reject| !reject.raw.contains('\0')));
    (out.tuples, out.rows, out.rejects, result)
}

/// How a table is written.
fn any_style() -> impl Strategy<Value = (u8, bool, csv::QuoteStyle)> {
    let styles = prop::sample::select(vec![csv::QuoteStyle::Always, csv::QuoteStyle::Necessary]);
    (prop::sample::select(b",;\t|".as_slice()), any::<bool>(), styles)
}

fn any_table() -> impl Strategy<Value = Vec<Vec<String>>> {
    (1..5_usize).prop_flat_map(|width| {
        let row = prop::collection::vec("[ab,;|\t\"\r\n \u{e9}\u{feff}]{0,6}|[^\u{0}]{0,4}", width);
        prop::collection::vec(row, 0..8)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_split_as_the_plain_rules_say(input in any_bytes(), cuts in any_cuts(), max in 1..60_usize) {
        prop_assert_eq!(split(&input, &cuts, max), split_plainly(&input, max));
    }

    #[test]
    fn any_bytes_give_the_same_rows_and_rejects_however_cut(
        body in any_bytes(),
        cuts in any_cuts(),
        max_record_bytes in 1..60_u64,
        max_rows in prop::sample::select(vec![0, 2, 1000]),
    ) {
        let mut dataset = dataset(&[("a", "text"), ("b", "smallint")]);
        dataset.csv.max_record_bytes.0 = max_record_bytes;
        dataset.rejects.max_rows = max_rows;
        for header in [&b"a,b\n"[..], b"\xef\xbb\xbfb,\"a\"\r\n", b""] {
            let input = [header, &body].concat();
            let whole = outcome(read(&dataset, &input, &[]));
            prop_assert_eq!(&outcome(read(&dataset, &input, &cuts)), &whole);
            let bytes: Vec<_> = (0..input.len()).collect();
            prop_assert_eq!(&outcome(read(&dataset, &input, &bytes)), &whole);
        }
    }

    #[test]
    fn any_table_that_is_written_as_csv_comes_back_equal(
        table in any_table(),
        (delimiter, crlf, quote_style) in any_style(),
        cuts in any_cuts(),
    ) {
        let names: Vec<_> = (0..table.first().map_or(1, Vec::len)).map(|index| format!("c{index}")).collect();
        let columns: Vec<_> = names.iter().map(|name| (name.as_str(), "text")).collect();
        let mut dataset = dataset(&columns);
        dataset.csv.delimiter = char::from(delimiter);
        dataset.csv.null = Vec::new();

        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut builder = csv::WriterBuilder::new();
        builder.delimiter(delimiter).quote_style(quote_style).terminator(terminator);
        let mut writer = builder.from_writer(Vec::new());
        writer.write_record(&names).unwrap();
        table.iter().for_each(|row| writer.write_record(row).unwrap());
        let input = writer.into_inner().unwrap();

        let (_, out, result) = read(&dataset, &input, &cuts);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(&out.rejects, &[]);
        prop_assert_eq!(texts(&out), table);
    }
}
