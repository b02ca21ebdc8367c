//! Spans that are known once they have ended, made by hand.

use std::sync::OnceLock;
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, Status, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use vtp_fleet::messages::TraceContext;

use super::{ids, span};

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// A span that has ended.
pub(super) struct Ended {
    pub(super) name: &'static str,
    pub(super) context: TraceContext,
    pub(super) parent: TraceContext,
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    pub(super) fields: Vec<KeyValue>,
    pub(super) status: Status,
}

/// Spans that have ended go there.
#[derive(Debug)]
pub(crate) struct Told(SdkTracer);

pub(super) fn offer(provider: Option<&SdkTracerProvider>) {
    if let Some(provider) = provider {
        // Whoever was first stays.
        drop(TRACER.set(provider.tracer("vtp")));
    }
}

impl Told {
    /// `None` where spans go nowhere.
    pub(super) fn begin() -> Option<Self> {
        TRACER.get().cloned().map(Self)
    }

    pub(super) fn tell(&self, ended: Ended) {
        let Ended { name, context, parent, start, end, fields, status } = ended;
        let builder = self.0.span_builder(name).with_start_time(start).with_attributes(fields);
        let parent = span::context(parent);
        let mut span = ids::with_number(context.span(), || self.0.build_with_context(builder, &parent));
        span.set_status(status);
        // The calendar may have been set back meanwhile.
        span.end_with_timestamp(end.max(start));
    }
}
