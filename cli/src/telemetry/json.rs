//! Diagnostics as JSON, a line each, in the schema of the specification: `timestamp`, `level`, `service`, `trace_id`, `span_id`,
//! `user_id`, `request_id`, `endpoint`, `duration_ms`, `message`, and whatever else was said. What is not known of one is left out.

use std::io::Write;
use std::sync::OnceLock;

use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Writes a line for each event.
pub(super) struct JsonLines<W> {
    service: &'static str,
    write_to: W,
    dispatch: OnceLock<WeakDispatch>,
}

impl<W: Fn() -> O, O: Write> JsonLines<W> {
    /// For this service, to whatever `write_to` gives for each line.
    pub(super) fn new(service: &'static str, write_to: W) -> Self {
        Self { service, write_to, dispatch: OnceLock::new() }
    }
}

/// Fields of a span or an event.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }
}

impl<S, W, O> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn() -> O + 'static,
    O: Write,
{
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        // There is one in a process.
        let _ = self.dispatch.set(subscriber.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Fields::default();
        let metadata = event.metadata();
        for span in context.event_scope(event).into_iter().flatten().collect::<Vec<_>>().into_iter().rev() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.0.extend(fields.0.clone());
            }
        }
        event.record(&mut line);
        let Fields(mut line) = line;
        let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        line.insert("timestamp".to_owned(), now.into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("service".to_owned(), self.service.into());
        line.insert("target".to_owned(), metadata.target().into());
        let within = context.event_span(event).map(|span| span.id());
        let dispatch = self.dispatch.get().and_then(WeakDispatch::upgrade);
        let traced = within.zip(dispatch).and_then(|(id, all)| tracing_opentelemetry::get_otel_context(&id, &all));
        if let Some(traced) = traced.filter(|it| it.span().span_context().is_valid()) {
            let span = traced.span().span_context().clone();
            line.insert("trace_id".to_owned(), span.trace_id().to_string().into());
            line.insert("span_id".to_owned(), span.span_id().to_string().into());
        }
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // Whoever reads it may be gone; there is nobody else to tell.
        let _ = (self.write_to)().write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_a_line_with_what_its_spans_know() {
        let written = Written::default();
        let to = written.clone();
        let subscriber = tracing_subscriber::registry().with(JsonLines::new("vtp-test", move || to.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", endpoint = "/v1/jobs", user_id = tracing::field::Empty);
            span.record("user_id", "ann");
            let _in = span.enter();
            tracing::warn!(duration_ms = 1.5, "two\nlines");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let mut line: Value = serde_json::from_str(&text).unwrap();
        let at = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        OffsetDateTime::parse(at.as_str().unwrap(), &Rfc3339).unwrap();
        let target = module_path!();
        let expected = serde_json::json!({
            "level": "WARN", "service": "vtp-test", "target": target, "endpoint": "/v1/jobs", "user_id": "ann", "duration_ms": 1.5,
            "message": "two\nlines",
        });
        assert_eq!(line, expected);
    }
}
