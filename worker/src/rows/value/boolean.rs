//! Truth values, in the few spellings that files use, in any case.

use super::Misfit;

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

pub(super) fn append(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let spelling = SPELLINGS.iter().find(|(spelling, _)| text.eq_ignore_ascii_case(spelling));
    let (_, value) = spelling.ok_or(Misfit::Type)?;
    out.extend_from_slice(&[0, 0, 0, 1, *value]);
    Ok(())
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
