//! Sources whose folders are named after the time of their files.

use longshore_tests::{S3Server, Stage, loan_file};

use crate::s3::spec_with;

async fn with_partition(text: &str) -> Stage {
    let stage = Stage::new().await;
    stage.apply_loans(&[("[discovery]", &format!("[discovery]\npartition = \"{text}\""))]).await;
    stage
}

/// The folder of the hour that is so many hours from now.
async fn folder(stage: &Stage, hours: i32) -> String {
    let sql = format!(
        "SELECT to_char(now() AT TIME ZONE 'UTC' + make_interval(hours => {hours}), 'YYYY/MM/DD/HH24')"
    );
    stage.texts(&sql).await.remove(0)
}

#[tokio::test]
async fn a_scan_lists_only_the_folders_of_its_time_and_the_audit_all() {
    let stage = with_partition("%Y/%m/%d/%H/").await;
    // Without a watermark everything is listed.
    stage.put(&format!("{}/first.csv", folder(&stage, -500).await), loan_file(1..=1));
    stage.put("stray.txt", "x");
    assert_eq!(stage.scan().await["scans"][0]["counts"]["listed"], 2);

    // All of them are new; only one lies in a folder that is too old.
    for (id, hours) in [(2, -23), (3, 0), (4, 1), (5, -48)] {
        stage.put(&format!("{}/{id}.csv", folder(&stage, hours).await), loan_file(id..=id));
    }
    let counts = &stage.scan().await["scans"][0]["counts"];
    assert_eq!((&counts["listed"], &counts["new"]), (&3.into(), &3.into()), "{counts}");
    let counts = &stage.scan().await["scans"][0]["counts"];
    assert_eq!((&counts["listed"], &counts["known"]), (&3.into(), &3.into()), "{counts}");

    let audit = stage.run(&["audit", "--flush", "--json"]).await;
    assert_eq!(audit.code, 1, "{audit:?}");
    let report = &audit.json()["scans"][0];
    assert_eq!((&report["counts"]["listed"], &report["counts"]["known"]), (&6.into(), &4.into()));
    assert_eq!(report["audit"]["missed"]["files"], 1, "{report}");
    assert!(report["audit"]["missed"]["uris"][0].as_str().unwrap().ends_with("/5.csv"), "{report}");
    stage.drain().await;
    stage.assert_each_loan_once(5).await;
}

#[tokio::test]
async fn scan_all_lists_everything_whatever_the_partition() {
    let stage = with_partition("%Y/%m/%d/%H").await;
    stage.put(&format!("{}/1.csv", folder(&stage, 0).await), loan_file(1..=1));
    stage.scan().await;
    stage.put(&format!("{}/2.csv", folder(&stage, -1000).await), loan_file(2..=2));
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 0);
    let report = stage.ok(&["scan", "--all", "--flush", "--json"]).await.json();
    assert_eq!(report["scans"][0]["counts"]["new"], 1);
}

#[tokio::test]
async fn a_new_partition_is_scanned_whole_once() {
    let stage = Stage::with_loans().await;
    stage.put(&format!("{}/1.csv", folder(&stage, -1000).await), loan_file(1..=1));
    stage.scan().await;
    stage.put(&format!("{}/2.csv", folder(&stage, -900).await), loan_file(2..=2));
    stage.apply_loans(&[("[discovery]", "[discovery]\npartition = \"%Y/%m/%d\"")]).await;
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 1);
}

#[tokio::test]
async fn a_bucket_is_scanned_by_its_folders_and_audited_whole() {
    let (mut stage, server) = (Stage::new().await, S3Server::start().await);
    server.create_bucket("harbour");
    stage.environment.extend(server.environment());
    let spec = spec_with(&stage, "s3://harbour/loans", "partition = \"day=%Y-%m-%d\"");
    stage.ok(&["dataset", "apply", &spec]).await;
    let key = |day: &str, name: &str| format!("loans/day={day}/{name}");
    let today = folder(&stage, 0).await[..10].replace('/', "-");
    server.put("harbour", &key(&today, "a.csv"), loan_file(1..=1));
    server.put("harbour", "loans2/a.csv", loan_file(9..=9));
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 1);
    stage.drain().await;
    server.put("harbour", &key(&today, "b.csv"), loan_file(2..=2));
    server.put("harbour", &key("2020-01-01", "c.csv"), loan_file(3..=3));
    let counts = stage.scan().await["scans"][0]["counts"].clone();
    assert_eq!((&counts["listed"], &counts["new"]), (&2.into(), &1.into()));
    let audit = stage.run(&["audit", "--flush", "--json"]).await.json()["scans"][0].clone();
    assert_eq!((&audit["counts"]["listed"], &audit["audit"]["missed"]["files"]), (&3.into(), &1.into()));
    server.remove("harbour", &key(&today, "a.csv"));
    let gone = stage.ok(&["audit", "--json"]).await.json()["scans"][0]["audit"]["gone"].clone();
    assert_eq!((&gone["loaded"]["files"], &gone["not_loaded"]["files"]), (&1.into(), &0.into()), "{gone}");
    stage.drain().await;
    stage.assert_each_loan_once(3).await;
}
