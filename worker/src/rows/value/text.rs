//! Text: every character is kept, spaces too.

use memchr::memchr;

use super::Misfit;

pub(super) fn append(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    if memchr(0, text).is_some() {
        return Err(Misfit::NulByte);
    }
    if std::str::from_utf8(text).is_err() {
        return Err(Misfit::Encoding);
    }
    // A record has at most 16 MiB.
    let length = text.len() as i32;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_as_it_is() {
        for text in ["", " padded ", "Größe\n\"two\"", "𝄞"] {
            let mut out = Vec::new();
            append(text.as_bytes(), &mut out).unwrap();
            assert_eq!(out[..4], (text.len() as i32).to_be_bytes());
            assert_eq!(&out[4..], text.as_bytes());
        }
    }

    #[test]
    fn what_postgres_cannot_store_as_text_is_refused() {
        assert_eq!(append(b"a\0b", &mut Vec::new()), Err(Misfit::NulByte));
        for bytes in [&b"\xff"[..], b"caf\xe9", b"\xed\xa0\x80", b"\xc0\x80", b"cut \xe2\x82"] {
            assert_eq!(append(bytes, &mut Vec::new()), Err(Misfit::Encoding), "{bytes:?}");
        }
    }
}
