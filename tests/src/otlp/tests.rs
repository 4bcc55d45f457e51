//! Telemetry from start to collector, each process a real one: `longshore_common::telemetry::start` is
//! once a process.
#![expect(clippy::expect_used, reason = "a test may panic")]

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use longshore_common::telemetry::{self, current_traceparent, metrics, set_parent};
use tokio::process::Command;
use tracing::{Instrument as _, debug_span, info, info_span, trace, warn};

use super::{OtlpReceiver, ReceivedSpan};

/// Runs [`process`] as `role` with these variables and waits for its end.
async fn run(role: &str, env: &[(&str, &str)]) -> Output {
    let output = Command::new(std::env::current_exe().expect("this test binary"))
        .args(["--exact", "otlp::tests::process", "--ignored", "--nocapture"])
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .env("NO_PROXY", "127.0.0.1")
        .env("ROLE", role)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("this test binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{role} failed:\n{stderr}");
    output
}

/// What a process printed as `name=…`.
fn printed(output: &Output, name: &str) -> Option<String> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    stdout.lines().find_map(|line| line.split_once(&format!("{name}=")).map(|(_, value)| value.to_owned()))
}

/// How long a process's shutdown of its telemetry took.
fn shutdown(output: &Output) -> Duration {
    let millis = printed(output, "shutdown_ms").expect("each process prints it");
    Duration::from_millis(millis.parse().expect("a number"))
}

fn named<'a>(spans: &'a [ReceivedSpan], name: &str) -> &'a ReceivedSpan {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name} in {spans:#?}"))
}

#[tokio::test]
#[ignore = "a process of its own, started by the other tests"]
async fn process() {
    let Ok(role) = std::env::var("ROLE") else { return };
    let log = std::env::var("LOG").unwrap_or_else(|_| "error".to_owned());
    let telemetry = telemetry::start("longshore", &log).expect("telemetry starts");
    match role.as_str() {
        "scanner" => info_span!("scan", dataset = "loans").in_scope(|| {
            println!("traceparent={}", current_traceparent().unwrap_or_default());
            metrics().files_scanned("loans", 3);
            metrics().files_scanned("loans", 4);
            metrics().task_settled("loans", "loaded");
            metrics().task_settled("loans", "failed");
        }),
        "worker" => {
            let task = info_span!("task", id = 7, rows = tracing::field::Empty);
            set_parent(&task, std::env::var("TRACEPARENT").ok().as_deref());
            async {
                tokio::task::yield_now().await;
                let _driver = info_span!(target: "tokio_postgres", "driver").entered();
                let _detail = debug_span!("detail").entered();
                info_span!("copy")
                    .in_scope(|| println!("traceparent={}", current_traceparent().unwrap_or_default()));
                tracing::Span::current().record("rows", 100);
                warn!("not in the log: it is at error");
            }
            .instrument(task.clone())
            .await;
            task.record("rows", 100);
        }
        "chatty" => {
            let forged = "x\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2K";
            info_span!("load", file = %forged).in_scope(|| info!(file = %forged, "found {forged}"));
            trace!(target: "lapin::io_loop", "AMQPLAIN secret");
        }
        "persistent" => {
            // With a batch size of 1 each of them is an export of its own.
            for _ in 0..3 {
                info_span!("scan").in_scope(|| {});
            }
        }
        role => panic!("no such role: {role}"),
    }
    let stopping = Instant::now();
    telemetry.shutdown().await;
    println!("shutdown_ms={}", stopping.elapsed().as_millis());
    info!("after the shutdown");
}

#[tokio::test]
async fn a_trace_goes_on_in_another_process() {
    let collector = OtlpReceiver::start().await;
    let endpoint = collector.endpoint();
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];

    let scanner = run("scanner", &env).await;
    let traceparent = printed(&scanner, "traceparent").expect("the scanner prints it");
    let worker =
        run("worker", &[env[0], ("TRACEPARENT", traceparent.as_str()), ("OTEL_SERVICE_NAME", "loader")])
            .await;

    let spans = collector.spans();
    assert_eq!(spans.len(), 3, "only our spans at info: {spans:#?}");
    let (scan, task, copy) = (named(&spans, "scan"), named(&spans, "task"), named(&spans, "copy"));
    assert_eq!(traceparent, format!("00-{}-{}-01", scan.trace_id, scan.span_id));
    assert_eq!(scan.parent_span_id, "");
    assert_eq!((&task.trace_id, &task.parent_span_id), (&scan.trace_id, &scan.span_id));
    assert_eq!((&copy.trace_id, &copy.parent_span_id), (&scan.trace_id, &task.span_id));
    assert_eq!(printed(&worker, "traceparent"), Some(format!("00-{}-{}-01", copy.trace_id, copy.span_id)));
    assert_eq!((scan.service.as_str(), task.service.as_str()), ("longshore", "loader"));
    assert_eq!(scan.attributes["dataset"], "loans");
    assert_eq!(task.attributes["rows"], "100");
    assert_eq!(collector.counter("longshore.files.scanned", "loans"), Some(7));
    assert_eq!(collector.counter("longshore.tasks.settled", "loans"), Some(2));
    assert!(shutdown(&worker) < Duration::from_secs(3));
    assert_eq!(String::from_utf8_lossy(&worker.stderr), "");
}

#[tokio::test]
async fn a_made_up_traceparent_starts_a_trace_of_its_own() {
    let collector = OtlpReceiver::start().await;
    let endpoint = collector.endpoint();
    let too_long = "00-".repeat(30_000);
    for traceparent in
        ["", "00-zz-1-01", "00-00000000000000000000000000000000-0000000000000000-00", "é\u{202e}", &too_long]
    {
        run("worker", &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("TRACEPARENT", traceparent)])
            .await;
    }
    let spans = collector.spans();
    assert_eq!(spans.iter().filter(|span| span.name == "task" && span.parent_span_id.is_empty()).count(), 5);
}

#[tokio::test]
async fn without_a_collector_nothing_is_traced_or_waited_for() {
    let output = run("scanner", &[]).await;
    assert_eq!(printed(&output, "traceparent").as_deref(), Some(""));
    assert!(shutdown(&output) < Duration::from_secs(2));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[tokio::test]
async fn a_disabled_sdk_exports_nothing() {
    let collector = OtlpReceiver::start().await;
    let endpoint = collector.endpoint();
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_SDK_DISABLED", "true")];
    let output = run("scanner", &env).await;
    assert_eq!(printed(&output, "traceparent").as_deref(), Some(""));
    assert!(collector.spans().is_empty());
}

#[tokio::test]
async fn a_collector_that_is_away_does_not_hold_up_the_end() {
    let away = OtlpReceiver::start().await.endpoint();
    let output = run("scanner", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &away)]).await;
    assert!(shutdown(&output) < Duration::from_secs(5));
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_up_the_end() {
    // Accepts, by its backlog, and never answers.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let endpoint = format!("http://{}", silent.local_addr().expect("a bound socket"));
    let output = run("scanner", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    assert!(shutdown(&output) < Duration::from_secs(5));
}

#[tokio::test]
async fn a_collector_that_is_away_is_said_once() {
    let away = OtlpReceiver::start().await.endpoint();
    let env = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", away.as_str()),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1"),
        ("LOG", "trace"),
    ];
    let output = run("persistent", &env).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr.lines().filter(|line| line.contains("WARN")).count(), 1, "{stderr}");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
}

#[tokio::test]
async fn a_log_line_is_one_line_and_holds_no_driver_secret() {
    let output = run("chatty", &[("LOG", "trace,lapin=trace")]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr.lines().count(), 2, "found, and after the shutdown: {stderr}");
    assert!(!stderr.contains("secret") && !stderr.contains('\u{1b}') && !stderr.contains('\r'), "{stderr:?}");
}
