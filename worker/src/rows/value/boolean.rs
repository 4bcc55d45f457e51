//! Truth values, in the few spellings that files use or in the spec's own words, in any case.

use longshore_common::dataset::Column;

use super::{super::spec_text::shortened_list, Misfit};

const SPELLINGS: [(&[u8], u8); 10] = [
    (b"1", 1),
    (b"0", 0),
    (b"t", 1),
    (b"f", 0),
    (b"true", 1),
    (b"false", 0),
    (b"y", 1),
    (b"n", 0),
    (b"yes", 1),
    (b"no", 0),
];

#[inline]
pub(super) fn append_plain(head: &[u8], length: usize, out: &mut Vec<u8>) -> bool {
    let (1, [.., byte @ (b'0' | b'1')]) = (length, head) else { return false };
    out.extend_from_slice(&[0, 0, 0, 1, byte - b'0']);
    true
}

pub(super) fn append(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let spelling = SPELLINGS.iter().find(|(spelling, _)| text.eq_ignore_ascii_case(spelling));
    let (_, value) = spelling.ok_or(Misfit::Type)?;
    out.extend_from_slice(&[0, 0, 0, 1, *value]);
    Ok(())
}

/// The spec's own words.
#[derive(Debug)]
pub(in crate::rows) struct Words {
    /// In lower case, without spaces around them.
    words: Vec<(String, bool)>,
}

impl Words {
    /// `None` if the column has no words of its own.
    pub(super) fn compile(column: &Column) -> Option<Self> {
        let words = |words: &Option<Vec<String>>, value: bool| {
            let words = words.iter().flatten();
            words.map(|word| (lower_case(word.trim_matches(' ')).collect(), value)).collect::<Vec<_>>()
        };
        let words = [words(&column.true_values, true), words(&column.false_values, false)].concat();
        (!words.is_empty()).then_some(Self { words })
    }

    pub(super) fn append(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
        let text = std::str::from_utf8(text).map_err(|_| Misfit::Type)?;
        let found = self.words.iter().find(|(word, _)| lower_case(text).eq(word.chars()));
        let (_, value) = found.ok_or(Misfit::Type)?;
        out.extend_from_slice(&[0, 0, 0, 1, u8::from(*value)]);
        Ok(())
    }

    /// What was expected.
    pub(super) fn expected(&self) -> String {
        let list = |wanted: bool| {
            let words: Vec<_> = self.words.iter().filter(|(_, value)| *value == wanted).collect();
            shortened_list(words.iter().map(|(word, _)| word.as_str()))
        };
        format!("{} for true or {} for false, in any case", list(true), list(false))
    }
}

fn lower_case(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_taken_in_any_case_and_nothing_else() {
        for (text, value) in
            [("1", 1), ("0", 0), ("Y", 1), ("n", 0), ("TRUE", 1), ("False", 0), ("yEs", 1), ("No", 0)]
        {
            let mut out = Vec::new();
            assert_eq!(append(text.as_bytes(), &mut out), Ok(()), "{text}");
            assert_eq!(out, [0, 0, 0, 1, value], "{text}");
        }
        for text in ["", "2", "on", "off", "tru", "yess", "1.0", "-1"] {
            assert_eq!(append(text.as_bytes(), &mut Vec::new()), Err(Misfit::Type), "{text}");
        }
    }
}
