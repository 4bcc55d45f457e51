//! A field of a record, and its text. The record's grammar has been checked by `scan`; here nothing can fail.

use memchr::memchr2;

use super::dialect::Dialect;

/// Where a field lies in its record, without the quotes around it, and how it is written. One word, because it is written
/// and read again at once: its start in the low half, above that its end, and the form in the two highest bits. (A
/// record has at most 16 MiB.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field(u64);

const END_SHIFT: u32 = 32;
const FORM_SHIFT: u32 = 62;

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Without quotes around it.
    Plain,
    /// In quotes; its bytes are its text.
    Quoted,
    /// In quotes, with doubled or escaped characters in it.
    Escaped,
}

impl Field {
    #[inline]
    pub(super) fn new(start: usize, end: usize, form: Form) -> Self {
        Self(start as u64 | (end as u64) << END_SHIFT | (form as u64) << FORM_SHIFT)
    }

    fn start(self) -> usize {
        self.0 as u32 as usize
    }

    /// Where in its record the field ends, its closing quote not counted.
    #[inline]
    pub(super) fn end(self) -> usize {
        ((self.0 >> END_SHIFT) & ((1 << (FORM_SHIFT - END_SHIFT)) - 1)) as usize
    }

    /// Its text, if it stands without quotes.
    #[inline]
    pub(super) fn plain(self, record: &[u8]) -> Option<&[u8]> {
        (!self.is_quoted()).then(|| &record[self.start()..self.end()])
    }

    fn is_escaped(self) -> bool {
        self.0 >> FORM_SHIFT == Form::Escaped as u64
    }

    /// The field as its column sees it; `scratch` is overwritten if characters have to be taken out.
    #[inline(always)]
    pub(super) fn cell<'a>(self, record: &'a [u8], dialect: &Dialect, scratch: &'a mut Vec<u8>) -> Cell<'a> {
        let head = &record[..self.end()];
        if self.is_escaped() {
            let text = unescape(&head[self.start()..], dialect, scratch);
            return Cell { head: text, length: text.len(), quoted: true };
        }
        Cell { head, length: head.len() - self.start(), quoted: self.is_quoted() }
    }

    #[inline]
    fn is_quoted(self) -> bool {
        self.0 >> FORM_SHIFT != Form::Plain as u64
    }
}

/// A field's text and how it stands in its record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<'a> {
    /// Ends with the text, and begins where the record does if it can: numbers are read in words, which may begin before
    /// the text does.
    pub(super) head: &'a [u8],
    /// Of the text.
    pub(super) length: usize,
    /// It stands in quotes.
    pub(super) quoted: bool,
}

impl<'a> Cell<'a> {
    #[inline(always)]
    pub(super) fn text(self) -> &'a [u8] {
        &self.head[self.head.len() - self.length..]
    }
}

/// How many fields a record may have: more than any table has columns, and few enough that a record of mere delimiters
/// takes little memory.
pub(super) const MAX_FIELDS: usize = 10_000;
/// How many fields of a record are kept: one too many, so that it is not taken for one that may be.
const MAX_KEPT: usize = MAX_FIELDS + 1;

/// The fields of one record. Writing to a place that is there already is cheaper than pushing.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Of which the first `count` are the record's.
    places: Vec<Field>,
    count: usize,
    /// Fields behind those that are kept, as far as `count` does not have them.
    more: usize,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        (self.count, self.more) = (0, 0);
    }

    /// All of them, or of more than [`MAX_FIELDS`] the first.
    pub(super) fn kept(&self) -> &[Field] {
        &self.places[..self.count.min(MAX_KEPT)]
    }

    /// Of all fields.
    pub(super) fn count(&self) -> usize {
        self.count + self.more
    }

    #[inline]
    pub(super) fn push(&mut self, field: Field) {
        let (places, count) = self.with_room(1);
        places[*count] = field;
        *count += 1;
    }

    /// All places, with room for so many more fields, and the count, which says where the next one goes.
    #[inline]
    pub(super) fn with_room(&mut self, more: usize) -> (&mut [Field], &mut usize) {
        if self.places.len() < self.count + more {
            self.make_room(more);
        }
        (&mut self.places, &mut self.count)
    }

    #[cold]
    fn make_room(&mut self, more: usize) {
        if self.count > MAX_KEPT {
            self.more += self.count - MAX_KEPT;
            self.count = MAX_KEPT;
        }
        let needed = self.count + more;
        if self.places.len() < needed {
            self.places.resize(needed, Field::new(0, 0, Form::Plain));
        }
    }
}

/// Of two quotes, of an escape and a quote, and of two escapes the second stays; any other escape stands for itself.
#[inline(never)]
fn unescape<'a>(raw: &[u8], dialect: &Dialect, text: &'a mut Vec<u8>) -> &'a [u8] {
    text.clear();
    let quote = dialect.quote.unwrap_or_default();
    let escape = dialect.escape.unwrap_or(quote);
    let mut rest = raw;
    while let Some(at) = memchr2(quote, escape, rest) {
        let is_literal = rest.get(at + 1).is_some_and(|&byte| byte == quote || byte == escape);
        let kept = if is_literal { at + 1 } else { at };
        text.extend_from_slice(&rest[..at]);
        text.push(rest[kept]);
        rest = &rest[kept + 1..];
    }
    text.extend_from_slice(rest);
    text
}

#[cfg(test)]
mod tests {
    use longshore_common::dataset::{AsciiOrNone, Csv};

    use super::*;

    #[test]
    fn the_first_fields_are_kept_and_all_are_counted() {
        let field = |at| Field::new(at, at, Form::Plain);
        for number in [0, 1, MAX_FIELDS, MAX_KEPT, MAX_KEPT + 1, MAX_KEPT + 64, 3 * MAX_KEPT] {
            let expected: Vec<_> = (0..number.min(MAX_KEPT)).map(field).collect();
            let mut fields = Fields::default();
            for more in [1, 64] {
                fields.clear();
                for at in 0..number {
                    let (places, count) = fields.with_room(more);
                    places[*count] = field(at);
                    *count += 1;
                }
                assert_eq!((fields.count(), fields.kept()), (number, &expected[..]), "{more}");
            }
            assert!(fields.places.len() <= MAX_KEPT + 64);
        }
    }

    fn unescaped(raw: &str, escape: Option<u8>) -> String {
        let dialect = Dialect::new(&Csv { escape: AsciiOrNone(escape), ..Csv::default() });
        let field = Field::new(1, 1 + raw.len(), Form::Escaped);
        let mut scratch = b"before".to_vec();
        let record = format!("\"{raw}\"");
        let text = field.cell(record.as_bytes(), &dialect, &mut scratch).text().to_vec();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn doubled_quotes_are_halved() {
        for (raw, text) in
            [("\"\"", "\""), ("a\"\"b\"\"", "a\"b\""), ("\"\"\"\"", "\"\""), ("a\\\\", "a\\\\")]
        {
            assert_eq!(unescaped(raw, None), text, "{raw}");
        }
    }

    #[test]
    fn an_escape_makes_a_quote_or_itself_literal_and_else_stands_for_itself() {
        let cases = [
            (r#"\""#, "\""),
            (r"\\", r"\"),
            (r#"\\\""#, r#"\""#),
            (r"C:\new", r"C:\new"),
            (r"\\n", r"\n"),
            (r#"a\"b""c\d"#, r#"a"b"c\d"#),
        ];
        for (raw, text) in cases {
            assert_eq!(unescaped(raw, Some(b'\\')), text, "{raw}");
        }
    }
}
