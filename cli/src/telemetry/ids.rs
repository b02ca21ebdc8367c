//! Numbers of spans: by chance, but where the number is known before its span is made.

use std::cell::Cell;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

thread_local! {
    static NEXT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Gives spans their numbers.
#[derive(Debug, Default)]
pub(super) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        self.0.new_trace_id()
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.take().map_or_else(|| self.0.new_span_id(), SpanId::from)
    }
}

/// The next span that this thread makes, which `make` does, has this number.
pub(super) fn with_number<T>(span: u64, make: impl FnOnce() -> T) -> T {
    NEXT.set(Some(span));
    let made = make();
    NEXT.set(None);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_once_and_to_no_other_span() {
        let ids = Ids::default();
        assert_eq!(with_number(7, || ids.new_span_id()), SpanId::from(7));
        assert_ne!(ids.new_span_id(), SpanId::from(7));
        with_number(8, || ());
        assert_ne!(ids.new_span_id(), SpanId::from(8));
    }
}
