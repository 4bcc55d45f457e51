//! Every wait of the product for a server, a thread or a child process has a limit: one where it is written, or a reason
//! in [`allowed`] why a limit of the caller, or none, is right.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod allowed;
mod callers;
mod finder;
mod finding;
mod macros;
mod names;

use std::{fs, path::Path};

use allowed::{ALLOWED, Allowed, Reason};
use callers::functions_that_call;
use finder::{Wait, unlimited_waits};
use names::{LIMITS, is_clock, is_limit};
use walkdir::WalkDir;

/// The folders of what runs at a user's.
const PRODUCT: [&str; 4] = ["common/src", "scanner/src", "worker/src", "cli/src"];

/// The books: whoever calls them sets the limit.
const BOOKS: &str = "common/src/ledger";

const ADVICE: &str = "Wait with a limit (`timeout`, or the room's own: `answered` in the scanner, `within` in the queue). \
     If a caller's limit holds for it, or none is right, say why in tests/tests/limits/allowed.rs.";

#[test]
fn every_wait_has_a_limit_or_a_reason_why_not() {
    let waits = waits_of_product();
    assert!(waits.len() > 20, "the product was not found");
    let has_reason = |wait: &&Wait| ALLOWED.iter().any(|allowed| allowed.covers(wait));
    let unlimited: Vec<String> = waits.iter().filter(|wait| !has_reason(wait)).map(in_words).collect();
    assert!(unlimited.is_empty(), "These wait without a limit:\n{}\n{ADVICE}", unlimited.concat());
}

#[test]
fn every_reason_is_still_needed() {
    let waits = waits_of_product();
    let is_needed = |allowed: &&Allowed| waits.iter().any(|wait| allowed.covers(wait));
    let in_words = |a: &Allowed| format!("  {}: `{}` in `{}` ({:?})\n", a.file, a.name, a.function, a.reason);
    let unneeded: Vec<String> = ALLOWED.iter().filter(|allowed| !is_needed(allowed)).map(in_words).collect();
    assert!(
        unneeded.is_empty(),
        "Nothing waits here without a limit any more; remove it from tests/tests/limits/allowed.rs:\n{}",
        unneeded.concat()
    );
}

#[test]
fn a_caller_that_is_named_as_a_limit_has_one() {
    let product = product();
    for Allowed { file, function, reason, .. } in ALLOWED {
        let (caller_file, caller) = match reason {
            Reason::LimitOf(caller_file, caller) => (caller_file, caller),
            Reason::Because(why) => {
                assert!(why.ends_with('.'), "`{function}` in {file}: a sentence says why");
                continue;
            }
        };
        let has_limit = product.iter().any(|(name, source)| {
            name == caller_file
                && functions_that_call(source, |name| is_limit(name) || is_clock(name)).contains(*caller)
        });
        assert!(has_limit, "`{function}` in {file}: `{caller}` in {caller_file} has no limit. {ADVICE}");
    }
}

#[test]
fn what_counts_as_a_limit_has_a_clock() {
    let product = product();
    for limit in LIMITS.iter().filter(|limit| !is_clock(limit)) {
        let definitions = [format!("async fn {limit}<"), format!("async fn {limit}(")];
        let is_defined = |source: &str| definitions.iter().any(|definition| source.contains(definition));
        let files: Vec<_> = product.iter().filter(|(_, source)| is_defined(source)).collect();
        assert!(!files.is_empty(), "there is no function `{limit}` any more");
        for (file, source) in files {
            assert!(
                functions_that_call(source, is_clock).contains(*limit),
                "`{limit}` in {file} has no time-out"
            );
        }
    }
}

impl Allowed {
    fn covers(&self, wait: &Wait) -> bool {
        let is = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        self.file == wait.file && is(self.function, &wait.function) && is(self.name, &wait.name)
    }
}

fn in_words(wait: &Wait) -> String {
    format!("  {}: `{}` in `{}`\n", wait.file, wait.name, wait.function)
}

fn waits_of_product() -> Vec<Wait> {
    product().iter().flat_map(|(file, source)| unlimited_waits(file, source)).collect()
}

/// Its files, by name, without the books and the tests.
fn product() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let entries = PRODUCT.iter().flat_map(|folder| WalkDir::new(root.join(folder)).sort_by_file_name());
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.unwrap();
        let file = entry.path().strip_prefix(root).unwrap().to_str().unwrap();
        if file.ends_with(".rs") && !file.starts_with(BOOKS) && !is_of_tests(file) {
            files.push((file.to_owned(), fs::read_to_string(entry.path()).unwrap()));
        }
    }
    files
}

/// Whether a file holds unit tests: what makes it a module of tests stands where it is declared, not in it.
fn is_of_tests(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}
