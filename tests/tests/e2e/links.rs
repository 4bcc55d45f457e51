//! Symbolic links lead out of the source only where the spec says so.

use std::os::unix::fs::symlink;

use longshore_tests::{Stage, loan_file};

use crate::s3::spec_with;

#[tokio::test]
async fn a_folder_that_becomes_a_link_after_the_scan_is_not_followed() {
    let stage = Stage::with_loans().await;
    stage.put("2026/a.csv", loan_file(1..=2));
    stage.scan().await;
    let elsewhere = stage.folder().join("elsewhere");
    std::fs::rename(stage.inbox.join("2026"), &elsewhere).unwrap();
    symlink(&elsewhere, stage.inbox.join("2026")).unwrap();
    stage.drain().await;
    let failed = stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED'").await;
    assert!(failed.len() == 1 && failed[0].contains("a symbolic link now"), "{failed:?}");
    assert_eq!(stage.loans().await, (0, 0));
}

#[tokio::test]
async fn links_are_followed_where_the_spec_says_so() {
    let stage = Stage::new().await;
    let elsewhere = stage.folder().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("a.csv"), loan_file(1..=2)).unwrap();
    symlink(&elsewhere, stage.inbox.join("2026")).unwrap();
    symlink(&stage.inbox, stage.inbox.join("circle")).unwrap();
    let source = format!("file://{}", stage.inbox.display());
    stage.ok(&["dataset", "apply", &spec_with(&stage, &source, "")]).await;
    let counts = stage.scan().await["scans"][0]["counts"].clone();
    assert_eq!(counts["new"], 0);
    stage.ok(&["dataset", "apply", &spec_with(&stage, &source, "follow_links = true")]).await;
    let counts = stage.scan().await["scans"][0]["counts"].clone();
    assert_eq!(counts["new"], 1);
    assert_eq!(counts["skipped"], serde_json::json!({ "link_loop": 1 }));
    stage.drain().await;
    stage.assert_each_loan_once(2).await;
}
