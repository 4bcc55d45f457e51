//! Finds one record and its fields, in one pass. Resumable: called again with more bytes it goes on where it stopped.

use std::ops::{ControlFlow, Range};

use super::{
    breakage::Breakage,
    dialect::Dialect,
    fields::{Field, Fields, Form},
    find::{BLOCK, Finder, block_of},
};

/// What lies behind the bytes at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// Bytes that have not come yet.
    Open,
    /// Nothing: the input ends here.
    EndOfInput,
    /// Bytes that this record may not have; those at hand are one more than the longest record has.
    Limit,
}

/// What a look at the bytes gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The record does not end in these bytes.
    More,
    /// The record is the first `length` bytes; its fields are [`Scan::fields`].
    Record { length: usize },
    /// The record is wrong.
    Broken(Breakage),
}

/// Where in the grammar the next byte stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// The next byte is the first of a field.
    FieldStart,
    /// Inside a field without quotes around it: quotes in it are literals.
    Plain,
    /// Inside quotes.
    Quoted,
    /// After an escape inside quotes.
    AfterEscape,
    /// After a quote inside quotes: the first half of a doubled one, or the closing one.
    AfterQuote,
}

/// The scan of the current record. Its positions count from the record's start, because the buffer moves.
#[derive(Debug)]
pub(super) struct Scan {
    dialect: Dialect,
    /// What ends a field without quotes: the delimiter (its last byte) and line breaks.
    separators: Finder<3>,
    /// What matters inside quotes: the quote and the escape.
    quotes: Finder<2>,
    place: Place,
    /// Where to go on.
    at: usize,
    /// Where the text of the current field begins.
    field_start: usize,
    /// How the current field is written, if it is in quotes.
    form: Form,
    has_quotes: bool,
    /// Whether bytes of the record were passed over, so that its fields are not known.
    has_skipped: bool,
    fields: Fields,
}

impl Scan {
    pub(super) fn new(dialect: Dialect) -> Self {
        let quote = dialect.quote.unwrap_or_default();
        Self {
            separators: Finder::new([dialect.delimiter.last_byte(), b'\n', b'\r']),
            quotes: Finder::new([quote, dialect.escape.unwrap_or(quote)]),
            dialect,
            place: Place::FieldStart,
            at: 0,
            field_start: 0,
            form: Form::Plain,
            has_quotes: false,
            has_skipped: false,
            fields: Fields::default(),
        }
    }

    /// Forgets the current record: a new one begins.
    pub(super) fn restart(&mut self) {
        (self.place, self.at) = (Place::FieldStart, 0);
        (self.has_quotes, self.has_skipped) = (false, false);
        self.fields.clear();
    }

    /// How far into the record the scan has come, and to what place.
    pub(super) fn reached(&self) -> (usize, Place) {
        (self.at, self.place)
    }

    /// Goes on so far into the record, at this place, to which the bytes between are known to lead.
    pub(super) fn skip_to(&mut self, at: usize, place: Place) {
        (self.at, self.place, self.has_skipped) = (at, place, true);
    }

    /// To be called when other bytes stand in the buffer.
    pub(super) fn buffer_changed(&mut self) {
        self.separators.forget();
        self.quotes.forget();
    }

    /// The fields of the record that was found.
    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Whether a field of the record that was found stands in quotes.
    pub(super) fn has_quotes(&self) -> bool {
        self.has_quotes
    }

    /// Looks at the bytes of the buffer that the record can have; they begin where the record begins, at every call
    /// until it is found.
    pub(super) fn find(&mut self, buffer: &[u8], record: Range<usize>, edge: Edge) -> Found {
        let found = self.go_on(buffer, record.clone(), edge);
        if self.has_skipped && matches!(found, Found::Record { .. }) {
            self.restart();
            return self.go_on(buffer, record, edge);
        }
        found
    }

    fn go_on(&mut self, buffer: &[u8], record: Range<usize>, edge: Edge) -> Found {
        let Range { start, end } = record;
        let mut at = start + self.at;
        while at < end {
            at = match self.place {
                Place::FieldStart if Some(buffer[at]) == self.dialect.quote => {
                    (self.place, self.form, self.has_quotes) = (Place::Quoted, Form::Quoted, true);
                    self.field_start = at + 1 - start;
                    at + 1
                }
                Place::FieldStart => {
                    self.place = Place::Plain;
                    self.field_start = at - start;
                    at
                }
                Place::Plain => match self.pass_plain(buffer, start, at, end) {
                    ControlFlow::Continue(next) => next,
                    ControlFlow::Break(length) => return Found::Record { length },
                },
                Place::Quoted => self.pass_quoted(buffer, start, at, end),
                Place::AfterEscape => {
                    self.place = Place::Quoted;
                    if [self.dialect.quote, self.dialect.escape].contains(&Some(buffer[at])) {
                        self.form = Form::Escaped;
                        at + 1
                    } else {
                        at
                    }
                }
                Place::AfterQuote => {
                    let (rest, delimiter) = (&buffer[at..end], self.dialect.delimiter);
                    if Some(rest[0]) == self.dialect.quote {
                        (self.place, self.form) = (Place::Quoted, Form::Escaped);
                        at + 1
                    } else if is_line_break(rest[0]) {
                        return self.end_record(at - 1 - start, self.form, at - start);
                    } else if delimiter.begins(rest) {
                        self.end_field(at - 1 - start, self.form);
                        self.place = Place::FieldStart;
                        at + delimiter.length()
                    } else if edge != Edge::EndOfInput && delimiter.bytes().starts_with(rest) {
                        // Of a delimiter of several bytes, some have not come.
                        break;
                    } else {
                        self.at = at - start;
                        return Found::Broken(Breakage::TextAfterQuote);
                    }
                }
            };
        }
        self.at = at - start;
        self.meet_edge(end - start, edge)
    }

    /// Goes on inside a field without quotes, and through as many more of them as follow: up to a quote that begins
    /// a field or the end of the window, or to the end of the record, of which the length is given.
    ///
    /// The loop is where most of the time of splitting goes: it works on local copies, and one look at a byte tells a
    /// delimiter from a line break.
    #[inline]
    fn pass_plain(
        &mut self,
        buffer: &[u8],
        start: usize,
        mut at: usize,
        end: usize,
    ) -> ControlFlow<usize, usize> {
        let Dialect { delimiter, quote, .. } = self.dialect;
        let (window, last_byte) = (&buffer[..end], delimiter.last_byte());
        let mut field_start = self.field_start;
        let mut block = block_of(at);
        while block < end {
            let mut separators = self.separators.found_from(buffer, at);
            let (places, count) = self.fields.with_room(BLOCK);
            while separators != 0 {
                let found = block + separators.trailing_zeros() as usize;
                separators &= separators - 1;
                let Some(&byte) = window.get(found) else { break };
                if byte != last_byte {
                    places[*count] = Field::new(field_start, found - start, Form::Plain);
                    *count += 1;
                    return ControlFlow::Break(found - start);
                }
                if !delimiter.ends_at(buffer, start + field_start, found) {
                    continue;
                }
                at = found + 1;
                places[*count] = Field::new(field_start, at - delimiter.length() - start, Form::Plain);
                *count += 1;
                field_start = at - start;
                if window.get(at).is_none_or(|&byte| Some(byte) == quote) {
                    self.place = Place::FieldStart;
                    return ControlFlow::Continue(at);
                }
            }
            block += BLOCK;
            at = block;
        }
        self.field_start = field_start;
        ControlFlow::Continue(end)
    }

    /// Goes on inside quotes, and through as many more quoted fields as follow: up to a quote behind which something
    /// else stands, an escape, or the end of the window.
    #[inline]
    fn pass_quoted(&mut self, buffer: &[u8], start: usize, mut at: usize, end: usize) -> usize {
        let window = &buffer[..end];
        let Dialect { delimiter, quote, .. } = self.dialect;
        while let Some(found) = self.quotes.find(buffer, at).filter(|&found| found < end) {
            at = found + 1;
            if Some(window[found]) != quote {
                self.place = Place::AfterEscape;
                return at;
            }
            let next = at + delimiter.length();
            if !delimiter.begins(&window[at..]) || window.get(next).copied() != quote {
                self.place = Place::AfterQuote;
                return at;
            }
            self.end_field(found - start, self.form);
            at = next + 1;
            (self.field_start, self.form) = (at - start, Form::Quoted);
        }
        end
    }

    #[inline]
    fn end_field(&mut self, end: usize, form: Form) {
        self.fields.push(Field::new(self.field_start, end, form));
    }

    fn end_record(&mut self, field_end: usize, form: Form, length: usize) -> Found {
        self.end_field(field_end, form);
        Found::Record { length }
    }

    /// There are no more bytes at hand, and the record has not ended.
    fn meet_edge(&mut self, length: usize, edge: Edge) -> Found {
        match (edge, self.place) {
            (Edge::Open, _) => Found::More,
            (_, Place::Quoted | Place::AfterEscape) => Found::Broken(Breakage::UnclosedQuote),
            (Edge::Limit, _) => Found::Broken(Breakage::TooLong),
            (Edge::EndOfInput, Place::Plain) => self.end_record(length, Form::Plain, length),
            (Edge::EndOfInput, Place::AfterQuote) => self.end_record(length - 1, self.form, length),
            (Edge::EndOfInput, Place::FieldStart) => {
                self.field_start = length;
                self.end_record(length, Form::Plain, length)
            }
        }
    }
}

fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}
