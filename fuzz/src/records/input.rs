//! What a fuzzed input means: a few bytes choose how the file is written, the others are the file.

use std::sync::Arc;

use longshore_worker::rows::RowPlan;
use toml::{Table, Value};

use crate::reading;

/// How many bytes choose.
const SETTINGS: usize = 12;

const DELIMITERS: [&str; 8] = [",", ";", "\t", "|", " ", "¦", "a", "→"];
const QUOTES: [&str; 4] = ["\"", "'", "", "a"];
const ESCAPES: [&str; 4] = ["", "\\", "'", "b"];
const COMMENTS: [&str; 3] = ["", "#", "b"];
const ENCODINGS: [&str; 12] = [
    "auto",
    "utf-8",
    "utf-16le",
    "utf-16be",
    "windows-1252",
    "shift_jis",
    "gb18030",
    "euc-jp",
    "big5",
    "euc-kr",
    "iso-2022-jp",
    "koi8-r",
];
const NULLS: [&[&str]; 4] = [&["", "NA"], &[], &[""], &["a", "-"]];
const MARKS: [&[u8]; 6] = [b"", b"", b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
const MAX_RECORD_BYTES: [u64; 6] = [1024, 1, 5, 16, 64, 300];

#[derive(Clone, Copy)]
enum ByteOrder {
    Little,
    Big,
}

/// A file and how it is read.
pub(super) struct Input {
    pub(super) plan: Arc<RowPlan>,
    pub(super) bytes: Vec<u8>,
    /// The lengths of the chunks, over and over.
    cuts: [usize; 2],
    /// Whether the file is to be fed until memory would show it.
    pub(super) is_endless: bool,
    /// Of UTF-16, in which a line break is a unit.
    byte_order: Option<ByteOrder>,
}

impl Input {
    /// `None` for settings that are no spec.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let (settings, body) = data.split_first_chunk::<SETTINGS>()?;
        let [delimiter, quote, escape, comment, header, skip, encoding, null, bound, flags, cut_1, cut_2] =
            *settings;
        let encoding = chosen(&ENCODINGS, encoding);
        let (header_lines, skip_lines) = (header % 4, skip % 3);
        let (has_extra, is_endless, is_headed) = (flags & 1 == 1, flags & 6 == 6, flags & 8 == 0);
        let mark = chosen(&MARKS, flags >> 4);

        let mut csv = Table::new();
        // Only what is not the default, so that a spec holds no more keys than it needs.
        let mut set = |key: &str, value: Value, default: Value| {
            if value != default {
                csv.insert(key.to_owned(), value);
            }
        };
        set("delimiter", chosen(&DELIMITERS, delimiter).into(), ",".into());
        set("quote", chosen(&QUOTES, quote).into(), "\"".into());
        set("escape", chosen(&ESCAPES, escape).into(), "".into());
        set("comment", chosen(&COMMENTS, comment).into(), "".into());
        set("header", i64::from(header_lines).into(), 1.into());
        set("skip_lines", i64::from(skip_lines).into(), 0.into());
        set("encoding", encoding.into(), "auto".into());
        let nulls: Vec<Value> = chosen(&NULLS, null).iter().map(|&text| text.into()).collect();
        set("null", nulls.into(), Value::Array(Vec::new()));
        set("extra_columns", if has_extra { "ignore" } else { "fail" }.into(), "fail".into());
        let columns =
            vec![toml::toml! { name = "a" type = "text" }, toml::toml! { name = "b" type = "smallint" }];
        let mut dataset = reading::dataset(csv, columns)?;
        // Tighter than a spec may be, so that small inputs reach it.
        dataset.csv.max_record_bytes.0 = chosen(&MAX_RECORD_BYTES, bound);

        let mut text = "skipped\n".repeat(usize::from(skip_lines));
        text += &"above\n".repeat(usize::from(header_lines).saturating_sub(1));
        text +=
            &["a", chosen(&DELIMITERS, delimiter), "b\n"].concat().repeat(usize::from(header_lines.min(1)));
        let head = if is_headed { encoded(&text, byte_order(mark, encoding)) } else { Vec::new() };
        let bytes = [mark, &head, body].concat();
        let byte_order = byte_order(&bytes, encoding);
        let cuts = [cut_1, cut_2].map(|cut| usize::from(cut) + 1);
        Some(Self { plan: reading::plan(&dataset)?, bytes, cuts, is_endless, byte_order })
    }

    /// The file in pieces.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        self.cuts.into_iter().cycle().map_while(move |length| {
            let (chunk, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = behind;
            (!chunk.is_empty()).then_some(chunk)
        })
    }

    /// The physical line of the byte there, by the line breaks before it.
    pub(super) fn line_at(&self, offset: usize) -> i32 {
        let before = &self.bytes[..offset];
        let units: Vec<u16> = match self.byte_order {
            Some(ByteOrder::Little) => {
                before.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
            }
            Some(ByteOrder::Big) => {
                before.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
            }
            None => before.iter().map(|&byte| u16::from(byte)).collect(),
        };
        let (feed, carriage_return) = (u16::from(b'\n'), u16::from(b'\r'));
        let ends_line = |(at, &unit): (usize, &u16)| {
            unit == carriage_return || (unit == feed && (at == 0 || units[at - 1] != carriage_return))
        };
        1 + units.iter().enumerate().filter(|&unit| ends_line(unit)).count() as i32
    }
}

fn chosen<T: Copy>(choices: &[T], byte: u8) -> T {
    choices[usize::from(byte) % choices.len()]
}

/// How the pairs of bytes of a UTF-16 file are read: its mark wins over the spec.
fn byte_order(bytes: &[u8], encoding: &str) -> Option<ByteOrder> {
    match (bytes, encoding) {
        ([0xff, 0xfe, ..], _) => Some(ByteOrder::Little),
        ([0xfe, 0xff, ..], _) => Some(ByteOrder::Big),
        ([0xef, 0xbb, 0xbf, ..], _) => None,
        (_, "utf-16le") => Some(ByteOrder::Little),
        (_, "utf-16be") => Some(ByteOrder::Big),
        _ => None,
    }
}

/// The header as the file has it. Where an encoding writes a delimiter other than UTF-8 does, it comes out wrong.
fn encoded(text: &str, byte_order: Option<ByteOrder>) -> Vec<u8> {
    match byte_order {
        Some(ByteOrder::Little) => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Some(ByteOrder::Big) => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        None => text.as_bytes().to_vec(),
    }
}
