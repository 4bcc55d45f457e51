//! UUIDs in their canonical form, in either case.

use uuid::Uuid;

use super::Misfit;

/// Postgres takes more forms (braces, no hyphens, hyphens elsewhere); the canonical one is what files hold.
const CANONICAL_LENGTH: usize = 36;

pub(super) fn append(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    if text.len() != CANONICAL_LENGTH {
        return Err(Misfit::Type);
    }
    let uuid = Uuid::try_parse_ascii(text).map_err(|_| Misfit::Type)?;
    out.extend_from_slice(&[0, 0, 0, 16]);
    out.extend_from_slice(uuid.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_is_taken_in_either_case_and_no_other() {
        for text in ["0197f9a4-7c2e-7b1d-8f00-0123456789ab", "0197F9A4-7C2E-7B1D-8F00-0123456789AB"] {
            let mut out = Vec::new();
            append(text.as_bytes(), &mut out).unwrap();
            assert_eq!(out, b"\0\0\0\x10\x01\x97\xf9\xa4\x7c\x2e\x7b\x1d\x8f\0\x01\x23\x45\x67\x89\xab");
        }
        for text in [
            "",
            "0197f9a47c2e7b1d8f000123456789ab",
            "{0197f9a4-7c2e-7b1d-8f00-0123456789ab}",
            "0197f9a4-7c2e-7b1d-8f00-0123456789ag",
            "0197f9a47-c2e-7b1d-8f00-0123456789ab",
        ] {
            assert_eq!(append(text.as_bytes(), &mut Vec::new()), Err(Misfit::Type), "{text}");
        }
    }
}
