//! Any encoding but UTF-8 → UTF-8, a line at a time, so that each line's offset in the file is known.

use encoding_rs::{DecoderResult, Encoding, UTF_16BE, UTF_16LE};
use memchr::memchr2;

use super::line_starts::{LineStart, LineStarts};

/// Stands for bytes that are no text in their encoding; UTF-8 never has it.
const INVALID: u8 = 0xff;

#[derive(Debug)]
pub(super) struct Transcoder {
    decoder: encoding_rs::Decoder,
    unit: Unit,
    /// Of the last bytes that came.
    text: Vec<u8>,
    /// Of the text's first byte.
    text_offset: u64,
    /// Of the next byte of the file.
    file_offset: u64,
    lines: LineStarts,
}

/// How a file writes the code of a character such as a line break.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Byte,
    LittleEndian,
    BigEndian,
}

impl Transcoder {
    pub(super) fn new(encoding: &'static Encoding, mark_length: usize) -> Self {
        let unit = match encoding {
            encoding if encoding == UTF_16LE => Unit::LittleEndian,
            encoding if encoding == UTF_16BE => Unit::BigEndian,
            // All others of the standard hold ASCII's control characters as they are.
            _ => Unit::Byte,
        };
        Self {
            decoder: encoding.new_decoder_without_bom_handling(),
            unit,
            text: Vec::new(),
            text_offset: 0,
            file_offset: mark_length as u64,
            lines: LineStarts::new(LineStart { in_text: 0, in_file: mark_length as u64 }),
        }
    }

    pub(super) fn decode(&mut self, mut bytes: &[u8], ended: bool) -> &[u8] {
        self.text_offset += self.text.len() as u64;
        self.text.clear();
        while !bytes.is_empty() {
            let (line, rest) = bytes.split_at(self.line_length(bytes));
            let length = self.text.len();
            self.append(line, false);
            self.file_offset += line.len() as u64;
            // Otherwise the line goes on, or what looked like its end is no text: ISO-2022-JP knows such places.
            if let [.., b'\n' | b'\r'] = self.text[length..] {
                let in_text = self.text_offset + self.text.len() as u64;
                self.lines.push(LineStart { in_text, in_file: self.file_offset });
            }
            bytes = rest;
        }
        if ended {
            self.append(&[], true);
        }
        &self.text
    }

    fn append(&mut self, mut bytes: &[u8], ended: bool) {
        loop {
            let length = self.text.len();
            // No encoding gives more than three bytes for one; some may be left over from before.
            self.text.resize(length + 3 * bytes.len() + 16, 0);
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(bytes, &mut self.text[length..], ended);
            self.text.truncate(length + written);
            bytes = &bytes[read..];
            match result {
                DecoderResult::InputEmpty => return,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => self.text.push(INVALID),
            }
        }
    }

    /// Length up to the first line break, or of all bytes if there is none or it is cut.
    fn line_length(&self, bytes: &[u8]) -> usize {
        let (units, _) = bytes.as_chunks();
        let line_break = match self.unit {
            Unit::Byte => memchr2(b'\n', b'\r', bytes).map(|at| at + 1),
            // The other half of a unit that was cut, by itself.
            _ if self.file_offset % 2 == 1 => Some(1),
            Unit::LittleEndian => {
                units.iter().position(|unit| matches!(unit, [b'\n' | b'\r', 0])).map(units_end)
            }
            Unit::BigEndian => {
                units.iter().position(|unit| matches!(unit, [0, b'\n' | b'\r'])).map(units_end)
            }
        };
        line_break.unwrap_or(bytes.len())
    }

    /// As [`LineStarts::advance_to`].
    pub(super) fn advance_to(&mut self, text_offset: u64) -> u64 {
        self.lines.advance_to(text_offset)
    }

    #[cfg(test)]
    pub(super) fn line_bytes(&self) -> usize {
        self.lines.bytes()
    }
}

/// Where the unit of this index ends.
fn units_end(index: usize) -> usize {
    2 * (index + 1)
}
