//! What developers and operators are told of what this process does: diagnostics on stderr, and spans to a collector of
//! OpenTelemetry, if one is named. In: the environment. Out: lines, and spans by OTLP. Never: a wait for the collector, the words of a
//! command, an event of a log in a span.
//!
//! Spans are those of `tracing` in the crates of this program, at the level `INFO`; [`span`] connects them with those of other
//! processes, [`ended`] makes those that are known only once they have ended. Without a collector there is nothing of all that,
//! but for the numbers of spans in lines of JSON.

mod collector;
mod driver;
mod ended;
mod ids;
mod json;
mod requests;
pub(crate) mod span;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

pub(crate) use self::driver::DriverSpans;
pub(crate) use self::requests::{RequestSpans, read};

/// How long the end of a process waits until its last spans are sent, where the environment does not say it.
const FAREWELL: Duration = Duration::from_secs(2);

/// The standard's name of how many milliseconds sending spans may take.
const EXPORT_TIMEOUT: &str = "OTEL_BSP_EXPORT_TIMEOUT";

/// Names how lines are written: `json`, or anything else for people.
const FORMAT: &str = "VTP_LOG_FORMAT";

/// Where spans go, by the standard's names; the first that is set counts.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// What a process is called where its spans go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Service {
    /// What it does; the environment may call it otherwise.
    pub(crate) name: &'static str,
    /// Which of those that do it.
    pub(crate) instance: String,
}

/// Spans on their way; [`finish`](Self::finish) sends the last.
#[derive(Debug, Default)]
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

/// Tells of this process from now on: on stderr what `VTP_LOG` asks for, and spans where the environment says, if it is a
/// `service`. Once in a process.
pub(crate) fn start(service: Option<Service>) -> Telemetry {
    let is_json = std::env::var(FORMAT).is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    let usual = if is_json { "info" } else { "error" };
    let filter = EnvFilter::try_from_env("VTP_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let registry = tracing_subscriber::registry();
    let name = service.as_ref().map_or("vtp", |service| service.name);
    let lines = if is_json { json::JsonLines::new(name, io::stderr).boxed() } else { lines().boxed() };
    let lines = lines.with_filter(filter);
    let provider = match service {
        Some(service) if !is_off() && is_named() => provider(service).map(Some),
        _ => Ok(None),
    };
    let exported = provider.as_ref().ok().and_then(Option::as_ref);
    let numbered = (exported.is_none() && is_json && !is_off()).then(numbers);
    let tracer = exported.or(numbered.as_ref()).map(|provider| provider.tracer("vtp"));
    registry.with(lines).with(tracer.map(spans)).init();
    let exported = provider.unwrap_or_else(|error| {
        tracing::error!(%error, "spans are not exported");
        None
    });
    ended::offer(exported.as_ref());
    Telemetry(exported)
}

impl Telemetry {
    /// Sends the last spans, if a collector takes them soon.
    pub(crate) fn finish(self) {
        let told = std::env::var(EXPORT_TIMEOUT).ok().and_then(|it| it.parse().ok());
        let farewell = told.map_or(FAREWELL, Duration::from_millis);
        if let Some(Err(error)) = self.0.map(|provider| provider.shutdown_with_timeout(farewell)) {
            tracing::warn!(%error, "the last spans may be lost");
        }
    }
}

/// Whether the environment names a collector.
fn is_named() -> bool {
    let given = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    ENDPOINTS.into_iter().any(given)
}

/// Whether the environment says that nothing is to be traced.
fn is_off() -> bool {
    std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"))
}

/// What gives spans numbers, so that lines can name them, and sends them nowhere.
fn numbers() -> SdkTracerProvider {
    SdkTracerProvider::builder().with_id_generator(ids::Ids::default()).build()
}

/// What sends spans from a thread of its own: 2,048 wait for it at most, and more are dropped.
fn provider(service: Service) -> Result<SdkTracerProvider, opentelemetry_otlp::ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(collector::Collector::default())
        .with_timeout(collector::PATIENCE)
        .with_protocol(Protocol::HttpBinary)
        .build()?;
    let builder = SdkTracerProvider::builder().with_id_generator(ids::Ids::default());
    Ok(builder.with_resource(resource(service)).with_batch_exporter(exporter).build())
}

fn resource(Service { name, instance }: Service) -> Resource {
    let set = |variable: &str| std::env::var(variable).is_ok_and(|value| !value.is_empty());
    let is_named = set("OTEL_SERVICE_NAME")
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|all| all.contains("service.name="));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.map(|host| KeyValue::new("host.name", host.trim().to_owned()));
    let name = (!is_named).then(|| KeyValue::new("service.name", name));
    let own =
        [KeyValue::new("service.version", env!("CARGO_PKG_VERSION")), KeyValue::new("service.instance.id", instance)];
    Resource::builder().with_attributes(own.into_iter().chain(host).chain(name)).build()
}

/// The layer that writes lines to stderr.
fn lines<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal())
}

/// The layer that makes spans of the program's own, and of nobody else's.
fn spans<S: Subscriber + for<'a> LookupSpan<'a>>(tracer: SdkTracer) -> impl Layer<S> {
    let is_ours = |metadata: &tracing::Metadata<'_>| metadata.is_span() && metadata.target().starts_with("vtp");
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(FilterFn::new(is_ours).with_max_level_hint(LevelFilter::INFO))
}
