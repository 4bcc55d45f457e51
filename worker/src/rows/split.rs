//! Bytes → records, with line and byte offset, however the bytes are cut into chunks.
//!
//! A record that is broken costs its first physical line and no more: reading resumes at the line after it, so
//! that one stray quote does not swallow its neighbours.

use memchr::{memchr2, memchr2_iter};

use super::{
    breakage::Breakage,
    dialect::Dialect,
    explored::Explored,
    fields::Field,
    scan::{Edge, Found, Scan},
    stray_quotes::NextQuote,
    text_check::TextCheck,
};

/// One record, or the first line of a broken one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Without the line break that ends it.
    pub(super) bytes: &'a [u8],
    /// Of a whole record: all, or the first of more than it may have.
    pub(super) fields: &'a [Field],
    /// How many a whole record has.
    pub(super) field_count: usize,
    /// Physical line on which it begins, from 1.
    pub(super) line: u64,
    /// Offset of its first byte in the input.
    pub(super) byte_offset: u64,
    /// Of a record of text whose stray quotes are checked: it holds a quote somewhere.
    pub(super) has_quote: bool,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record of text.
    Record,
    /// A record with bytes that are no text.
    NotText,
    /// The first line of a broken record, at most the longest record and one byte.
    Broken(Breakage),
}

/// What the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first after a carriage return: a line feed belongs to it.
    AfterCarriageReturn,
    /// The first of a line on which a record can begin.
    Line,
    /// Of a record, or of a broken one's first line.
    Record,
    /// Inside a line whose rest is dropped.
    Drop,
}

/// Where a piece lies in the buffer.
struct Span {
    start: usize,
    length: usize,
    line: u64,
    has_quote: bool,
    kind: Kind,
}

/// The splitter of one input.
#[derive(Debug)]
pub(super) struct Splitter {
    max_record_bytes: usize,
    comment: Option<u8>,
    /// Lines still to be left out before the first record.
    skip_lines: u32,
    scan: Scan,
    explored: Explored,
    /// How the current record is broken, and how many of its bytes are known to hold no line break, while the end
    /// of its first line is awaited.
    broken: Option<(Breakage, usize)>,
    stage: Stage,
    /// Bytes that have come and whose record is not finished: at most one record and one chunk.
    buffer: Vec<u8>,
    text_check: TextCheck,
    next_quote: NextQuote,
    /// Where the current line begins in the buffer.
    start: usize,
    /// Offset of the buffer's first byte in the input.
    buffer_offset: u64,
    line: u64,
}

impl Splitter {
    pub(super) fn new(dialect: Dialect, skip_lines: u32, max_record_bytes: usize) -> Self {
        Self {
            max_record_bytes,
            comment: dialect.comment,
            skip_lines,
            next_quote: NextQuote::new(&dialect),
            scan: Scan::new(dialect),
            explored: Explored::nothing(),
            broken: None,
            stage: Stage::Line,
            buffer: Vec::new(),
            text_check: TextCheck::default(),
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
        self.text_check.drained(self.start);
        self.next_quote.drained(self.start);
        self.explored.drained(self.start);
        self.buffer_offset += self.start as u64;
        self.start = 0;
        self.buffer.extend_from_slice(chunk);
        self.scan.buffer_changed();
    }

    /// Of the input: no piece to come begins before it.
    pub(super) fn offset(&self) -> u64 {
        self.buffer_offset + self.start as u64
    }

    /// The next piece; `None` if it needs more bytes or, with `ended`, if the input is used up.
    pub(super) fn next_piece(&mut self, ended: bool) -> Option<Piece<'_>> {
        if self.stage != Stage::Record && !self.reach_record() {
            return None;
        }
        let Span { start, length, line, has_quote, kind } = self.next_span(ended)?;
        Some(Piece {
            bytes: &self.buffer[start..start + length],
            fields: self.scan.fields().kept(),
            field_count: self.scan.fields().count(),
            line,
            byte_offset: self.buffer_offset + start as u64,
            has_quote,
            kind,
        })
    }

    fn next_span(&mut self, ended: bool) -> Option<Span> {
        let available = self.buffer.len() - self.start;
        let (length, edge) = match available > self.max_record_bytes {
            true => (self.max_record_bytes + 1, Edge::Limit),
            false => (available, if ended { Edge::EndOfInput } else { Edge::Open }),
        };
        let window = self.start..self.start + length;
        let found = match self.broken {
            Some((breakage, _)) => Found::Broken(breakage),
            None => self.scan.find(&self.buffer, window.clone(), edge),
        };
        match found {
            Found::More => None,
            Found::Record { length } => Some(self.take_record(length)),
            Found::Broken(breakage) => {
                // The piece is the whole first line (as far as a record may go): what it shows must not
                // depend on where the chunk happened to end.
                let searched = self.broken.map_or(0, |(_, searched)| searched);
                let line_break =
                    memchr2(b'\n', b'\r', &self.buffer[window][searched..]).map(|at| searched + at);
                if line_break.is_none() && edge == Edge::Open {
                    self.broken = Some((breakage, length));
                    return None;
                }
                Some(self.take_broken(line_break, length, breakage))
            }
        }
    }

    fn take_record(&mut self, length: usize) -> Span {
        let range = self.start..self.start + length;
        let is_text = self.text_check.is_text(&self.buffer, range.clone());
        let kind = if is_text { Kind::Record } else { Kind::NotText };
        let has_quote = self.next_quote.is_in(&self.buffer, range.clone());
        let span = Span { start: self.start, length, line: self.line, has_quote, kind };
        if self.scan.has_quotes() {
            self.line += line_breaks(&self.buffer[range]);
        }
        self.end_line(length);
        span
    }

    fn take_broken(&mut self, line_break: Option<usize>, window_length: usize, breakage: Breakage) -> Span {
        let length = line_break.unwrap_or(window_length);
        let kind = Kind::Broken(breakage);
        let span = Span { start: self.start, length, line: self.line, has_quote: false, kind };
        self.explored.note(self.start, &self.scan);
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
    }

    /// Goes on to the first byte of a record. False if it has not come yet.
    fn reach_record(&mut self) -> bool {
        while let Some(&first) = self.buffer.get(self.start) {
            match self.stage {
                Stage::Record => return true,
                Stage::AfterCarriageReturn => {
                    self.start += usize::from(first == b'\n');
                    self.stage = Stage::Line;
                }
                Stage::Line if self.skip_lines > 0 => {
                    self.skip_lines -= 1;
                    self.stage = Stage::Drop;
                }
                Stage::Line if Some(first) == self.comment => self.stage = Stage::Drop,
                // A blank line is no row, also where the file has a single column: `""` writes an empty value there.
                Stage::Line if matches!(first, b'\n' | b'\r') => self.end_line(0),
                Stage::Line => {
                    self.scan.restart();
                    self.explored.lead(&mut self.scan, &self.buffer, self.start);
                    self.stage = Stage::Record;
                }
                Stage::Drop => match memchr2(b'\n', b'\r', &self.buffer[self.start..]) {
                    Some(length) => self.end_line(length),
                    None => self.start = self.buffer.len(),
                },
            }
        }
        false
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
