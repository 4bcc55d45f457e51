//! Loaded objects of a bucket are moved and deleted.

use longshore_tests::{S3Server, Stage, loan_file};

use super::DELETE;

/// A stage whose dataset lies in a bucket, with these keys of `[discovery]`.
pub(super) async fn in_a_bucket(keys: &str) -> (Stage, S3Server) {
    let (mut stage, server) = (Stage::new().await, S3Server::start().await);
    server.create_bucket("harbour");
    stage.environment.extend(server.environment());
    let spec = crate::s3::spec_with(&stage, "s3://harbour/loans", keys);
    stage.ok(&["dataset", "apply", &spec]).await;
    (stage, server)
}

#[tokio::test]
async fn objects_are_moved_below_a_prefix_of_their_bucket() {
    let keys = "after_load = \"move\"\nafter_load_delay = \"0s\"\nmove_to = \"s3://harbour/archive\"";
    let (stage, server) = in_a_bucket(keys).await;
    let paths = ["a.csv", "2026/a, b 100% #?.csv", "ü+1.csv"];
    for (index, path) in paths.into_iter().enumerate() {
        server.put("harbour", &format!("loans/{path}"), loan_file(index as u64..=index as u64));
        stage.scan().await;
    }
    server.put("harbour", "loans/bad.csv", "wrong header\n");
    stage.scan().await;
    stage.drain().await;
    let kill = [("FAILPOINTS", "after_load::before_record=return(kill)")];
    assert_ne!(stage.run_with(&["scan"], &kill).await.code, 0);
    assert_eq!(stage.scan().await["after_load"]["moved"], 3);
    let moved = paths.into_iter().enumerate();
    let moved = moved.map(|(index, path)| format!("archive/loan_applications/{}/{path}", index + 1));
    let mut expected: Vec<String> = moved.chain(["loans/bad.csv".to_owned()]).collect();
    expected.sort();
    assert_eq!(server.keys("harbour"), expected);
    stage.assert_each_loan_once(3).await;
}

#[tokio::test]
async fn objects_are_deleted_in_the_version_that_was_loaded() {
    let (stage, server) = in_a_bucket(DELETE).await;
    server.put("harbour", "loans/a.csv", loan_file(1..=2));
    server.put("harbour", "loans/b.csv", loan_file(3..=4));
    stage.scan().await;
    stage.drain().await;
    server.put("harbour", "loans/b.csv", loan_file(3..=5));
    let report = stage.scan().await;
    assert_eq!((&report["after_load"]["deleted"], &report["after_load"]["left"]), (&1.into(), &1.into()));
    assert_eq!(server.keys("harbour"), ["loans/b.csv"]);
    stage.drain().await;
    stage.scan().await;
    assert!(server.keys("harbour").is_empty());
    stage.assert_each_loan_once(5).await;
}

#[tokio::test]
async fn a_simple_store_without_etags_and_conditions_will_do() {
    let (mut stage, server) = (Stage::new().await, S3Server::start_simple().await);
    server.create_bucket("harbour");
    stage.environment.extend(server.environment());
    let keys = "after_load = \"move\"\nafter_load_delay = \"0s\"\nmove_to = \"s3://harbour/archive\"";
    stage.ok(&["dataset", "apply", &crate::s3::spec_with(&stage, "s3://harbour/loans", keys)]).await;
    server.put("harbour", "loans/a.csv", loan_file(1..=2));
    stage.scan().await;
    stage.drain().await;
    assert_eq!(stage.scan().await["after_load"]["moved"], 1);
    assert_eq!(stage.ok(&["scan", "--all", "--json"]).await.json()["scans"][0]["counts"]["listed"], 0);
}
