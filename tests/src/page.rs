//! Tables of a page in `docs/` that a test makes, so that the page says what the test holds.

use std::path::Path;

/// Asserts that the section of this name in `docs/PAGE` holds exactly this text. With `UPDATE_DOCS=1` it is written there
/// instead.
pub fn assert_section(page: &str, section: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let content = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("docs/{page}: {error}"));
    let (begin, end) =
        (format!("<!-- {section}: made by the tests -->\n"), format!("<!-- {section}: end -->"));
    let parts = content.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(&end)?)));
    let (head, (found, tail)) =
        parts.unwrap_or_else(|| panic!("docs/{page} has no section between {begin:?} and {end:?}"));
    let expected = format!("\n{}\n\n", text.trim());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{begin}{expected}{end}{tail}")).expect("the page");
        return;
    }
    assert!(
        found == expected,
        "docs/{page}, section `{section}`, is not what the tests say: run them with UPDATE_DOCS=1"
    );
}

/// A table in Markdown.
pub fn markdown_table<const WIDTH: usize>(
    head: [&str; WIDTH],
    rows: impl IntoIterator<Item = [String; WIDTH]>,
) -> String {
    let line =
        |cells: [String; WIDTH]| format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    let mut table = line(head.map(str::to_owned)) + &format!("|{}\n", "---|".repeat(WIDTH));
    table.extend(rows.into_iter().map(line));
    table
}
