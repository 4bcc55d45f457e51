//! A dataset whose files lie in a bucket.

use longshore_tests::{Proxy, S3Server, Stage, eventually, loan_file};

const BUCKET: &str = "harbour";

/// The stage's spec with another source, and what stands behind its `[discovery]`.
pub(crate) fn spec_with(stage: &Stage, source: &str, discovery: &str) -> String {
    let spec = std::fs::read_to_string(stage.loan_spec()).unwrap();
    let line = spec.lines().find(|line| line.starts_with("source = \"file://")).unwrap();
    let spec = spec.replace(line, &format!("source = \"{source}\""));
    let path = stage.folder().join("spec.toml");
    std::fs::write(&path, spec.replace("[discovery]", &format!("[discovery]\n{discovery}"))).unwrap();
    path.to_str().unwrap().to_owned()
}

fn use_server(stage: &mut Stage, variables: Vec<(String, String)>) {
    stage.environment.extend(variables);
}

/// A stage with the loan dataset in a bucket of its own.
async fn stage_with_bucket() -> (Stage, S3Server) {
    let (mut stage, server) = (Stage::new().await, S3Server::start().await);
    server.create_bucket(BUCKET);
    use_server(&mut stage, server.environment());
    let applied = stage.ok(&["dataset", "apply", &spec_with(&stage, "s3://harbour/loans/", "")]).await;
    assert_eq!(applied.stderr, "");
    (stage, server)
}

#[tokio::test]
async fn objects_of_a_bucket_become_rows_once() {
    let (stage, server) = stage_with_bucket().await;
    server.put(BUCKET, "loans/2026/a, b 100%.csv", loan_file(1..=5));
    server.put(BUCKET, "loans/c.csv", loan_file(6..=9));
    server.put(BUCKET, "loans/d.csv.part", "half");
    server.put(BUCKET, "loans/e//f.csv", loan_file(1..=1));
    server.put(BUCKET, "loans2/not-ours.csv", loan_file(1..=1));
    let counts = stage.scan().await["scans"][0]["counts"].clone();
    assert_eq!((&counts["listed"], &counts["new"]), (&4.into(), &2.into()));
    assert_eq!(counts["skipped"], serde_json::json!({ "half_written": 1, "unreadable_name": 1 }));
    stage.drain().await;
    stage.assert_each_loan_once(9).await;
    let again = stage.scan().await["scans"][0]["counts"].clone();
    assert_eq!((&again["new"], &again["known"]), (&0.into(), &2.into()));
    for spelled in
        ["s3://harbour/loans/2026/a,%20b%20100%25.csv", "s3://harbour/loans/2026/a%2C b 100%25.csv"]
    {
        let why = stage.ok(&["why", spelled]).await.stdout;
        assert!(why.contains("s3://harbour/loans/2026/a,%20b%20100%25.csv"), "{why}");
        stage.ok(&["rejects", spelled]).await;
    }
}

#[tokio::test]
async fn an_object_that_is_overwritten_after_the_scan_fails_and_its_new_version_loads() {
    let (stage, server) = stage_with_bucket().await;
    server.put(BUCKET, "loans/a.csv", loan_file(1..=2));
    stage.scan().await;
    server.put(BUCKET, "loans/a.csv", loan_file(1..=3));
    stage.drain().await;
    let failed = stage.texts("SELECT failure_msg FROM longshore.etl_task WHERE status = 'FAILED'").await;
    assert!(failed.len() == 1 && failed[0].contains("changed since it was scanned"), "{failed:?}");
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 1);
    stage.drain().await;
    stage.assert_each_loan_once(3).await;
}

#[tokio::test]
async fn a_bucket_that_cannot_be_listed_is_said_and_works_once_it_is_mended() {
    let (mut stage, server) = (Stage::new().await, S3Server::start().await);
    use_server(&mut stage, server.environment());
    let applied = stage.ok(&["dataset", "apply", &spec_with(&stage, "s3://harbour/loans", "")]).await;
    assert!(
        applied.stderr.contains("note: cannot list s3://harbour/loans: there is no such bucket"),
        "{applied:?}"
    );
    let missing = stage.run(&["scan", "--json"]).await;
    assert_eq!(missing.code, 1);
    let error = missing.json()["failed"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("cannot list s3://harbour/loans: there is no such bucket"), "{error}");
    server.create_bucket(BUCKET);
    let wrong = stage.run_with(&["scan"], &[("AWS_SECRET_ACCESS_KEY", "battery")]).await;
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("AWS_SECRET_ACCESS_KEY is wrong"), "{wrong:?}");
    assert!(!wrong.stderr.contains("battery") && !wrong.stderr.contains('<'), "{wrong:?}");
    let recorded = stage.texts("SELECT error FROM longshore.scan ORDER BY id").await;
    assert!(
        recorded.len() == 2 && recorded.iter().all(|error| error.contains("cannot list")),
        "{recorded:?}"
    );
    server.put(BUCKET, "loans/a.csv", loan_file(1..=2));
    assert_eq!(stage.scan().await["scans"][0]["counts"]["new"], 1);
    stage.drain().await;
    stage.assert_each_loan_once(2).await;
}

#[tokio::test]
async fn a_worker_that_loses_the_store_in_mid_load_tries_again() {
    let (stage, server) = stage_with_bucket().await;
    let proxy = Proxy::start(server.address()).await;
    server.put(BUCKET, "loans/a.csv", loan_file(1..=200_000));
    stage.scan().await;
    let through_proxy = server.environment_at(proxy.address());
    let through_proxy: Vec<_> =
        through_proxy.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // What is buffered between here and the store is read to its end first.
    let worker = stage.spawn_slow_worker(150, &through_proxy);
    stage.is_in_mid_load().await;
    proxy.refuse(true);
    proxy.reset();
    eventually("the attempt ends", || async {
        stage.number("SELECT count(*) FROM longshore.attempt WHERE outcome = 'RETRY'").await == 1
    })
    .await;
    let errors = stage.texts("SELECT error FROM longshore.attempt").await;
    assert!(errors[0].contains("the store failed: the endpoint fails or cannot be reached"), "{errors:?}");
    assert_eq!(stage.texts("SELECT status FROM longshore.etl_task").await, ["NEW"]);
    drop(worker);
    let _scanner = stage.spawn(&["scanner"]);
    let _worker = stage.spawn(&["worker"]);
    eventually("the rows", || async { stage.loans().await == (200_000, 200_000) }).await;
}

#[tokio::test]
async fn files_of_an_earlier_source_in_another_store_load_all_the_same() {
    let (stage, server) = stage_with_bucket().await;
    server.put(BUCKET, "loans/a.csv", loan_file(1..=2));
    stage.scan().await;
    let local = format!("file://{}", stage.inbox.display());
    stage.ok(&["dataset", "apply", &spec_with(&stage, &local, ""), "--new-files"]).await;
    stage.put("b.csv", loan_file(3..=4));
    stage.scan().await;
    stage.ok(&["dataset", "apply", &spec_with(&stage, "s3://harbour/loans", ""), "--new-files"]).await;
    stage.drain().await;
    stage.assert_each_loan_once(4).await;
}
