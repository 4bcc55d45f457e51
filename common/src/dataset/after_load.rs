//! What becomes of a file once its rows are in the table.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    source::{self, BucketSource},
    spec::{BrokenRule, Discovery},
};

/// What becomes of a file once its rows are in the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterLoad {
    /// It stays where it is.
    #[default]
    Keep,
    /// It goes below `discovery.move_to`.
    Move,
    /// It is removed.
    Delete,
}

const KEY: &str = "discovery.move_to";

/// Checks the keys that say what is done with loaded files.
pub(super) fn check_after_load(discovery: &Discovery, source: &str) -> Result<(), BrokenRule> {
    let after_load = discovery.after_load;
    check_move_to(after_load, discovery.move_to.as_deref(), source)?;
    if after_load != AfterLoad::Keep && discovery.after_load_delay < discovery.settle {
        let message = format!(
            "`{}` is shorter than `discovery.settle` (`{}`): a file that may still be written to must not be moved or deleted",
            discovery.after_load_delay, discovery.settle
        );
        return Err(("discovery.after_load_delay", message));
    }
    if after_load != AfterLoad::Delete && discovery.delete_with_rejects {
        return Err(("discovery.delete_with_rejects", "goes only with `after_load = \"delete\"`".to_owned()));
    }
    Ok(())
}

/// Checks `move_to` against what is to be done and where the files come from, a URL that is checked already.
fn check_move_to(after_load: AfterLoad, move_to: Option<&str>, source: &str) -> Result<(), BrokenRule> {
    let target = match (after_load, move_to) {
        (AfterLoad::Move, Some(target)) => target,
        (AfterLoad::Move, None) => {
            let message = "`after_load = \"move\"` needs to know where to, such as `file:///srv/archive`";
            return Err((KEY, message.to_owned()));
        }
        (_, Some(_)) => return Err((KEY, "goes only with `after_load = \"move\"`".to_owned())),
        (_, None) => return Ok(()),
    };
    source::check(target).map_err(|message| (KEY, message))?;
    let refuse = |message: &str| Err((KEY, format!("`{target}`: {message}")));
    let (target_path, source_path) = match (BucketSource::parse(target), BucketSource::parse(source)) {
        (Some(target), Some(source)) if target.bucket == source.bucket => {
            (PathBuf::from(target.prefix), PathBuf::from(source.prefix))
        }
        (_, Some(_)) => return refuse("must be in the bucket that `source` is in"),
        (Some(_), None) => return refuse("must be an absolute folder, as `source` is"),
        (None, None) => match (local_path(target), local_path(source)) {
            (Some(target), Some(source)) => (target, source),
            _ => return refuse("cannot be read as a path"),
        },
    };
    if target_path.starts_with(&source_path) || source_path.starts_with(&target_path) {
        return refuse(
            "must lie apart from `source`, neither below nor above it, or moved files would be found again",
        );
    }
    Ok(())
}

/// Decoded and without `..`: one path may be written in several ways.
fn local_path(url: &str) -> Option<PathBuf> {
    Url::parse(url).ok()?.to_file_path().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dataset::parse_spec;

    const SPEC: &str = r#"
name = "orders"
source = "file:///srv/orders"
target.table = "reporting.orders"
columns = [{ name = "id", type = "bigint" }]
[discovery]
"#;

    fn discovery(keys: &str) -> Result<crate::dataset::Discovery, String> {
        let parsed = parse_spec("orders.toml", &format!("{SPEC}{keys}"), |_| None);
        parsed.map(|dataset| dataset.discovery).map_err(|error| error.to_string())
    }

    #[test]
    fn what_becomes_of_loaded_files_is_read_and_kept_by_default() {
        assert_eq!(discovery("").unwrap().after_load, AfterLoad::Keep);
        assert_eq!(discovery("after_load = \"delete\"").unwrap().after_load, AfterLoad::Delete);
        let moving = discovery("after_load = \"move\"\nmove_to = \"file:///srv/archive/\"").unwrap();
        assert_eq!(
            (moving.after_load, moving.move_to.as_deref()),
            (AfterLoad::Move, Some("file:///srv/archive"))
        );
    }

    #[test]
    fn a_loaded_file_stays_for_an_hour_unless_the_spec_says_how_long_and_never_shorter_than_files_settle() {
        let hour = Duration::from_secs(3600);
        assert_eq!(discovery("after_load = \"delete\"").unwrap().stays_after_load(), hour);
        let day = discovery("after_load = \"delete\"\nafter_load_delay = \"1day\"").unwrap();
        assert_eq!(day.stays_after_load(), 24 * hour);
        let short = "after_load = \"delete\"\nsettle = \"2h\"\nlookback = \"3h\"";
        let message = discovery(short).unwrap_err();
        assert!(message.contains("key `discovery.after_load_delay`") && message.contains("2h"), "{message}");
        assert!(discovery("settle = \"2h\"").is_ok());
        // As a program stored it that knew no such key.
        let stored = r#"{"settle": "2h", "lookback": "1day", "after_load": "delete"}"#;
        let stored: crate::dataset::Discovery = serde_json::from_str(stored).unwrap();
        assert_eq!((stored.stays_after_load(), stored.delete_with_rejects), (2 * hour, false));
        let json = serde_json::to_string(&day).unwrap();
        assert_eq!(serde_json::from_str::<crate::dataset::Discovery>(&json).unwrap(), day);
    }

    #[test]
    fn files_with_rejects_are_deleted_only_by_a_spec_that_deletes() {
        let key = "delete_with_rejects = true";
        assert!(discovery(&format!("after_load = \"delete\"\n{key}")).unwrap().delete_with_rejects);
        let message = discovery(key).unwrap_err();
        assert!(message.contains("key `discovery.delete_with_rejects`"), "{message}");
    }

    #[test]
    fn a_target_of_moves_that_a_scan_would_find_again_is_refused() {
        let move_to = |url: &str| format!("after_load = \"move\"\nmove_to = \"{url}\"");
        let cases = [
            ("after_load = \"archive\"".to_owned(), "key `after_load`", "`keep`, `move`, `delete`"),
            ("after_load = \"move\"".to_owned(), "key `discovery.move_to`", "file:///srv/archive"),
            ("move_to = \"file:///srv/archive\"".to_owned(), "key `discovery.move_to`", "only with"),
            (move_to("srv/archive"), "key `discovery.move_to`", "absolute folder"),
            (move_to("file:///srv/archive?a=b"), "key `discovery.move_to`", "absolute folder"),
            (move_to("s3://bucket/archive"), "key `discovery.move_to`", "absolute folder"),
            (move_to("file://host/srv/archive"), "key `discovery.move_to`", "absolute folder"),
            (move_to("file:///srv/orders"), "key `discovery.move_to`", "apart from `source`"),
            (move_to("file:///srv/orders/done/"), "key `discovery.move_to`", "apart from `source`"),
            (move_to("file:///srv/x/../%6frders/done"), "key `discovery.move_to`", "apart from `source`"),
            (move_to("file:///srv"), "key `discovery.move_to`", "apart from `source`"),
            (move_to("file:///"), "key `discovery.move_to`", "apart from `source`"),
        ];
        for (keys, place, allowed) in cases {
            let message = discovery(&keys).unwrap_err();
            assert!(message.contains(place) && message.contains(allowed), "{keys}: {message}");
        }
        assert!(discovery(&move_to("file:///srv/orders-done")).is_ok());
    }

    #[test]
    fn a_bucket_moves_below_another_prefix_of_its_own() {
        let check = |target: &str, source: &str| check_move_to(AfterLoad::Move, Some(target), source);
        assert_eq!(check("s3://bucket/archive", "s3://bucket/in"), Ok(()));
        assert_eq!(check("s3://bucket/in-done", "s3://bucket/in"), Ok(()));
        for (target, source) in [
            ("s3://other/archive", "s3://bucket/in"),
            ("file:///srv/archive", "s3://bucket/in"),
            ("s3://bucket/in/archive", "s3://bucket/in"),
            ("s3://bucket/%69n/archive", "s3://bucket/in"),
            ("s3://bucket/archive", "s3://bucket"),
            ("s3://bucket", "s3://bucket/in"),
            ("s3://key:secret@bucket/archive", "s3://bucket/in"),
        ] {
            let (key, message) = check(target, source).unwrap_err();
            assert!(key == KEY && !message.contains("secret"), "{target}: {message}");
        }
    }
}
