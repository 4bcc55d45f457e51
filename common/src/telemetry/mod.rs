//! Logs to stderr, and traces and metrics to an OpenTelemetry collector where one is configured.
//!
//! The binary calls [`start`] once and [`Telemetry::shutdown`] at its end. Everything else uses the
//! macros of `tracing`, [`metrics()`], and for a trace that goes on in another process
//! [`current_traceparent`] and [`set_parent`].

mod collector;
mod export;
mod logs;
mod metrics;
mod stderr;
mod trace_context;

pub use metrics::{Metrics, metrics};
pub use trace_context::{current_traceparent, set_parent};

use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use export::Exporters;
use logs::LogFilter;
use stderr::EscapedStderr;

/// How long [`Telemetry::shutdown`] waits for the collector.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(3);

/// What to log.
#[derive(Clone, Debug, clap::Args)]
pub struct TelemetryConfig {
    /// What to log: error, warn, info, debug, trace, or directives such as info,longshore_worker=debug
    ///
    /// Without it the services log info, and the other commands, which print their results, warn.
    #[arg(long, env = "LONGSHORE_LOG", value_name = "DIRECTIVES", global = true, help_heading = "Logging")]
    pub log: Option<String>,
}

/// Holds the exporters of traces and metrics until [`Telemetry::shutdown`].
#[derive(Debug)]
#[must_use = "without a shutdown the last spans and metrics are lost"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// Starts logging for this process, and the export of traces and metrics if `OTEL_…` asks for it.
///
/// `service_name` is the service's name to the collector unless `OTEL_SERVICE_NAME` gives another.
///
/// # Errors
///
/// A bad directive, or a bad `OTEL_…` setting: the error names the variable. A second call in the
/// same process.
pub fn start(service_name: &'static str, log_directives: &str) -> anyhow::Result<Telemetry> {
    let filter = LogFilter::parse(log_directives)?;
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let logs = logs::layer(filter, EscapedStderr::new(ansi), ansi);

    let Exporters { traces, metrics } = export::from_env(service_name)?;
    let spans = traces.as_ref().map(|provider| export::span_layer(provider.tracer("longshore")));

    tracing_subscriber::registry().with(logs).with(spans).try_init().context("logging was started twice")?;
    if let Some(provider) = &metrics {
        metrics::install(provider);
    }
    Ok(Telemetry { traces, metrics })
}

/// A text that cannot break out of its line, forge another one, or move a terminal's cursor.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = stderr::escaped(text, false);
    line.pop(); // The line break.
    line
}

impl Telemetry {
    /// Sends what is left to the collector and ends the export. Takes a few seconds at most, also
    /// when no collector answers; what could not be sent by then is lost.
    ///
    /// Spans that are still open are not sent: let the work end first.
    pub async fn shutdown(self) {
        // The shutdowns of the SDK block. They get plain threads, not `spawn_blocking`: the runtime
        // would wait at its own end for a blocking task, and the limit would be none.
        let (done, mut all_done) = mpsc::channel::<()>(1);
        if let Some(provider) = self.traces {
            in_thread(&done, move || provider.shutdown_with_timeout(SHUTDOWN_LIMIT));
        }
        if let Some(provider) = self.metrics {
            in_thread(&done, move || provider.shutdown_with_timeout(SHUTDOWN_LIMIT));
        }
        drop(done);
        // Nothing is ever sent: the channel closes when the last thread has ended.
        let _ = tokio::time::timeout(SHUTDOWN_LIMIT, all_done.recv()).await;
    }
}

/// Runs `shutdown` in a thread, which holds a clone of `done` until it ends.
fn in_thread<T>(done: &mpsc::Sender<()>, shutdown: impl FnOnce() -> T + Send + 'static) {
    let done = done.clone();
    let work = move || {
        // A failed export was reported by the exporter.
        shutdown();
        drop(done);
    };
    if let Err(error) = thread::Builder::new().name("telemetry-shutdown".into()).spawn(work) {
        tracing::warn!(%error, "the last traces or metrics could not be sent");
    }
}
