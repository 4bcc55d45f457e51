//! Tells whether records are text that Postgres can store: valid UTF-8 without NUL. Bytes are checked in blocks of many
//! records; only around what is no text a record is looked at by itself.

use std::ops::Range;

use memchr::memchr;

/// Small enough that bad bytes in every record, each of which makes for another look, cost little.
const BLOCK_BYTES: usize = 4096;

/// Why bytes are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// They are not UTF-8.
    Encoding,
    /// A NUL stands among them.
    NulByte,
}

impl Flaw {
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::NulByte => "nul_byte",
        }
    }

    /// What is wrong, in words.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Encoding => "has bytes that are no text in the file's encoding (csv.encoding)",
            Self::NulByte => "has a NUL character, which Postgres cannot store",
        }
    }
}

/// The first bytes that are no text, and where they stand.
pub(super) fn first_flaw(bytes: &[u8]) -> Option<(usize, Flaw)> {
    let nul = memchr(0, bytes).map(|at| (at, Flaw::NulByte));
    let before_nul = &bytes[..nul.map_or(bytes.len(), |(at, _)| at)];
    match simdutf8::compat::from_utf8(before_nul) {
        Ok(_) => nul,
        Err(error) => Some((error.valid_up_to(), Flaw::Encoding)),
    }
}

/// How far a buffer is known to be text.
#[derive(Debug, Default)]
pub(super) struct TextCheck {
    checked: usize,
}

impl TextCheck {
    /// To be called when the first bytes of the buffer are dropped.
    pub(super) fn drained(&mut self, length: usize) {
        self.checked = self.checked.saturating_sub(length);
    }

    /// Whether these bytes of the buffer, which are whole characters if they are text, are text. Ranges come in order.
    #[inline]
    pub(super) fn is_text(&mut self, buffer: &[u8], range: Range<usize>) -> bool {
        range.end <= self.checked || self.look(buffer, range)
    }

    fn look(&mut self, buffer: &[u8], range: Range<usize>) -> bool {
        let from = self.checked.max(range.start);
        let block = &buffer[from..buffer.len().min(range.end.max(from + BLOCK_BYTES))];
        // A character that the block's end cuts is checked with the next one.
        self.checked = from + first_flaw(block).map_or(block.len(), |(at, _)| at);
        range.end <= self.checked
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_flaw_is_found_whatever_it_is() {
        assert_eq!(first_flaw("Größe\n\"𝄞\"".as_bytes()), None);
        assert_eq!(first_flaw(b"a\0\xff"), Some((1, Flaw::NulByte)));
        assert_eq!(first_flaw(b"a\xff\0"), Some((1, Flaw::Encoding)));
        for bytes in [&b"caf\xe9"[..], b"\xed\xa0\x80", b"\xc0\x80", b"cut \xe2\x82", b"\xf0\x9f\x98\0"] {
            assert!(matches!(first_flaw(bytes), Some((_, Flaw::Encoding))), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn lines_are_told_from_text_as_if_each_stood_alone(
            lines in prop::collection::vec("[a-z€\u{0}]{0,3}|[a-z𝄞]{0,2000}", 1..20),
            broken in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        ) {
            let mut buffer = lines.join("\n").into_bytes();
            if !buffer.is_empty() {
                broken.iter().for_each(|index| buffer[index.index(lines.join("\n").len())] = 0xff);
            }
            let mut check = TextCheck::default();
            let mut start = 0;
            for line in buffer.split(|byte| *byte == b'\n') {
                let range = start..start + line.len();
                start = range.end + 1;
                prop_assert_eq!(check.is_text(&buffer, range), first_flaw(line).is_none());
            }
        }
    }
}
