//! Values of the `[csv]` table, checked when they are read.

use std::fmt;

use encoding_rs::{Encoding, REPLACEMENT};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An ASCII character that means something, or none, which is written as an empty text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AsciiOrNone(pub Option<u8>);

impl TryFrom<String> for AsciiOrNone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_bytes() {
            [] => Ok(Self(None)),
            [byte] if byte.is_ascii() && !matches!(byte, b'\0' | b'\n' | b'\r') => Ok(Self(Some(*byte))),
            _ => Err(format!(
                "{text:?}: allowed is one ASCII character that is no line break and no NUL, or \"\" for none"
            )),
        }
    }
}

impl From<AsciiOrNone> for String {
    fn from(AsciiOrNone(byte): AsciiOrNone) -> Self {
        byte.map(char::from).map_or_else(Self::new, Self::from)
    }
}

/// How many lines stand before the first row; written as a number, `true` for one or `false` for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderLines(pub u32);

const MAX_HEADER_LINES: u32 = 100;

impl Serialize for HeaderLines {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => serializer.serialize_bool(false),
            1 => serializer.serialize_bool(true),
            lines => serializer.serialize_u32(lines),
        }
    }
}

impl<'de> Deserialize<'de> for HeaderLines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl de::Visitor<'_> for HeaderVisitor {
    type Value = HeaderLines;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "true, false or a number of lines from 0 to {MAX_HEADER_LINES}")
    }

    fn visit_bool<E: de::Error>(self, has_header: bool) -> Result<HeaderLines, E> {
        Ok(HeaderLines(u32::from(has_header)))
    }

    fn visit_u64<E: de::Error>(self, lines: u64) -> Result<HeaderLines, E> {
        match u32::try_from(lines) {
            Ok(lines) if lines <= MAX_HEADER_LINES => Ok(HeaderLines(lines)),
            _ => Err(E::invalid_value(de::Unexpected::Unsigned(lines), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, lines: i64) -> Result<HeaderLines, E> {
        match u64::try_from(lines) {
            Ok(lines) => self.visit_u64(lines),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(lines), &self)),
        }
    }
}

/// How the bytes of a file become characters. A byte order mark at the file's start wins over what is set here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FileEncoding {
    /// UTF-8, unless a mark says otherwise.
    Auto,
    /// Of the WHATWG Encoding Standard, by any of its labels.
    Named(&'static Encoding),
}

const AUTO: &str = "auto";

impl TryFrom<String> for FileEncoding {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == AUTO {
            return Ok(Self::Auto);
        }
        // The standard knows some labels only to refuse what they stand for.
        match Encoding::for_label(text.as_bytes()) {
            Some(encoding) if encoding != REPLACEMENT => Ok(Self::Named(encoding)),
            _ => Err(format!(
                "{text:?} is not an encoding: allowed is `{AUTO}` or a label of the WHATWG Encoding Standard, such as \
                 `utf-8`, `utf-16le`, `windows-1252`, `latin1` or `shift_jis`"
            )),
        }
    }
}

impl From<FileEncoding> for String {
    fn from(encoding: FileEncoding) -> Self {
        match encoding {
            FileEncoding::Auto => AUTO.to_owned(),
            FileEncoding::Named(encoding) => encoding.name().to_owned(),
        }
    }
}
