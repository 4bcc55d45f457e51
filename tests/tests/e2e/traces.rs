//! One trace a task.

use longshore_tests::{Stage, loan_file, otlp::OtlpReceiver};

#[tokio::test]
async fn one_trace_spans_scan_publish_claim_copy_commit_and_ack() {
    let receiver = OtlpReceiver::start().await;
    let endpoint = receiver.endpoint();
    let stage = Stage::with_loans_and(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]).await;
    stage.put("a.csv", loan_file(1..=5));
    stage.scan().await;
    stage.drain().await;
    stage.assert_each_loan_once(5).await;
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
    assert_eq!(receiver.counter("longshore.rows.loaded", "loan_applications"), Some(5));
}
