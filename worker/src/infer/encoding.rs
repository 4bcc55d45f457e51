//! Which encoding the bytes of the samples are in.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use longshore_common::dataset::FileEncoding;

/// The detector learns nothing more from more bytes than these.
const MAX_DETECTOR_BYTES: usize = 1 << 20;
/// So many good characters for each bad byte: then it is UTF-8 that was damaged.
const DAMAGED_RATIO: u64 = 100;

/// What one sample's bytes say.
pub(super) struct EncodingSurvey {
    /// Of the bytes so far; the longest mark has three.
    head: Vec<u8>,
    /// Characters that are no ASCII, as UTF-8.
    wide_characters: u64,
    /// Bytes that are no UTF-8.
    bad_bytes: u64,
    /// The first bytes of a character whose rest has not come.
    unfinished: Vec<u8>,
    detector: EncodingDetector,
    detector_bytes: usize,
}

/// The encoding of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// By its byte order mark.
    Marked(&'static Encoding),
    /// Every encoding that is a superset of ASCII reads it alike.
    Ascii,
    Utf8,
    /// Few bytes are no UTF-8; their rows will be rejected.
    DamagedUtf8,
    /// Not UTF-8; this one fits best.
    Guessed(&'static Encoding),
}

impl EncodingSurvey {
    pub(super) fn new() -> Self {
        Self {
            head: Vec::new(),
            wide_characters: 0,
            bad_bytes: 0,
            unfinished: Vec::new(),
            detector: EncodingDetector::new(Iso2022JpDetection::Deny),
            detector_bytes: 0,
        }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        let missing = 3_usize.saturating_sub(self.head.len());
        self.head.extend(chunk.iter().take(missing));
        let is_ascii = chunk.is_ascii();
        // Once something else than ASCII has come, the detector needs all that follows: second bytes may be ASCII.
        if (!is_ascii || self.detector_bytes > 0) && self.detector_bytes < MAX_DETECTOR_BYTES {
            self.detector.feed(chunk, false);
            self.detector_bytes += chunk.len();
        }
        if is_ascii && self.unfinished.is_empty() {
            return;
        }
        self.unfinished.extend_from_slice(chunk);
        let bytes = std::mem::take(&mut self.unfinished);
        let mut rest = bytes.as_slice();
        loop {
            let error = match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.wide_characters += wide_characters(text.as_bytes());
                    return;
                }
                Err(error) => error,
            };
            let (text, behind) = rest.split_at(error.valid_up_to());
            self.wide_characters += wide_characters(text);
            let Some(length) = error.error_len() else {
                self.unfinished = behind.to_vec();
                return;
            };
            self.bad_bytes += 1;
            rest = &behind[length..];
        }
    }

    pub(super) fn found(&self) -> Found {
        if let Some((encoding, _)) = Encoding::for_bom(&self.head) {
            return Found::Marked(encoding);
        }
        match (self.wide_characters, self.bad_bytes) {
            (0, 0) => Found::Ascii,
            (_, 0) => Found::Utf8,
            (wide, bad) if wide >= DAMAGED_RATIO.saturating_mul(bad) => Found::DamagedUtf8,
            _ => match self.detector.guess(None, Utf8Detection::Deny) {
                encoding if encoding == UTF_8 => Found::Guessed(WINDOWS_1252),
                encoding => Found::Guessed(encoding),
            },
        }
    }
}

/// Each begins with a byte of this range.
fn wide_characters(utf8: &[u8]) -> u64 {
    utf8.iter().filter(|&&byte| byte >= 0xc0).count() as u64
}

/// The encoding that reads all of the samples; an error is the places of two that do not go together.
pub(super) fn common(found: &[Found]) -> Result<FileEncoding, (usize, usize)> {
    let guessed = found.iter().enumerate().find_map(|(place, found)| match found {
        Found::Guessed(encoding) => Some((place, *encoding)),
        _ => None,
    });
    let Some((place, encoding)) = guessed else { return Ok(FileEncoding::Auto) };
    let is_utf8 = |found: &Found| matches!(found, Found::Utf8 | Found::DamagedUtf8);
    match found.iter().position(is_utf8) {
        Some(other) => Err((other, place)),
        None => Ok(FileEncoding::Named(encoding)),
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{SHIFT_JIS, UTF_16LE};

    use super::*;

    fn survey(bytes: &[u8], chunk: usize) -> Found {
        let mut survey = EncodingSurvey::new();
        bytes.chunks(chunk).for_each(|chunk| survey.push(chunk));
        survey.found()
    }

    #[test]
    fn an_encoding_is_told_however_the_bytes_are_cut() {
        let japanese = SHIFT_JIS
            .encode("名前,住所\n山田太郎,東京都千代田区\nすずき はなこ,大阪府大阪市カタカナ\n")
            .0
            .into_owned();
        let damaged = ["ä€".repeat(100).as_bytes(), b"\xff\n"].concat();
        let cases: [(&[u8], Found); 8] = [
            (b"", Found::Ascii),
            (b"id,name\n1,Muller\n", Found::Ascii),
            ("id,name\n1,Müller €\n".as_bytes(), Found::Utf8),
            (b"\xef\xbb\xbfid\n", Found::Marked(UTF_8)),
            (b"\xff\xfei\0d\0", Found::Marked(UTF_16LE)),
            (b"id,name\n1,M\xfcller\n2,Stra\xdfe\n", Found::Guessed(WINDOWS_1252)),
            (&japanese, Found::Guessed(SHIFT_JIS)),
            (&damaged, Found::DamagedUtf8),
        ];
        for (bytes, expected) in cases {
            for chunk in [1, 2, 3, 5, 1000] {
                assert_eq!(survey(bytes, chunk), expected, "{bytes:?} by {chunk}");
            }
        }
    }

    #[test]
    fn samples_of_two_encodings_do_not_share_a_spec_unless_one_is_ascii() {
        let guessed = Found::Guessed(WINDOWS_1252);
        assert_eq!(common(&[Found::Ascii, Found::Utf8]), Ok(FileEncoding::Auto));
        assert_eq!(common(&[Found::Ascii, guessed]), Ok(FileEncoding::Named(WINDOWS_1252)));
        assert_eq!(common(&[Found::Marked(UTF_8), guessed]), Ok(FileEncoding::Named(WINDOWS_1252)));
        assert_eq!(common(&[guessed, Found::Ascii, Found::Utf8]), Err((2, 0)));
    }
}
