//! The spans of this process among those of others, as the control plane sees them. In: spans of `tracing`, what clients say
//! that their requests are below, and how jobs have ended. Never: a look into a `traceparent`, nor a wait for a collector.
//!
//! A job has one span, however many replicas drive it one after another: its number follows from what it was asked for below,
//! which is in its row, and it is told by the one that notes its end.

use time::OffsetDateTime;
use tracing::Span;

use crate::end::End;
use crate::ids::JobId;
use crate::traceparent::Traceparent;

/// Makes something of spans.
///
/// *Blocking*: never. What can't be read of a `traceparent` is as if it had not been said.
pub trait Traces: Send + Sync + 'static {
    /// Puts `span`, which nobody has been in, below what is `said`, or has it begin a trace. What others are to be below; `None`
    /// where there is no trace.
    fn begin(&self, span: &Span, said: Option<&Traceparent>) -> Option<Traceparent>;

    /// Ends `span`, though somebody who was begun in it may live on, and says what has failed in it.
    fn end(&self, span: &Span, failed: Option<&str>);

    /// The span of a job that was asked for below `above`: the same whenever it is asked for.
    fn of_job(&self, job: JobId, above: &Traceparent) -> Traceparent;

    /// Tells the span of a job that was asked for below `above` at the time `since`, and has ended now.
    fn ended(&self, job: JobId, above: &Traceparent, since: OffsetDateTime, end: &End);
}

/// Nothing is traced.
#[derive(Debug)]
pub(crate) struct Untraced;

impl Traces for Untraced {
    fn begin(&self, _: &Span, _: Option<&Traceparent>) -> Option<Traceparent> {
        None
    }

    fn end(&self, _: &Span, _: Option<&str>) {}

    fn of_job(&self, _: JobId, above: &Traceparent) -> Traceparent {
        above.clone()
    }

    fn ended(&self, _: JobId, _: &Traceparent, _: OffsetDateTime, _: &End) {}
}
