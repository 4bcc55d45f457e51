//! Texts of the spec in sentences: a spec may be long, a reason must not.

const MAX_CHARS: usize = 60;
const MAX_LISTED: usize = 10;

/// The text, cut where it is long.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The first of the texts, quoted, and how many more there are.
pub(super) fn shortened_list<'a>(texts: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = texts.len().saturating_sub(MAX_LISTED);
    let shown: Vec<_> = texts.take(MAX_LISTED).map(|text| format!("`{}`", shortened(text))).collect();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_and_long_lists_are_cut() {
        assert_eq!(shortened(&"ä".repeat(60)), "ä".repeat(60));
        assert_eq!(shortened(&"ä".repeat(61)), format!("{}…", "ä".repeat(60)));
        assert_eq!(shortened_list(["a", "b"].into_iter()), "`a`, `b`");
        let many: Vec<_> = (0..12).map(|number| number.to_string()).collect();
        let text = shortened_list(many.iter().map(String::as_str));
        assert_eq!(text, "`0`, `1`, `2`, `3`, `4`, `5`, `6`, `7`, `8`, `9` and 2 more");
    }
}
