//! Which streams and consumers there are, on which subjects, with which limits. Pure; docs/bus.md gives the reasons.

use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};

use crate::bus::{Band, Terms};
use crate::messages::{NodeId, Pool};

pub(super) const EVENTS: &str = "VTP_EVENTS";
pub(super) const ADVISORIES: &str = "VTP_ADVISORIES";
/// The consumer of every stream of tasks.
pub(super) const NODES: &str = "nodes";
/// The consumer of events and advisories.
pub(super) const DRIVER: &str = "driver";

/// As many nodes as a pool may have.
const MOST_NODES: i64 = 20_000;

const MIB: i64 = 1024 * 1024;
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn task_stream(pool: &Pool, band: Band) -> String {
    format!("VTP_TASK_{pool}_{}", band.name())
}

pub(super) fn task_subject(pool: &Pool, priority: u8) -> String {
    format!("vtp.task.{pool}.{priority}")
}

pub(super) fn event_subject(node: &NodeId) -> String {
    format!("vtp.event.{node}")
}

pub(super) fn control_subject(node: &NodeId) -> String {
    format!("vtp.control.{node}")
}

/// A stream and its one consumer.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) stream: stream::Config,
    pub(super) consumer: consumer::pull::Config,
}

/// All that there has to be.
pub(super) fn wanted(pools: &[Pool], terms: &Terms, replicas: usize) -> Vec<Wanted> {
    let tasks = pools.iter().flat_map(|pool| Band::ALL.map(|band| tasks(pool, band, terms, replicas)));
    tasks.chain([events(replicas), advisories(replicas)]).collect()
}

/// Work to do: gone once acknowledged. A full stream refuses, and the driver publishes again later.
fn tasks(pool: &Pool, band: Band, terms: &Terms, replicas: usize) -> Wanted {
    let subjects = band.priorities().map(|priority| task_subject(pool, priority)).collect();
    Wanted {
        stream: stream::Config {
            name: task_stream(pool, band),
            subjects,
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            max_bytes: 512 * MIB,
            max_messages: 1_000_000,
            max_age: 24 * HOUR,
            duplicate_window: terms.duplicate_window,
            ..basics(replicas)
        },
        consumer: consumer::pull::Config {
            durable_name: Some(NODES.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: terms.ack_wait,
            max_deliver: i64::from(terms.max_deliver),
            // Of each node what it is at, and what it holds.
            max_ack_pending: 2 * MOST_NODES,
            max_waiting: MOST_NODES,
            max_batch: 256,
            ..consumer_basics(replicas)
        },
    }
}

/// What nodes tell. Read by one driver, in order, acknowledged up to a message; old ones go by themselves.
fn events(replicas: usize) -> Wanted {
    Wanted {
        stream: stream::Config {
            name: EVENTS.to_owned(),
            subjects: vec!["vtp.event.*".to_owned()],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            max_bytes: 1024 * MIB,
            max_messages: 5_000_000,
            max_age: HOUR,
            duplicate_window: Duration::from_secs(120),
            ..basics(replicas)
        },
        consumer: for_driver(AckPolicy::All, Duration::from_secs(30), replicas),
    }
}

/// What the server tells of tasks that were delivered too often. It says so once, on a plain subject; the stream keeps it.
fn advisories(replicas: usize) -> Wanted {
    Wanted {
        stream: stream::Config {
            name: ADVISORIES.to_owned(),
            subjects: vec![format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.*.{NODES}")],
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::Old,
            max_bytes: 64 * MIB,
            max_messages: 100_000,
            max_age: 24 * HOUR,
            duplicate_window: Duration::from_secs(120),
            ..basics(replicas)
        },
        consumer: for_driver(AckPolicy::Explicit, Duration::from_secs(3), replicas),
    }
}

/// Without end: news has to be read. Reports are acknowledged as soon as the ledger has them, which may take a while, and a driver
/// that takes over has their consumer made anew. That of advisories it has not, and is not to wait for what the one before has left.
fn for_driver(ack_policy: AckPolicy, ack_wait: Duration, replicas: usize) -> consumer::pull::Config {
    consumer::pull::Config {
        durable_name: Some(DRIVER.to_owned()),
        ack_policy,
        ack_wait,
        max_deliver: -1,
        max_ack_pending: 20_000,
        max_waiting: 64,
        max_batch: 1_024,
        ..consumer_basics(replicas)
    }
}

fn basics(replicas: usize) -> stream::Config {
    stream::Config {
        storage: StorageType::File,
        num_replicas: replicas,
        max_message_size: i32::try_from(MIB).unwrap_or(i32::MAX),
        max_messages_per_subject: -1,
        max_consumers: 1,
        ..Default::default()
    }
}

/// No `backoff`: it would take the place of `ack_wait` and ignore heartbeats. Delays are given with each `nak`.
fn consumer_basics(replicas: usize) -> consumer::pull::Config {
    consumer::pull::Config {
        deliver_policy: DeliverPolicy::All,
        replay_policy: ReplayPolicy::Instant,
        max_expires: Duration::from_secs(60),
        num_replicas: replicas,
        memory_storage: false,
        ..Default::default()
    }
}
