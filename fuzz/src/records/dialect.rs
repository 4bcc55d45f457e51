//! How a fuzzed file is written.

use std::sync::Arc;

use longshore_common::dataset::Dataset;
use longshore_worker::rows::RowPlan;
use toml::{Table, Value};

use crate::reading;

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
const MAX_RECORD_BYTES: [u64; 6] = [1024, 1, 5, 16, 64, 300];
/// The place of 64 among them.
const SHORT_RECORDS: u8 = 4;

/// Of UTF-16, in which a line break is a pair of bytes.
#[derive(Clone, Copy)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

/// The `[csv]` table of the spec.
pub(super) struct Dialect {
    delimiter: &'static str,
    quote: &'static str,
    escape: &'static str,
    comment: &'static str,
    header_lines: u8,
    skip_lines: u8,
    pub(super) encoding: &'static str,
    nulls: &'static [&'static str],
    max_record_bytes: u64,
    has_extra: bool,
    /// What of the settings is about the dialect, the same for the same dialect.
    key: [u8; 10],
}

impl Dialect {
    /// `is_endless`: with short records, because what one push gives is bounded by a record.
    pub(super) fn chosen(settings: &[u8], is_endless: bool) -> Self {
        let lengths = [8, 4, 4, 3, 4, 3, 12, 4, 6, 2];
        let mut key = [0; 10];
        for (index, length) in lengths.into_iter().enumerate() {
            key[index] = settings.get(index).map_or(0, |byte| byte % length);
        }
        if is_endless {
            key[8] = SHORT_RECORDS;
        }
        let [delimiter, quote, escape, comment, header_lines, skip_lines, encoding, null, bound, extra] = key;
        Self {
            delimiter: chosen(&DELIMITERS, delimiter),
            quote: chosen(&QUOTES, quote),
            escape: chosen(&ESCAPES, escape),
            comment: chosen(&COMMENTS, comment),
            header_lines,
            skip_lines,
            encoding: chosen(&ENCODINGS, encoding),
            nulls: chosen(&NULLS, null),
            max_record_bytes: chosen(&MAX_RECORD_BYTES, bound),
            has_extra: extra == 1,
            key,
        }
    }

    /// `None` if this is no spec.
    pub(super) fn plan(&self) -> Option<Arc<RowPlan>> {
        reading::plan(&self.key, || self.dataset())
    }

    fn dataset(&self) -> Option<Dataset> {
        let texts = [
            ("delimiter", self.delimiter),
            ("quote", self.quote),
            ("escape", self.escape),
            ("comment", self.comment),
            ("encoding", self.encoding),
            ("extra_columns", if self.has_extra { "ignore" } else { "fail" }),
        ];
        let mut csv: Table = texts.into_iter().map(|(key, text)| (key.to_owned(), text.into())).collect();
        csv.insert("header".to_owned(), i64::from(self.header_lines).into());
        csv.insert("skip_lines".to_owned(), i64::from(self.skip_lines).into());
        csv.insert("null".to_owned(), Value::Array(self.nulls.iter().map(|&text| text.into()).collect()));
        let columns =
            vec![toml::toml! { name = "a" type = "text" }, toml::toml! { name = "b" type = "smallint" }];
        let mut dataset = reading::dataset(csv, columns)?;
        // Tighter than a spec may be, so that small inputs reach it.
        dataset.csv.max_record_bytes.0 = self.max_record_bytes;
        Some(dataset)
    }

    /// What a file begins with that has the columns of the spec. Where an encoding writes a delimiter other than
    /// UTF-8 does, it comes out wrong.
    pub(super) fn head(&self, byte_order: Option<ByteOrder>) -> Vec<u8> {
        let mut text = "skipped\n".repeat(usize::from(self.skip_lines));
        if self.header_lines > 0 {
            text += &"above\n".repeat(usize::from(self.header_lines) - 1);
            text += &["a", self.delimiter, "b\n"].concat();
        }
        match byte_order {
            Some(ByteOrder::Little) => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Some(ByteOrder::Big) => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            None => text.into_bytes(),
        }
    }
}

pub(super) fn chosen<T: Copy>(choices: &[T], byte: u8) -> T {
    choices[usize::from(byte) % choices.len()]
}
