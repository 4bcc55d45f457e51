//! One trace over several processes: the scanner's span is the parent of the worker's.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";

/// A `traceparent` is 55 characters long; later versions may append to it.
const LONGEST_TRACEPARENT: usize = 256;

/// The current span as a W3C `traceparent`, to be stored or sent so that others continue its trace.
/// `None` outside any span and when traces are not exported.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    let context = opentelemetry::Context::current();
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Makes the span of `traceparent` the parent of `span`, which must not have been entered yet.
///
/// A `traceparent` comes with a message, which anybody may have sent: one that is malformed is
/// ignored, and one that is made up costs no more than a wrong link in a trace.
pub fn set_parent(span: &tracing::Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent.filter(|text| text.len() <= LONGEST_TRACEPARENT) else { return };
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    // From an empty context: what is current here is not the parent.
    let parent = TraceContextPropagator::new().extract_with_context(&opentelemetry::Context::new(), &carrier);
    if parent.span().span_context().is_valid() {
        // Fails where traces are not exported, which is no error.
        let _ = span.set_parent(parent);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::{debug_span, info_span};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::export::span_layer;
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn with_tracing(work: impl FnOnce()) {
        let provider = SdkTracerProvider::builder().build();
        let subscriber = tracing_subscriber::registry().with(span_layer(provider.tracer("test")));
        tracing::subscriber::with_default(subscriber, work);
    }

    #[test]
    fn a_span_continues_the_trace_that_it_was_given() {
        with_tracing(|| {
            let _other = info_span!("relay").entered();
            let span = info_span!("publish");
            set_parent(&span, Some(PARENT));
            let _entered = span.entered();
            // A span that is not exported does not end the trace.
            let _detail = debug_span!("detail").entered();
            let traceparent = current_traceparent().unwrap();
            assert_eq!(traceparent[..36], PARENT[..36]);
            assert_ne!(traceparent, PARENT);
        });
    }

    #[test]
    fn what_is_no_traceparent_changes_nothing() {
        let long = format!("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-{}", "x".repeat(1 << 20));
        for wrong in [
            "",
            "-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n-",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            &long,
        ] {
            with_tracing(|| {
                let outer = info_span!("relay").entered();
                let trace = current_traceparent().unwrap();
                let span = info_span!("publish");
                set_parent(&span, Some(wrong));
                let own = span.in_scope(|| current_traceparent().unwrap());
                assert_eq!(own[..36], trace[..36], "{wrong:?}");
                drop(outer);
            });
        }
    }

    #[test]
    fn without_export_there_is_no_traceparent() {
        let span = info_span!("load");
        set_parent(&span, Some(PARENT));
        assert_eq!(span.in_scope(current_traceparent), None);
    }
}
