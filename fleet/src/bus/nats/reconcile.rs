//! Makes the server's streams and consumers what they should be.
//!
//! What is missing is made, what differs is changed where the server can change it. Where it can't, the driver doesn't
//! start: streams that keep their messages otherwise than we think would lose them otherwise than we think, too.

use async_nats::jetstream::consumer::{DeliverPolicy, FromConsumer as _, pull};
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{self, ConsumerErrorKind, RetentionPolicy};
use async_nats::jetstream::{self, Context, ErrorCode, consumer};

use super::streams::Wanted;
use super::unavailable;
use crate::bus::Error;

const MAX_WAITING: &str = "max_waiting";

pub(super) async fn reconcile(context: &Context, wanted: &[Wanted]) -> Result<(), Error> {
    for Wanted { stream, consumer } in wanted {
        reconcile_stream(context, stream).await?;
        reconcile_consumer(context, stream, consumer).await?;
    }
    Ok(())
}

async fn reconcile_stream(context: &Context, wanted: &stream::Config) -> Result<(), Error> {
    let name = &wanted.name;
    let found = match context.get_stream(name).await {
        Ok(found) => found.cached_info().config.clone(),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                return context.create_stream(wanted.clone()).await.map(drop).map_err(|error| refused(name, &error));
            }
            _ => return Err(unavailable(error)),
        },
    };
    let differing = differing_stream(&found, wanted);
    if differing.is_empty() {
        return Ok(());
    }
    tracing::info!(stream = name, ?differing, "a stream is corrected");
    context.update_stream(wanted).await.map(drop).map_err(|error| {
        Error::Misconfigured(format!(
            "stream {name} differs in {} and the server can't change that: {error}. When no job is under way, delete it \
             (nats stream rm {name}); it is made anew",
            differing.join(", ")
        ))
    })
}

async fn reconcile_consumer(context: &Context, of: &stream::Config, wanted: &pull::Config) -> Result<(), Error> {
    let stream = of.name.as_str();
    let name = wanted.durable_name.as_deref().unwrap_or_default();
    let found: Result<consumer::Consumer<pull::Config>, _> = context.get_consumer_from_stream(name, stream).await;
    let mut corrected = wanted.clone();
    let differing = match found {
        Ok(found) => {
            let found = &found.cached_info().config;
            let differing = differing_consumer(found, wanted);
            // Where it begins can't be changed, and need not be.
            if starts_as(found.deliver_policy, wanted.deliver_policy) {
                corrected.deliver_policy = found.deliver_policy;
            }
            differing
        }
        Err(error) => match error.kind() {
            ConsumerErrorKind::JetStream(error) if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND => {
                vec!["existence"]
            }
            _ => return Err(unavailable(error)),
        },
    };
    if differing.is_empty() {
        return Ok(());
    }
    tracing::info!(stream, consumer = name, ?differing, "a consumer is made, or corrected");
    if differing.contains(&MAX_WAITING) && of.retention == RetentionPolicy::WorkQueue {
        // The server changes that in no consumer, so another takes its place. What is acknowledged is gone from a work queue, and
        // the rest is delivered again: whoever has such a task keeps it, and who gets it by that is told to stop.
        context.delete_consumer_from_stream(name, stream).await.map_err(unavailable)?;
    }
    context.create_consumer_on_stream(corrected, stream).await.map(drop).map_err(|error| match error.kind() {
        ConsumerErrorKind::TimedOut | ConsumerErrorKind::Request => unavailable(error),
        ConsumerErrorKind::JetStream(why) if passes(&why) => unavailable(error),
        _ => Error::Misconfigured(format!(
            "consumer {name} of stream {stream} differs in {} and the server can't change that: {error}. Delete it (nats \
             consumer rm {stream} {name}); it is made anew",
            differing.join(", ")
        )),
    })
}

/// Takes a consumer whose acknowledgements are of all up to a message over from whoever had it: it is made anew, and begins behind
/// what is acknowledged. Else what that one was given last, or is given while it stands still, would not come before its time is
/// up, and would be acknowledged with the next that is.
pub(super) async fn take_over(context: &Context, stream: &str, name: &str) -> Result<(), Error> {
    let found: consumer::Consumer<pull::Config> =
        context.get_consumer_from_stream(name, stream).await.map_err(unavailable)?;
    let info = found.cached_info();
    if info.num_waiting == 0 && info.num_ack_pending == 0 {
        return Ok(());
    }
    tracing::info!(stream, consumer = name, pending = info.num_ack_pending, "it is taken over from another driver");
    let start_sequence = info.ack_floor.stream_sequence + 1;
    let mut wanted = pull::Config::try_from_consumer_config(info.config.clone()).map_err(unavailable)?;
    wanted.deliver_policy = DeliverPolicy::ByStartSequence { start_sequence };
    context.delete_consumer_from_stream(name, stream).await.map_err(unavailable)?;
    context.create_consumer_on_stream(wanted, stream).await.map(drop).map_err(unavailable)
}

fn refused(name: &str, error: &CreateStreamError) -> Error {
    match error.kind() {
        CreateStreamErrorKind::TimedOut | CreateStreamErrorKind::Response => unavailable(error),
        CreateStreamErrorKind::JetStream(why) if passes(&why) => unavailable(error),
        _ => Error::Misconfigured(format!("the server makes no stream {name}: {error}")),
    }
}

/// Whether a server that answers so has no leader or no room at the moment, and may have it later.
fn passes(error: &jetstream::Error) -> bool {
    error.code() == 503
}

/// What is not as it should be.
fn differing_stream(found: &stream::Config, wanted: &stream::Config) -> Vec<&'static str> {
    let same = [
        ("subjects", found.subjects == wanted.subjects),
        ("retention", found.retention == wanted.retention),
        ("discard", found.discard == wanted.discard),
        ("storage", found.storage == wanted.storage),
        ("num_replicas", found.num_replicas == wanted.num_replicas),
        ("max_bytes", found.max_bytes == wanted.max_bytes),
        ("max_msgs", found.max_messages == wanted.max_messages),
        ("max_msgs_per_subject", found.max_messages_per_subject == wanted.max_messages_per_subject),
        ("max_msg_size", found.max_message_size == wanted.max_message_size),
        ("max_age", found.max_age == wanted.max_age),
        ("max_consumers", found.max_consumers == wanted.max_consumers),
        ("duplicate_window", found.duplicate_window == wanted.duplicate_window),
    ];
    differing(&same)
}

fn differing_consumer(found: &consumer::Config, wanted: &pull::Config) -> Vec<&'static str> {
    let same = [
        ("ack_policy", found.ack_policy == wanted.ack_policy),
        ("deliver_policy", starts_as(found.deliver_policy, wanted.deliver_policy)),
        ("ack_wait", found.ack_wait == wanted.ack_wait),
        ("max_deliver", found.max_deliver == wanted.max_deliver),
        ("max_ack_pending", found.max_ack_pending == wanted.max_ack_pending),
        (MAX_WAITING, found.max_waiting == wanted.max_waiting),
        ("max_batch", found.max_batch == wanted.max_batch),
        ("max_expires", found.max_expires == wanted.max_expires),
        ("filter", found.filter_subject.is_empty() && found.filter_subjects.is_empty()),
        ("backoff", found.backoff.is_empty()),
    ];
    differing(&same)
}

/// One that was made anew by whoever took over begins where that was.
fn starts_as(found: DeliverPolicy, wanted: DeliverPolicy) -> bool {
    found == wanted || matches!(found, DeliverPolicy::ByStartSequence { .. })
}

fn differing(same: &[(&'static str, bool)]) -> Vec<&'static str> {
    same.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect()
}
