//! What the processes of a fleet count and measure, by the names that Prometheus shows. Whoever wants to see it installs a recorder
//! of the crate `metrics`; without one nothing is kept.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Histogram, s, by `pool`: from when a task was submitted until it was given out.
pub const QUEUE_WAIT: &str = "vtp_queue_wait_seconds";
/// Gauge, by `pool`: tasks that nobody was given, or nobody has any longer; those that no pool can do are of the pool `none`.
pub const TASKS_WAITING: &str = "vtp_tasks_waiting";
/// Gauge, by `pool`: tasks that somebody was given.
pub const TASKS_RUNNING: &str = "vtp_tasks_running";
/// Gauge: jobs that have not ended.
pub const JOBS_ACTIVE: &str = "vtp_jobs_active";
/// Counter, by `outcome`: jobs that have ended.
pub const JOBS_ENDED: &str = "vtp_jobs_ended_total";
/// Counter: attempts that were given out.
pub const ATTEMPTS: &str = "vtp_attempts_total";
/// Counter, by `why`: attempts that failed by themselves.
pub const ATTEMPTS_FAILED: &str = "vtp_attempts_failed_total";
/// Counter: tasks whose result was accepted.
pub const TASKS_ACCEPTED: &str = "vtp_tasks_accepted_total";
/// Gauge: nodes that are there.
pub const NODES: &str = "vtp_nodes";
/// Gauge: 1 while this driver leads, 0 while it stands by.
pub const LEADS: &str = "vtp_driver_leads";
/// Gauge, by `pool`: tasks that this process may be at.
pub const SLOTS: &str = "vtp_slots";
/// Gauge, by `pool`: tasks that this process is at.
pub const SLOTS_BUSY: &str = "vtp_slots_busy";
/// Histogram, s, by `pool` and `outcome`: how long this process was at a task.
pub const TASK_TIME: &str = "vtp_task_seconds";
/// Histogram, s, by `pool`: how long a slot that a task was given waited until that was ready, such as for its packets.
pub const PREPARE_TIME: &str = "vtp_prepare_seconds";
/// Counter: source frames of the chunks that this process has encoded.
pub const FRAMES: &str = "vtp_frames_encoded_total";
/// Counter, by `direction`: bytes of objects sent and received by this process's server.
pub const BYTES: &str = "vtp_transfer_bytes_total";

/// Tells the recorder what each of them is.
pub fn describe() {
    describe_histogram!(QUEUE_WAIT, Unit::Seconds, "From when a task was submitted until it was given out");
    describe_gauge!(TASKS_WAITING, "Tasks that nobody was given, or nobody has any longer");
    describe_gauge!(TASKS_RUNNING, "Tasks that somebody was given");
    describe_gauge!(JOBS_ACTIVE, "Jobs that have not ended");
    describe_counter!(JOBS_ENDED, "Jobs that have ended");
    describe_counter!(ATTEMPTS, "Attempts that were given out");
    describe_counter!(ATTEMPTS_FAILED, "Attempts that failed by themselves");
    describe_counter!(TASKS_ACCEPTED, "Tasks whose result was accepted");
    describe_gauge!(NODES, "Splitters, nodes and stitchers that are there");
    describe_gauge!(LEADS, "1 while this driver leads, 0 while it stands by");
    describe_gauge!(SLOTS, "Tasks that this process may be at");
    describe_gauge!(SLOTS_BUSY, "Tasks that this process is at");
    describe_histogram!(TASK_TIME, Unit::Seconds, "How long this process was at a task");
    describe_histogram!(PREPARE_TIME, Unit::Seconds, "How long a slot waited for what its task needs");
    describe_counter!(FRAMES, "Source frames of the chunks that this process has encoded");
    describe_counter!(BYTES, Unit::Bytes, "Bytes of objects sent and received by this process's server");
}
