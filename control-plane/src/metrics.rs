//! What a control plane counts and measures, by the names that Prometheus shows. Whoever wants to see it installs a recorder of the
//! crate `metrics`; without one nothing is kept.

use std::sync::Arc;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// What writes down all metrics of this process.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// Histogram, s, by `method`, `endpoint` and `status`: from a request until its answer began.
pub const REQUEST_TIME: &str = "vtp_http_request_seconds";
/// Gauge: streams of events that are open.
pub const STREAMS: &str = "vtp_event_streams";
/// Gauge, by `status`: jobs that have not ended, over all replicas.
pub const JOBS: &str = "vtp_api_jobs";
/// Gauge: jobs that this replica drives.
pub const JOBS_DRIVEN: &str = "vtp_api_jobs_driven";
/// Gauge, by `pool` and `state`: connections to the database.
pub const CONNECTIONS: &str = "vtp_database_connections";
/// Counter: rows of usage that were not kept, because too many waited or the database was away for long.
pub const USAGE_LOST: &str = "vtp_usage_lost_total";
/// Counter: deeds that are not in the audit log, because the database did not take them.
pub const AUDIT_LOST: &str = "vtp_audit_lost_total";

/// Tells the recorder what each of them is.
pub fn describe() {
    describe_histogram!(REQUEST_TIME, Unit::Seconds, "From a request until its answer began");
    describe_gauge!(STREAMS, "Streams of events that are open");
    describe_gauge!(JOBS, "Jobs that have not ended, over all replicas");
    describe_gauge!(JOBS_DRIVEN, "Jobs that this replica drives");
    describe_gauge!(CONNECTIONS, "Connections to the database");
    describe_counter!(USAGE_LOST, "Rows of usage that were not kept");
    describe_counter!(AUDIT_LOST, "Deeds that are not in the audit log");
}
