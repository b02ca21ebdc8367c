//! The spans of a control plane: requests as they are made, and jobs, which are told by hand once they have ended.

use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::Status;
use time::OffsetDateTime;
use tracing::Span;
use vtp_control_plane::end::End;
use vtp_control_plane::ids::JobId;
use vtp_control_plane::traceparent::Traceparent;
use vtp_control_plane::traces::Traces;
use vtp_fleet::messages::TraceContext;

use super::ended::{Ended, Told};
use super::span;

/// Spans of the control plane of this process go where the others go.
#[derive(Debug)]
pub(crate) struct RequestSpans(Option<Told>);

impl RequestSpans {
    pub(crate) fn begin() -> Self {
        Self(Told::begin())
    }
}

impl Traces for RequestSpans {
    fn begin(&self, span: &Span, said: Option<&Traceparent>) -> Option<Traceparent> {
        let above = said.map_or(TraceContext::NONE, read);
        let own = span::of(&span::below(span.clone(), above));
        // Nobody hears of a span that goes nowhere: what is below it is below what it is below.
        let goes_somewhere = self.0.is_some() && !own.is_none();
        let next = if goes_somewhere || above.is_none() { own } else { above };
        (!next.is_none()).then(|| Traceparent(next.to_string()))
    }

    fn end(&self, span: &Span, failed: Option<&str>) {
        if let Some(why) = failed {
            span::failed(span, why);
        }
        span::end(span);
    }

    fn of_job(&self, job: JobId, above: &Traceparent) -> Traceparent {
        match self.0 {
            Some(_) => Traceparent(number(job, read(above)).to_string()),
            None => above.clone(),
        }
    }

    fn ended(&self, job: JobId, above: &Traceparent, since: OffsetDateTime, end: &End) {
        let Some(told) = &self.0 else { return };
        let parent = read(above);
        let (outcome, status) = match end {
            End::Completed { .. } => ("done", Status::Unset),
            End::Failed { message, .. } => ("failed", Status::error(message.clone())),
            End::Cancelled => ("cancelled", Status::Unset),
        };
        told.tell(Ended {
            name: "job",
            context: number(job, parent),
            parent,
            start: since.into(),
            end: SystemTime::now(),
            fields: vec![KeyValue::new("job", job.to_string()), KeyValue::new("outcome", outcome)],
            status,
        });
    }
}

/// What a `traceparent` names. One that is malformed names nothing: whoever is said to be below it begins a trace.
pub(crate) fn read(said: &Traceparent) -> TraceContext {
    said.0.parse().unwrap_or(TraceContext::NONE)
}

/// The span of a job that was asked for below `above`.
fn number(job: JobId, above: TraceContext) -> TraceContext {
    above.below(&format!("request's job {job}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_process_that_traces_nothing_hands_on_what_its_client_said_and_nothing_that_is_malformed() {
        let spans = RequestSpans(None);
        let begin = |said: &str| {
            let said = Traceparent(said.to_owned());
            spans.begin(&tracing::info_span!("request"), Some(&said)).map(|it| it.0)
        };
        assert_eq!(begin(SAID).as_deref(), Some(SAID));
        let later = format!("{}-more", SAID.replacen("00-", "cc-", 1));
        assert_eq!(begin(&later).as_deref(), Some(SAID), "it is said as version 00");
        let zeros = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        for said in ["", "00", &SAID[1..], &SAID.to_uppercase(), &format!("{SAID}-more"), &zeros, "\u{e9}"] {
            assert_eq!(begin(said), None, "{said}");
        }
        assert_eq!(spans.begin(&tracing::info_span!("request"), None), None);
    }

    #[test]
    fn the_span_of_a_job_has_the_same_number_for_every_replica_and_no_other_job_has_it() {
        let (job, above) = (JobId::new(), read(&Traceparent(SAID.to_owned())));
        let span = number(job, above);
        assert_eq!((span, span.trace(), span.is_sampled()), (number(job, above), above.trace(), true));
        assert!(span != above && span != number(JobId::new(), above));
        assert_eq!(number(job, TraceContext::NONE), TraceContext::NONE);
    }

    #[test]
    fn a_job_that_is_told_nowhere_is_no_link_of_the_trace() {
        let above = Traceparent(SAID.to_owned());
        assert_eq!(RequestSpans(None).of_job(JobId::new(), &above), above);
    }
}
