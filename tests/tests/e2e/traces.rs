//! One trace a task.

use longshore_tests::{Stage, gzip, loan_file, otlp::OtlpReceiver};

#[tokio::test]
async fn one_trace_spans_scan_publish_claim_copy_commit_and_ack() {
    let receiver = OtlpReceiver::start().await;
    let endpoint = receiver.endpoint();
    let stage = Stage::with_loans_and(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]).await;
    let (plain, packed) = (loan_file(1..=5), loan_file(6..=5000));
    let bytes = (plain.len() + packed.len()) as u64;
    stage.put("a.csv", plain);
    stage.put("b.csv.gz", gzip(&packed));
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(5000).await;
    // Both processes have ended and flushed.
    let spans = receiver.spans();
    let scan = spans.iter().find(|span| span.name == "scan").expect("a scan span");
    for (name, service) in [
        ("publish", "longshore-scanner"),
        ("task", "longshore-worker"),
        ("claim", "longshore-worker"),
        ("copy", "longshore-worker"),
        ("commit", "longshore-worker"),
        ("ack", "longshore-worker"),
    ] {
        let span = spans.iter().find(|span| span.name == name && span.trace_id == scan.trace_id);
        let span = span.unwrap_or_else(|| panic!("{name} in the scan's trace: {spans:?}"));
        assert_eq!(span.service, service);
    }
    assert_eq!(receiver.counter("longshore.rows.loaded", "loan_applications"), Some(5000));
    // As the instrument says: after decompression.
    assert_eq!(receiver.counter("longshore.bytes.read", "loan_applications"), Some(bytes));
}
