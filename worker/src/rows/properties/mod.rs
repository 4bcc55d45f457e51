//! What holds for every input, however it is cut into chunks.

mod plainly;
mod splitting;
mod stray_quotes;
mod tables;
mod whole_files;

use longshore_common::dataset::{AsciiOrNone, Csv};
use proptest::prelude::*;

fn any_cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..12)
}

/// Bytes among which those that mean something are frequent, or lines of which many open a quote that stays open.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        "a\",\"b", "\",\"", "\"", ",\"", "\"\"", "\\\"", ",", "xyz", "\n", "\n", "\r\n",
    ]);
    let parts = prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat().into_bytes());
    prop_oneof![single_bytes(), parts]
}

fn single_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(b'"'),
        3 => Just(b','),
        2 => Just(b'\n'),
        2 => Just(b'\r'),
        2 => Just(b'\\'),
        1 => Just(b'#'),
        2 => prop::sample::select("¦→".as_bytes()),
        4 => prop::sample::select(b"a1 \xef\xbb\xbf\xff\xfe\0".as_slice()),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..150)
}

/// Most of them with the usual characters.
fn any_dialect() -> impl Strategy<Value = Csv> {
    let ascii = |byte| AsciiOrNone(Some(byte));
    let none = AsciiOrNone(None);
    let delimiter = prop::sample::select(vec![',', ',', 'a', '¦', '→']);
    let (quote, escape) =
        (prop::sample::select(vec![b'"', b'"', b'"', 0]), prop::sample::select(vec![b'\\', 0]));
    let comment = prop::sample::select(vec![none, ascii(b'#')]);
    (delimiter, quote, escape, comment, 0..3_u32).prop_map(
        move |(delimiter, quote, escape, comment, skip_lines)| Csv {
            delimiter,
            quote: if quote == 0 { none } else { ascii(quote) },
            escape: if quote == 0 || escape == 0 { none } else { ascii(escape) },
            comment,
            skip_lines,
            ..Csv::default()
        },
    )
}
