//! Spans of this process among those of others, and how they end.

use std::error::Error;
use std::future::Future;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use vtp_fleet::messages::TraceContext;

use crate::encode::failure::EncodeFailure;
use crate::exit::Failure;

/// The span that this thread is in, for whoever goes on elsewhere; none where nothing is traced.
pub(crate) fn current() -> TraceContext {
    of(&Span::current())
}

/// A span, as others name it; none where nothing is traced.
pub(super) fn of(span: &Span) -> TraceContext {
    let context = span.context();
    let span = context.span();
    let of = span.span_context();
    let (trace, number) = (u128::from_be_bytes(of.trace_id().to_bytes()), u64::from_be_bytes(of.span_id().to_bytes()));
    TraceContext::new(trace, number, of.is_sampled())
}

/// Puts `span`, which nobody has been in, below one of another process. Without one it begins a trace.
pub(crate) fn below(span: Span, parent: TraceContext) -> Span {
    if !parent.is_none() && !span.is_disabled() {
        // It is new, so only a process that traces nothing refuses.
        drop(span.set_parent(context(parent)));
    }
    span
}

pub(super) fn context(of: TraceContext) -> Context {
    let flags = if of.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let (trace, span) = (TraceId::from(of.trace()), SpanId::from(of.span()));
    Context::new().with_remote_span_context(SpanContext::new(trace, span, flags, true, TraceState::NONE))
}

/// What is told of a command that is wrong.
const AS_ASKED: &str = "it can't be done as asked for; the command says why";

/// What can be told of an error in a span.
pub(crate) trait Told {
    /// What went wrong, without a word of the command: there may be secrets among them.
    fn told(&self) -> String;
}

impl Told for Failure {
    fn told(&self) -> String {
        match self {
            Self::Usage(_) => AS_ASKED.to_owned(),
            failure => failure.sentence().unwrap_or_default(),
        }
    }
}

impl Told for EncodeFailure {
    fn told(&self) -> String {
        match self {
            Self::Usage(_) => AS_ASKED.to_owned(),
            Self::Input { message, .. } => message.clone(),
            Self::Cancelled => "cancelled".to_owned(),
            Self::Internal(error) => crate::exit::with_causes(error),
        }
    }
}

impl<E: Error> Told for E {
    fn told(&self) -> String {
        self.to_string()
    }
}

/// A span that ends with this. Whoever was begun in it and lives on, such as a connection, has it for longer.
struct Ends(Span);

impl Drop for Ends {
    fn drop(&mut self) {
        end(&self.0);
    }
}

/// Ends a span now.
pub(super) fn end(span: &Span) {
    if !span.is_disabled() {
        span.context().span().end();
    }
}

/// Does `work` in `span`, which ends with it, and as badly.
pub(crate) fn within<T, E: Told>(span: Span, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let span = Ends(span);
    span.0.in_scope(work).inspect_err(|error| failed(&span.0, &error.told()))
}

/// As [`within`], where it is waited for.
pub(crate) async fn during<T, E: Told>(span: Span, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    during_with(span, work, |done| done.as_ref().err().map(Told::told)).await
}

/// The same for what tells otherwise why it failed.
pub(crate) async fn during_with<T>(
    span: Span,
    work: impl Future<Output = T>,
    why: impl FnOnce(&T) -> Option<String>,
) -> T {
    let span = Ends(span);
    let done = work.instrument(span.0.clone()).await;
    if let Some(why) = why(&done) {
        failed(&span.0, &why);
    }
    done
}

/// A number as fields of spans have it: others would be texts there.
pub(crate) fn number(of: impl TryInto<i64>) -> i64 {
    of.try_into().unwrap_or(i64::MAX)
}

/// Says that what `span` is of came to nothing.
pub(super) fn failed(span: &Span, why: &str) {
    span.set_status(Status::error(why.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_was_given_is_not_told_where_that_was_wrong() {
        let failure = Failure::Usage("--key: 00112233445566778899aabbccddeeff is no key".to_owned());
        assert!(!failure.told().contains("0011"));
        let failure =
            Failure::Input { fault: crate::exit::InputFault::Corrupt, message: "the index is missing".to_owned() };
        assert_eq!(failure.told(), "the index is missing");
    }

    #[test]
    fn a_process_that_traces_nothing_is_in_no_span() {
        let span = below(tracing::info_span!("chunk"), TraceContext::new(7, 8, true));
        assert_eq!(span.in_scope(current), TraceContext::NONE);
        assert_eq!(current(), TraceContext::NONE);
    }

    #[test]
    fn a_context_is_the_same_there_and_back() {
        for sampled in [true, false] {
            let of = TraceContext::new(u128::MAX - 6, 8, sampled);
            let context = context(of);
            let there = context.span().span_context().clone();
            assert_eq!(there.is_sampled(), sampled);
            assert_eq!(there.trace_id().to_string(), format!("{:032x}", of.trace()));
            assert_eq!(there.span_id().to_string(), format!("{:016x}", of.span()));
        }
    }
}
