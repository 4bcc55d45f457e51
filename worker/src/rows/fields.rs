//! A field of a record, and its text. The record's grammar has been checked by `scan`; here nothing can fail.

use memchr::memchr2;

use super::dialect::Dialect;

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
    /// In quotes, with doubled or escaped characters in it.
    Escaped,
}

impl Field {
    #[inline]
    pub(super) fn new(start: usize, end: usize, form: Form) -> Self {
        Self { start: start as u32, end: end as u32, form }
    }

    #[inline]
    pub(super) fn is_quoted(self) -> bool {
        self.form != Form::Plain
    }

    /// Where in its record the field ends, its closing quote not counted.
    pub(super) fn end(self) -> usize {
        self.end as usize
    }

    /// The field's text; `scratch` is overwritten if characters have to be taken out.
    #[inline]
    pub(super) fn text<'a>(self, record: &'a [u8], dialect: &Dialect, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let raw = &record[self.start as usize..self.end as usize];
        if self.form != Form::Escaped {
            return raw;
        }
        unescape(raw, dialect, scratch);
        scratch
    }
}

/// Of two quotes, of an escape and a quote, and of two escapes the second stays; any other escape stands for itself.
fn unescape(raw: &[u8], dialect: &Dialect, text: &mut Vec<u8>) {
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
}

#[cfg(test)]
mod tests {
    use longshore_common::dataset::{AsciiOrNone, Csv};

    use super::*;

    fn unescaped(raw: &str, escape: Option<u8>) -> String {
        let dialect = Dialect::new(&Csv { escape: AsciiOrNone(escape), ..Csv::default() });
        let field = Field::new(1, 1 + raw.len(), Form::Escaped);
        let mut scratch = b"before".to_vec();
        let text = field.text(format!("\"{raw}\"").as_bytes(), &dialect, &mut scratch).to_vec();
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
