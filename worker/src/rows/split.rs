//! Bytes → records, with line and byte offset, however the bytes are cut into chunks.
//!
//! A record that is broken costs its first physical line and no more: reading resumes at the line after it, so
//! that one stray quote does not swallow its neighbours.

use memchr::{memchr2, memchr2_iter};

use super::scan::{Breakage, Edge, Found, Scan};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One record, or the first line of a broken one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Without the line break that ends it.
    pub(super) bytes: &'a [u8],
    /// Physical line on which it begins, from 1.
    pub(super) line: u64,
    /// Offset of its first byte in the input.
    pub(super) byte_offset: u64,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record without quoted fields.
    Plain,
    /// A record in which at least one field stands in quotes.
    Quoted,
    /// The first line of a broken record, at most the longest record and one byte.
    Broken(Breakage),
}

/// What the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first of the input: a byte order mark may stand here.
    Start,
    /// The first after a carriage return: a line feed belongs to it.
    AfterCarriageReturn,
    /// The first of a line.
    Line,
    /// Inside a line whose rest is dropped.
    Drop,
}

/// Where a piece lies in the buffer.
struct Span {
    start: usize,
    length: usize,
    line: u64,
    kind: Kind,
}

/// The splitter of one input.
#[derive(Debug)]
pub(super) struct Splitter {
    max_record_bytes: usize,
    scan: Scan,
    /// How the current record is broken, and how many of its bytes are known to hold no line break, while the end
    /// of its first line is awaited.
    broken: Option<(Breakage, usize)>,
    stage: Stage,
    /// Bytes that have come and whose record is not finished: at most one record and one chunk.
    buffer: Vec<u8>,
    /// Where the current record begins in the buffer.
    start: usize,
    /// Offset of the buffer's first byte in the input.
    buffer_offset: u64,
    line: u64,
}

impl Splitter {
    pub(super) fn new(delimiter: u8, quote: u8, max_record_bytes: usize) -> Self {
        Self {
            max_record_bytes,
            scan: Scan::new(delimiter, quote),
            broken: None,
            stage: Stage::Start,
            buffer: Vec::new(),
            start: 0,
            buffer_offset: 0,
            line: 1,
        }
    }

    /// Takes a chunk; the pieces it completes come from [`Self::next_piece`], which is to be called until `None`.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        // At most one unfinished record is moved, and only if something before it was consumed: a record that
        // grows over many chunks is moved once.
        self.buffer.drain(..self.start);
        self.buffer_offset += self.start as u64;
        self.start = 0;
        self.buffer.extend_from_slice(chunk);
    }

    /// The next piece; `None` if it needs more bytes or, with `ended`, if the input is used up.
    pub(super) fn next_piece(&mut self, ended: bool) -> Option<Piece<'_>> {
        let Span { start, length, line, kind } = self.next_span(ended)?;
        let byte_offset = self.buffer_offset + start as u64;
        Some(Piece { bytes: &self.buffer[start..start + length], line, byte_offset, kind })
    }

    fn next_span(&mut self, ended: bool) -> Option<Span> {
        loop {
            if self.stage != Stage::Line && !self.reach_line(ended) {
                return None;
            }
            let rest = &self.buffer[self.start..];
            if rest.is_empty() {
                return None;
            }
            let limit = self.max_record_bytes + 1;
            let (window, edge) = match (rest.len() >= limit, ended) {
                (true, _) => (&rest[..limit], Edge::Limit),
                (false, true) => (rest, Edge::EndOfInput),
                (false, false) => (rest, Edge::Open),
            };
            let found = match self.broken {
                Some((breakage, _)) => Found::Broken(breakage),
                None => self.scan.find(window, edge),
            };
            match found {
                Found::More => return None,
                // A blank line is no row, also where the file has a single column: `""` writes an empty value there.
                Found::Record { length: 0, .. } => self.end_line(0),
                Found::Record { length, quoted } => return Some(self.take_record(length, quoted)),
                Found::Broken(breakage) => {
                    // The piece is the whole first line (as far as a record may go): what it shows must not
                    // depend on where the chunk happened to end.
                    let (searched, length) = (self.broken.map_or(0, |(_, searched)| searched), window.len());
                    let line_break = memchr2(b'\n', b'\r', &window[searched..]).map(|at| searched + at);
                    if line_break.is_none() && edge == Edge::Open {
                        self.broken = Some((breakage, length));
                        return None;
                    }
                    return Some(self.take_broken(line_break, length, breakage));
                }
            }
        }
    }

    fn take_record(&mut self, length: usize, quoted: bool) -> Span {
        let kind = if quoted { Kind::Quoted } else { Kind::Plain };
        let span = Span { start: self.start, length, line: self.line, kind };
        if quoted {
            self.line += line_breaks(&self.buffer[self.start..self.start + length]);
        }
        self.end_line(length);
        span
    }

    fn take_broken(&mut self, line_break: Option<usize>, window_length: usize, breakage: Breakage) -> Span {
        let length = line_break.unwrap_or(window_length);
        let span = Span { start: self.start, length, line: self.line, kind: Kind::Broken(breakage) };
        self.broken = None;
        if line_break.is_some() {
            self.end_line(length);
        } else {
            self.start += length;
            self.stage = Stage::Drop;
        }
        span
    }

    /// Ends the current line after `length` bytes: there stands its line break, or the input ends.
    fn end_line(&mut self, length: usize) {
        let at = self.start + length;
        self.stage = match self.buffer.get(at) {
            Some(b'\r') => Stage::AfterCarriageReturn,
            _ => Stage::Line,
        };
        self.start = self.buffer.len().min(at + 1);
        self.line += 1;
        self.scan.restart();
    }

    /// Goes on to the first byte of a line. False if it has not come yet.
    fn reach_line(&mut self, ended: bool) -> bool {
        let rest = &self.buffer[self.start..];
        match self.stage {
            Stage::Line => {}
            Stage::Start => {
                if !ended && rest.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(rest) {
                    return false;
                }
                if rest.starts_with(BYTE_ORDER_MARK) {
                    self.start += BYTE_ORDER_MARK.len();
                }
                self.stage = Stage::Line;
            }
            Stage::AfterCarriageReturn => {
                let Some(first) = rest.first() else { return false };
                self.start += usize::from(*first == b'\n');
                self.stage = Stage::Line;
            }
            Stage::Drop => match memchr2(b'\n', b'\r', rest) {
                Some(length) => {
                    self.end_line(length);
                    return self.reach_line(ended);
                }
                None => {
                    self.start = self.buffer.len();
                    return false;
                }
            },
        }
        true
    }

    #[cfg(test)]
    pub(super) fn set_line(&mut self, line: u64) {
        self.line = line;
    }
}

/// Line breaks inside a whole record: a CRLF is one.
fn line_breaks(record: &[u8]) -> u64 {
    memchr2_iter(b'\n', b'\r', record)
        .filter(|&at| record[at] == b'\r' || at == 0 || record[at - 1] != b'\r')
        .count() as u64
}

#[cfg(test)]
mod tests;
