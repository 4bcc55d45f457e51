//! What a file is that is no CSV file, by its first bytes.

/// Local file header of a zip archive, which a workbook of Excel is too.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
const BZIP2_MAGIC: &[u8] = b"BZh";
/// Behind the magic and the level: the mark of bzip2's first block, because a header's first name may be `BZh`.
const BZIP2_BLOCK: &[u8] = b"1AY&SY";
/// One of so many bytes is a NUL: in UTF-16 every second is, as far as the text is ASCII.
const BYTES_PER_NUL: usize = 4;

/// What the file is and what to do, if its first bytes are another format's.
pub(super) fn foreign_format(head: &[u8]) -> Option<&'static str> {
    let is_bzip2 = || {
        let behind = head.strip_prefix(BZIP2_MAGIC)?;
        behind.get(1..)?.starts_with(BZIP2_BLOCK).then_some(())
    };
    if head.starts_with(ZIP_MAGIC) {
        return Some("a zip archive or an Excel workbook; save it as CSV");
    }
    is_bzip2().map(|()| "compressed with bzip2; decompress it, or compress it with gzip or zstd instead")
}

/// What to do about files in whose first bytes is no record.
pub(super) fn advice(head: &[u8]) -> &'static str {
    let nuls = head.iter().filter(|&&byte| byte == 0).count();
    match nuls > 0 && nuls * BYTES_PER_NUL >= head.len() {
        true => {
            "many bytes are NUL, so it may be UTF-16 without a byte order mark: save it as UTF-8 to infer from it, and give \
             csv.encoding (UTF-16LE or UTF-16BE) in the spec that loads it as it is"
        }
        false => "infer from files that have rows",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_told_by_their_first_bytes() {
        let cases: [(&[u8], Option<&str>); 6] = [
            (b"PK\x03\x04\x14\0", Some("a zip archive")),
            (b"BZh91AY&SY\0", Some("compressed with bzip2")),
            (b"BZh,PK\n1,2\n", None),
            (b"BZh", None),
            (b"PK,name\n", None),
            (b"", None),
        ];
        for (head, expected) in cases {
            let found = foreign_format(head);
            assert!(found.is_some() == expected.is_some(), "{head:?}: {found:?}");
            assert!(found.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{found:?}");
        }
    }

    #[test]
    fn many_nuls_may_be_utf_16() {
        assert!(advice(b"i\0d\0\n\0").contains("UTF-16"));
        assert!(!advice(b"").contains("UTF-16"));
        assert!(!advice(b"some text, and one\0\n").contains("UTF-16"));
    }
}
