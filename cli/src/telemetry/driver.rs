//! The spans of a driver.

use opentelemetry::KeyValue;
use opentelemetry::trace::Status;
use vtp_fleet::driver::{EndBy, Of, Span, SpanSink};

use super::ended::{Ended, Told};

/// Spans of the driver of this process go there.
#[derive(Debug)]
pub(crate) struct DriverSpans(Told);

impl DriverSpans {
    /// `None` where spans go nowhere.
    pub(crate) fn begin() -> Option<Box<dyn SpanSink>> {
        Told::begin().map(|told| Box::new(Self(told)) as Box<dyn SpanSink>)
    }
}

impl SpanSink for DriverSpans {
    fn ended(&self, ended: Span) {
        let Span { context, parent, start, end, of, end_by } = ended;
        let (name, mut fields) = told(of);
        let (outcome, status) = outcome(end_by);
        fields.push(KeyValue::new("outcome", outcome));
        self.0.tell(Ended { name, context, parent, start, end, fields, status });
    }
}

fn told(of: Of) -> (&'static str, Vec<KeyValue>) {
    // Numbers of jobs have 64 bits, those of fields 63.
    let job = |job: u64| KeyValue::new("job", job.to_string());
    match of {
        Of::Job { job: number, tasks } => {
            ("job", vec![job(number), KeyValue::new("tasks", i64::try_from(tasks).unwrap_or(i64::MAX))])
        }
        Of::Attempt { id, pool } => (
            "task",
            vec![
                job(id.job),
                KeyValue::new("chunk", i64::from(id.chunk)),
                KeyValue::new("attempt", i64::from(id.attempt)),
                KeyValue::new("pool", pool.to_string()),
            ],
        ),
    }
}

fn outcome(end_by: EndBy) -> (&'static str, Status) {
    match end_by {
        EndBy::Done => ("done", Status::Unset),
        EndBy::Failed(why) => ("failed", Status::error(why)),
        EndBy::Cancelled => ("cancelled", Status::Unset),
        EndBy::Superseded => ("superseded", Status::Unset),
        EndBy::PutDown => ("put down", Status::error("it was handed back, or its node was lost")),
    }
}
