//! A collector of spans, as OpenTelemetry has them: OTLP over HTTP, read by its own definitions. It keeps what it is sent.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A span that has come.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) name: String,
    pub(crate) trace: Vec<u8>,
    pub(crate) span: Vec<u8>,
    /// Empty for a root.
    pub(crate) parent: Vec<u8>,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) fields: BTreeMap<String, String>,
    /// What is said of a failure.
    pub(crate) error: Option<String>,
}

/// A collector, gone at its end.
pub(crate) struct Collector {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _runtime: Runtime,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::default());
        runtime.spawn(serve(listener, Arc::clone(&seen)));
        Self { address, seen, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that has come.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, seen: Arc<Mutex<Vec<Seen>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let seen = Arc::clone(&seen);
        let take = service_fn(move |request| take(request, Arc::clone(&seen)));
        tokio::spawn(async move {
            // Whoever sent it may be gone.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), take).await);
        });
    }
}

async fn take(request: Request<Incoming>, seen: Arc<Mutex<Vec<Seen>>>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/traces"));
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let sent = ExportTraceServiceRequest::decode(body).unwrap();
    seen.lock().unwrap().extend(read(sent));
    Ok(Response::new(Full::default()))
}

fn read(sent: ExportTraceServiceRequest) -> Vec<Seen> {
    let mut all = Vec::new();
    for spans in sent.resource_spans {
        let of = fields(spans.resource.unwrap().attributes);
        assert_eq!(of["service.version"], env!("CARGO_PKG_VERSION"));
        for span in spans.scope_spans.into_iter().flat_map(|it| it.spans) {
            assert!(span.events.is_empty(), "what is logged is no part of a span");
            let failed = span.status.filter(|status| status.code == StatusCode::Error as i32);
            all.push(Seen {
                service: of["service.name"].clone(),
                instance: of["service.instance.id"].clone(),
                name: span.name,
                trace: span.trace_id,
                span: span.span_id,
                parent: span.parent_span_id,
                start_ns: span.start_time_unix_nano,
                end_ns: span.end_time_unix_nano,
                fields: fields(span.attributes),
                error: failed.map(|status| status.message),
            });
        }
    }
    all
}

fn fields(all: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(is) => is.to_string(),
        other => panic!("{other:?}"),
    };
    all.into_iter().map(|it| (it.key, text(it.value.unwrap().value.unwrap()))).collect()
}
