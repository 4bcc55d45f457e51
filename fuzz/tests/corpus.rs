//! Every input that fuzzing has kept, once more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::{panic::catch_unwind, path::Path};

#[test]
fn no_kept_input_of_records_breaks_a_rule() {
    replay("records", longshore_fuzz::records::check);
}

#[test]
fn no_kept_input_of_typing_breaks_a_rule() {
    replay("typing", longshore_fuzz::typing::check);
}

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(paths.len() > 100, "{} inputs in {}", paths.len(), folder.display());
    for path in paths {
        let input = std::fs::read(&path).unwrap();
        assert!(catch_unwind(|| check(&input)).is_ok(), "{}", path.display());
    }
}
