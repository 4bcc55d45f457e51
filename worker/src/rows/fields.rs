//! A record → its fields. The record's grammar has been checked by `scan`; here nothing can fail.

use memchr::{memchr, memchr_iter};

/// Where a field lies in its record, without the quotes around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    /// A record has at most 16 MiB: `u32` halves what is written per field.
    start: u32,
    end: u32,
    form: Form,
}

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Without quotes around it.
    Plain,
    /// In quotes; its bytes are its text.
    Quoted,
    /// In quotes, with doubled quotes in it.
    Doubled,
}

impl Field {
    fn new(start: usize, end: usize, form: Form) -> Self {
        Self { start: start as u32, end: end as u32, form }
    }

    /// The field as its column sees it; `scratch` is overwritten if quotes have to be halved.
    #[inline(always)]
    pub(super) fn cell<'a>(self, record: &'a [u8], quote: u8, scratch: &'a mut Vec<u8>) -> Cell<'a> {
        let head = &record[..self.end as usize];
        let length = (self.end - self.start) as usize;
        match self.form {
            Form::Plain => Cell { head, length, quoted: false },
            Form::Quoted => Cell { head, length, quoted: true },
            Form::Doubled => {
                let text = halved(&head[self.start as usize..], quote, scratch);
                Cell { head: text, length: text.len(), quoted: true }
            }
        }
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

#[inline(never)]
fn halved<'a>(raw: &[u8], quote: u8, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    scratch.clear();
    let mut rest = raw;
    while let Some(at) = memchr(quote, rest) {
        scratch.extend_from_slice(&rest[..=at]);
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    scratch.extend_from_slice(rest);
    scratch
}

/// Fills `fields` with the fields of a record without quoted ones.
pub(super) fn split_plain(record: &[u8], delimiter: u8, fields: &mut Vec<Field>) {
    fields.clear();
    let mut start = 0;
    for at in memchr_iter(delimiter, record) {
        fields.push(Field::new(start, at, Form::Plain));
        start = at + 1;
    }
    fields.push(Field::new(start, record.len(), Form::Plain));
}

/// Fills `fields` with the fields of any record.
pub(super) fn split_quoted(record: &[u8], delimiter: u8, quote: u8, fields: &mut Vec<Field>) {
    fields.clear();
    let mut start = 0;
    loop {
        let end = if record.get(start) == Some(&quote) {
            let (length, form) = quoted_length(&record[start + 1..], quote);
            let end = start + 1 + length;
            fields.push(Field::new(start + 1, end, form));
            end + 1
        } else {
            let end = memchr(delimiter, &record[start..]).map_or(record.len(), |length| start + length);
            fields.push(Field::new(start, end, Form::Plain));
            end
        };
        if end >= record.len() {
            return;
        }
        start = end + 1;
    }
}

/// Length of a quoted text up to its closing quote.
fn quoted_length(text: &[u8], quote: u8) -> (usize, Form) {
    let (mut at, mut form) = (0, Form::Quoted);
    while let Some(distance) = memchr(quote, &text[at..]) {
        at += distance;
        if text.get(at + 1) != Some(&quote) {
            return (at, form);
        }
        form = Form::Doubled;
        at += 2;
    }
    (text.len(), form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(record: &str) -> Vec<(String, bool)> {
        let mut fields = Vec::new();
        split_quoted(record.as_bytes(), b',', b'"', &mut fields);
        let mut scratch = Vec::new();
        let text = |field: &Field| {
            let cell = field.cell(record.as_bytes(), b'"', &mut scratch);
            (String::from_utf8(cell.text().to_vec()).unwrap(), cell.quoted)
        };
        fields.iter().map(text).collect()
    }

    #[test]
    fn fields_lose_their_quotes_and_keep_everything_else() {
        let cases: [(&str, &[(&str, bool)]); 8] = [
            ("a,b", &[("a", false), ("b", false)]),
            (",", &[("", false), ("", false)]),
            ("\"a,b\",c", &[("a,b", true), ("c", false)]),
            ("\"\",\"\"", &[("", true), ("", true)]),
            ("a,\"b\nc\"", &[("a", false), ("b\nc", true)]),
            ("\"a\"\"b\"\"\",", &[("a\"b\"", true), ("", false)]),
            ("a\"b,\"\"\"\"", &[("a\"b", false), ("\"", true)]),
            (" \"a\",b", &[(" \"a\"", false), ("b", false)]),
        ];
        for (record, expected) in cases {
            let expected: Vec<_> =
                expected.iter().map(|(text, quoted)| ((*text).to_owned(), *quoted)).collect();
            assert_eq!(fields(record), expected, "{record}");
        }
    }

    #[test]
    fn without_quotes_both_ways_of_splitting_agree() {
        for record in ["a", "a,b", ",,", "1,,NA,\u{e9}"] {
            let (mut plain, mut quoted) = (Vec::new(), Vec::new());
            split_plain(record.as_bytes(), b',', &mut plain);
            split_quoted(record.as_bytes(), b',', b'"', &mut quoted);
            assert_eq!(plain, quoted, "{record}");
        }
    }
}
