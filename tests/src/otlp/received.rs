//! What a collector is sent, as tests want to see it.

use std::collections::HashMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};

/// A span as it arrived. Ids are in hexadecimal; `parent_span_id` is empty in the first of a trace.
#[derive(Clone, Debug)]
pub struct ReceivedSpan {
    /// The trace that the span belongs to.
    pub trace_id: String,
    /// The span's own id.
    pub span_id: String,
    /// The id of the span that contains or caused it.
    pub parent_span_id: String,
    /// The span's name.
    pub name: String,
    /// `service.name` of the process that sent it.
    pub service: String,
    /// The span's fields, as text.
    pub attributes: HashMap<String, String>,
}

#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) spans: Vec<ReceivedSpan>,
    /// Counters by name and `dataset`; they are cumulative, so the newest value counts.
    pub(super) counters: HashMap<(String, String), u64>,
}

impl Received {
    pub(super) fn spans(&mut self, request: ExportTraceServiceRequest) {
        for resource_spans in request.resource_spans {
            let resource =
                resource_spans.resource.map(|resource| texts(resource.attributes)).unwrap_or_default();
            let service = resource.get("service.name").cloned().unwrap_or_default();
            for span in resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.spans.push(ReceivedSpan {
                    trace_id: hex(&span.trace_id),
                    span_id: hex(&span.span_id),
                    parent_span_id: hex(&span.parent_span_id),
                    name: span.name,
                    service: service.clone(),
                    attributes: texts(span.attributes),
                });
            }
        }
    }

    pub(super) fn metrics(&mut self, request: ExportMetricsServiceRequest) {
        let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        let mut exported: HashMap<_, u64> = HashMap::new();
        for metric in scopes.flat_map(|scope| scope.metrics) {
            let Some(Data::Sum(sum)) = metric.data else { continue };
            for point in sum.data_points {
                let dataset = texts(point.attributes).remove("dataset").unwrap_or_default();
                if let Some(number_data_point::Value::AsInt(value)) = point.value {
                    *exported.entry((metric.name.clone(), dataset)).or_default() += value.unsigned_abs();
                }
            }
        }
        self.counters.extend(exported);
    }
}

fn texts(attributes: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
