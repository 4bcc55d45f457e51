//! What a fuzzed input means: a few bytes choose how the file is written, the others are the file.

use std::sync::Arc;

use longshore_worker::rows::RowPlan;

use super::dialect::{ByteOrder, Dialect, chosen};

/// How many bytes choose.
const SETTINGS: usize = 12;

const MARKS: [&[u8]; 6] = [b"", b"", b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

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
        let [.., flags, cut_1, cut_2] = *settings;
        let (is_endless, is_headed) = (flags & 15 == 6, flags & 8 == 0);
        let dialect = Dialect::chosen(settings, is_endless);
        let mark = chosen(&MARKS, flags >> 4);
        let head = if is_headed { dialect.head(byte_order(mark, dialect.encoding)) } else { Vec::new() };
        let bytes = [mark, &head, body].concat();
        Some(Self {
            plan: dialect.plan()?,
            byte_order: byte_order(&bytes, dialect.encoding),
            bytes,
            cuts: [cut_1, cut_2].map(|cut| usize::from(cut) + 1),
            is_endless,
        })
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
