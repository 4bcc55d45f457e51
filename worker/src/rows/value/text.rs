//! Text: every character is kept, spaces too. That it is text, and one that Postgres can store, holds for its whole record.

pub(super) fn append(text: &[u8], out: &mut Vec<u8>) {
    // A record has at most 16 MiB.
    let length = text.len() as i32;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_as_it_is() {
        for text in ["", " padded ", "Größe\n\"two\"", "𝄞"] {
            let mut out = Vec::new();
            append(text.as_bytes(), &mut out);
            assert_eq!(out[..4], (text.len() as i32).to_be_bytes());
            assert_eq!(&out[4..], text.as_bytes());
        }
    }
}
