//! Connections: step: accept, answer what comes on each, end those that say nothing. In: a listener. Out: requests, with the address that
//! they come from. Never: a connection that costs something and asks for nothing, for ever.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::router;
use crate::app::App;

/// How long requests that are under way may take when the process is to leave.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long a connection may take to say what it wants, the first time and each time after an answer.
const HEADERS: Duration = Duration::from_secs(75);
/// How often a connection that has many requests (HTTP/2) is asked whether it is there, and how long it may take to say so.
const BREATH: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// How long it is waited where no connection can be accepted: there are too many files open, say.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves requests until `leave` says so; those that are under way are answered, but for streams, which their clients begin again.
///
/// # Errors
/// The system's.
pub async fn serve(listener: TcpListener, app: App, mut leave: watch::Receiver<bool>) -> io::Result<()> {
    let router = router(app);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(BREATH.0).keep_alive_timeout(BREATH.1);
    let under_way = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Whoever would say so being gone says so, too.
            _ = leave.wait_for(|leaves| *leaves) => break,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_one(&error) {
                    tracing::error!(%error, "no connection can be accepted for the moment");
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        let (router, begun) = (router.clone(), Arc::new(Notify::new()));
        let begins = Arc::clone(&begun);
        let answer = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            begins.notify_one();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(from));
            router.clone().oneshot(request)
        });
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), answer).into_owned();
        let connection = under_way.watch(connection);
        tokio::spawn(async move {
            // Until it is known which HTTP it is, no other limit counts.
            let silence = async {
                if timeout(HEADERS, begun.notified()).await.is_ok() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, %from, "a connection broke off");
                },
                () = silence => tracing::debug!(%from, "a connection asked for nothing"),
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = under_way.shutdown() => {}
        () = tokio::time::sleep(FAREWELL) => {}
    }
    Ok(())
}

/// Whether it is only about the connection that would have been accepted.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
