//! What to do about files from which nothing can be inferred.

/// One of so many bytes is a NUL: in UTF-16 every second is, as far as the text is ASCII.
const BYTES_PER_NUL: usize = 4;

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
    fn many_nuls_may_be_utf_16() {
        assert!(advice(b"i\0d\0\n\0").contains("UTF-16"));
        assert!(!advice(b"").contains("UTF-16"));
        assert!(!advice(b"some text, and one\0\n").contains("UTF-16"));
    }
}
