//! Export of traces and metrics over OTLP (HTTP, protobuf).
//!
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT`, or its variant for one signal, is set.

use std::cell::LazyCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{MetricExporter, SpanExporter as OtlpSpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanData, SpanExporter};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

use super::collector::{Collector, Signal};
use super::logs::is_ours;

/// What is exported.
pub(super) struct Exporters {
    pub(super) traces: Option<SdkTracerProvider>,
    pub(super) metrics: Option<SdkMeterProvider>,
}

/// Builds the exporters that the environment asks for.
pub(super) fn from_env(service_name: &'static str) -> anyhow::Result<Exporters> {
    let lookup = |name: &str| std::env::var(name).ok();
    let resource = LazyCell::new(|| resource(service_name));
    let traces = Collector::from_env(Signal::Traces, &lookup)?
        .map(|collector| trace_provider(collector, &resource).context("export of traces"))
        .transpose()?;
    let metrics = Collector::from_env(Signal::Metrics, &lookup)?
        .map(|collector| metric_provider(collector, &resource).context("export of metrics"))
        .transpose()?;
    Ok(Exporters { traces, metrics })
}

fn trace_provider(collector: Collector, resource: &Resource) -> anyhow::Result<SdkTracerProvider> {
    let exporter = OtlpSpanExporter::builder().with_http().with_http_client(collector.client()?).build()?;
    let exporter = Reported::new(exporter, Signal::Traces, collector.address);
    Ok(SdkTracerProvider::builder().with_resource(resource.clone()).with_batch_exporter(exporter).build())
}

fn metric_provider(collector: Collector, resource: &Resource) -> anyhow::Result<SdkMeterProvider> {
    let exporter = MetricExporter::builder().with_http().with_http_client(collector.client()?).build()?;
    let exporter = Reported::new(exporter, Signal::Metrics, collector.address);
    Ok(SdkMeterProvider::builder().with_resource(resource.clone()).with_periodic_exporter(exporter).build())
}

/// Passes spans to the exporter: ours, at info and up, whatever the log shows.
pub(super) fn span_layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let exported = filter_fn(|metadata| is_ours(metadata) && *metadata.level() <= Level::INFO)
        .with_max_level_hint(LevelFilter::INFO);
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_filter(exported)
}

/// What the collector learns about this process.
fn resource(service_name: &'static str) -> Resource {
    let from_env = Resource::builder().build();
    let given = |key: &'static str| from_env.get(&Key::new(key)).map(|value| value.to_string());
    let mut own = vec![KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
    // The SDK's word for a service to which the environment gives no name.
    if given("service.name").is_none_or(|name| name.starts_with("unknown_service")) {
        own.push(KeyValue::new("service.name", service_name));
    }
    // Several workers send the same counters: without this they would pass for one.
    if given("service.instance.id").is_none() {
        own.push(KeyValue::new("service.instance.id", Uuid::now_v7().to_string()));
    }
    Resource::builder().with_attributes(own).build()
}

/// An exporter that says once that its collector is away, and once that it is back.
///
/// The SDK's own logs, which would repeat this with every batch, are not compiled in.
#[derive(Debug)]
struct Reported<E> {
    exporter: E,
    signal: Signal,
    collector: String,
    failing: AtomicBool,
}

impl<E> Reported<E> {
    fn new(exporter: E, signal: Signal, collector: String) -> Self {
        Self { exporter, signal, collector, failing: AtomicBool::new(false) }
    }

    fn report(&self, result: OTelSdkResult) -> OTelSdkResult {
        let failed = result.is_err();
        let failed_before = self.failing.swap(failed, Ordering::Relaxed);
        let (signal, collector) = (self.signal.name(), self.collector.as_str());
        match &result {
            Err(error) if !failed_before => tracing::warn!(
                %error, signal, collector,
                "telemetry cannot be sent and is lost; not said again until it can"
            ),
            Ok(()) if failed_before => tracing::info!(signal, collector, "telemetry is sent again"),
            _ => {}
        }
        result
    }
}

impl<E: SpanExporter> SpanExporter for Reported<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.report(self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Reported<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.report(self.exporter.export(metrics).await)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::error::OTelSdkError;

    use super::super::logs::tests::logged;
    use super::*;

    #[test]
    fn an_outage_is_logged_when_it_begins_and_when_it_ends() {
        let exporter = Reported::new((), Signal::Traces, "http://otel:4318".to_owned());
        let log = logged("info", false, || {
            for works in [true, false, false, false, true, true, false] {
                let failure = || Err(OTelSdkError::InternalFailure("refused".to_owned()));
                let _ = exporter.report(if works { Ok(()) } else { failure() });
            }
        });
        let levels: Vec<_> = log.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(levels, ["WARN", "INFO", "WARN"], "{log}");
        assert!(log.contains("refused") && log.contains("http://otel:4318"), "{log}");
    }
}
