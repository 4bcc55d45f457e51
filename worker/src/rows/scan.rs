//! Finds the end of one record. Resumable: called again with a longer window it goes on where it stopped.

use memchr::{memchr, memchr3};

/// How a record breaks the CSV grammar or its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breakage {
    /// A closing quote is followed by something other than a delimiter or the end of the record.
    TextAfterQuote,
    /// A quote is not closed before the input, or the record's bound, ends.
    UnclosedQuote,
    /// The record is longer than allowed.
    TooLong,
}

impl Breakage {
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::TextAfterQuote => "quote_text_after",
            Self::UnclosedQuote => "quote_unclosed",
            Self::TooLong => "record_too_long",
        }
    }

    /// One sentence for people.
    pub(super) fn reason(self, max_record_bytes: usize) -> String {
        match self {
            Self::TextAfterQuote => {
                "text follows a closing quote; only a delimiter or a line break may".to_owned()
            }
            Self::UnclosedQuote => {
                format!(
                    "a quote is not closed within {max_record_bytes} bytes (csv.max_record_bytes) or the file"
                )
            }
            Self::TooLong => format!("longer than {max_record_bytes} bytes (csv.max_record_bytes)"),
        }
    }
}

/// What lies behind the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// Bytes that have not come yet.
    Open,
    /// Nothing: the input ends here.
    EndOfInput,
    /// Bytes that this record may not have; the window itself is one byte longer than the longest record.
    Limit,
}

/// What a look at the window gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The record does not end in this window.
    More,
    /// The record is the window's first `length` bytes; `quoted` if at least one field stands in quotes.
    Record { length: usize, quoted: bool },
    /// The record is wrong.
    Broken(Breakage),
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Outside,
    Inside,
    /// After a quote inside quotes: the first half of a doubled one, or the closing one.
    AfterQuote,
}

/// The scan of the current record.
#[derive(Debug)]
pub(super) struct Scan {
    delimiter: u8,
    quote: u8,
    place: Place,
    scanned: usize,
    quoted: bool,
}

impl Scan {
    pub(super) fn new(delimiter: u8, quote: u8) -> Self {
        Self { delimiter, quote, place: Place::Outside, scanned: 0, quoted: false }
    }

    /// Forgets the current record: the next window begins a new one.
    pub(super) fn restart(&mut self) {
        (self.place, self.scanned, self.quoted) = (Place::Outside, 0, false);
    }

    /// `window` begins where the record begins, at every call until the record is found.
    pub(super) fn find(&mut self, window: &[u8], edge: Edge) -> Found {
        while self.scanned < window.len() {
            let rest = &window[self.scanned..];
            match self.place {
                Place::Outside => match memchr3(b'\n', b'\r', self.quote, rest) {
                    None => self.scanned = window.len(),
                    Some(distance) if rest[distance] != self.quote => {
                        return Found::Record { length: self.scanned + distance, quoted: self.quoted };
                    }
                    Some(distance) => self.meet_quote(window, self.scanned + distance),
                },
                Place::Inside => match memchr(self.quote, rest) {
                    None => self.scanned = window.len(),
                    Some(distance) => {
                        self.scanned += distance + 1;
                        self.place = Place::AfterQuote;
                    }
                },
                Place::AfterQuote => {
                    self.place = match rest[0] {
                        byte if byte == self.quote => Place::Inside,
                        byte if byte == self.delimiter => Place::Outside,
                        b'\n' | b'\r' => return Found::Record { length: self.scanned, quoted: true },
                        _ => return Found::Broken(Breakage::TextAfterQuote),
                    };
                    self.scanned += 1;
                }
            }
        }
        match (edge, self.place) {
            (Edge::Open, _) => Found::More,
            (_, Place::Inside) => Found::Broken(Breakage::UnclosedQuote),
            (Edge::EndOfInput, _) => Found::Record { length: window.len(), quoted: self.quoted },
            (Edge::Limit, _) => Found::Broken(Breakage::TooLong),
        }
    }

    /// A quote outside of quotes opens a field if it is the field's first byte; elsewhere it is a literal.
    fn meet_quote(&mut self, window: &[u8], at: usize) {
        if at == 0 || window[at - 1] == self.delimiter {
            self.place = Place::Inside;
            self.quoted = true;
        }
        self.scanned = at + 1;
    }
}
