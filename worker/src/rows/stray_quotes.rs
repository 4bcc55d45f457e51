//! Quotes inside unquoted fields. They are text, but a record may be rejected for them: with `1,5.20"Lamp, red",x` a separator is
//! missing before a quoted field, and whoever takes the quotes for text shifts every value from there on.
//!
//! The other reading: a quote after text opens quotes, unless a delimiter or the record's end follows; in them, doubled and
//! escaped quotes are literals. Another quote closes them in the field that opened them; behind a delimiter, only one before a
//! delimiter or the record's end does, and only a stray one: `5" pipe,"a, b"` has a single meaning. A line break ends the
//! record in both readings.

use std::ops::Range;

use memchr::memchr;

use super::{dialect::Dialect, fields::Field};

/// The fields of a record if its stray quotes were quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OtherReading {
    /// The first fields that would be one: the first and the last of them, from 1.
    joined: (usize, usize),
    /// How many fields there would be less.
    fewer: usize,
}

impl OtherReading {
    /// One sentence for people, for a record that has so many fields if the quotes are text.
    pub(super) fn reason(self, field_count: usize) -> String {
        let Self { joined: (first, last), fewer } = self;
        let other = field_count - fewer;
        let plural = if other == 1 { "" } else { "s" };
        format!(
            "a quote stands inside an unquoted field: if it is text, the record has {field_count} fields; if it is a quote, \
             {other} field{plural}, because fields {first} to {last} are one; a separator may be missing before the quote \
             (csv.stray_quotes = \"literal\" makes it text)"
        )
    }
}

/// `None` if the record's fields have the same limits in both readings.
#[inline]
pub(super) fn other_reading(record: &[u8], fields: &[Field], dialect: &Dialect) -> Option<OtherReading> {
    let quotes = Quotes { quote: dialect.quote?, escape: dialect.escape };
    let ends_with_quote = |field: &Field| field.plain(record).and_then(<[u8]>::last) == Some(&quotes.quote);
    if fields.iter().any(ends_with_quote) { joined_fields(record, fields, quotes) } else { None }
}

/// Each run of fields is looked at once: where one finds nothing that closes it, no later one does.
#[cold]
fn joined_fields(record: &[u8], fields: &[Field], quotes: Quotes) -> Option<OtherReading> {
    let plain = |field: &Field| field.plain(record);
    let mut other: Option<OtherReading> = None;
    let mut from = 0;
    let opens = |field: &Field| plain(field).is_some_and(|text| quotes.are_open_behind(text));
    while let Some(first) = fields[from..].iter().position(opens).map(|at| from + at) {
        let behind = &fields[first + 1..];
        let Some(joined) =
            behind.iter().position(|field| plain(field).is_some_and(|text| quotes.close(text)))
        else {
            break;
        };
        let last = first + 1 + joined;
        let other = other.get_or_insert(OtherReading { joined: (first + 1, last + 1), fewer: 0 });
        other.fewer += last - first;
        from = last + 1;
    }
    other
}

#[derive(Clone, Copy)]
struct Quotes {
    quote: u8,
    escape: Option<u8>,
}

impl Quotes {
    /// Whether this unquoted field, which begins outside of quotes, leaves some open.
    fn are_open_behind(self, text: &[u8]) -> bool {
        let Some(mut at) = memchr(self.quote, text) else { return false };
        let mut are_open = false;
        while let Some(&byte) = text.get(at) {
            let next = text.get(at + 1).copied();
            if are_open && self.is_literal(byte, next) {
                at += 1;
            } else if byte == self.quote {
                are_open = !are_open && next.is_some();
            }
            at += 1;
        }
        are_open
    }

    /// Whether this unquoted field, which begins inside quotes, closes them with its last byte.
    fn close(self, text: &[u8]) -> bool {
        let last = text.len().saturating_sub(1);
        if text.last() != Some(&self.quote) {
            return false;
        }
        let mut at = 0;
        while at < last {
            at += if self.is_literal(text[at], Some(text[at + 1])) { 2 } else { 1 };
        }
        at == last
    }

    /// Whether two bytes inside quotes are one literal quote or escape.
    fn is_literal(self, byte: u8, next: Option<u8>) -> bool {
        next.is_some()
            && (byte == self.quote && next == Some(self.quote)
                || Some(byte) == self.escape && (next == Some(self.quote) || next == self.escape))
    }
}

/// Where the next quote of a buffer stands: the buffer is searched once, however many records it holds.
#[derive(Debug)]
pub(super) struct NextQuote {
    /// `None`: nobody asks.
    quote: Option<u8>,
    /// No record that is still to come has a quote before it.
    at: usize,
}

impl NextQuote {
    pub(super) fn new(dialect: &Dialect) -> Self {
        Self { quote: dialect.quote.filter(|_| dialect.checks_stray_quotes), at: 0 }
    }

    /// To be called when the first bytes of the buffer are dropped.
    pub(super) fn drained(&mut self, length: usize) {
        self.at = self.at.saturating_sub(length);
    }

    /// Whether a quote stands in this range of the buffer. Ranges come in order.
    #[inline]
    pub(super) fn is_in(&mut self, buffer: &[u8], range: Range<usize>) -> bool {
        let Some(quote) = self.quote else { return false };
        if self.at < range.end {
            let from = self.at.max(range.start);
            self.at = memchr(quote, &buffer[from..]).map_or(buffer.len(), |found| from + found);
        }
        self.at < range.end
    }
}

#[cfg(test)]
mod tests;
