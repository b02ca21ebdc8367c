//! The peer: the same objects, in the same blocks with the same hashes, to the same landing, but by HTTP/1.1 over TCP
//! with TLS, as hyper and rustls do it. A connection for each object that is under way.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use vtp_fleet::credentials::Credentials;
use vtp_fleet::transfer::protocol::Want;
use vtp_fleet::transfer::receiving::{Pieces, receive};
use vtp_fleet::transfer::sending::Sending;
use vtp_fleet::transfer::{Error, Landed, Landing, ObjectId, Opened};

const ALPN: &[u8] = b"http/1.1";

/// Serves one object to whoever asks, until the runtime ends.
pub(super) async fn serve(credentials: &Credentials, object: Bytes) -> Result<SocketAddr> {
    let acceptor = TlsAcceptor::from(Arc::new(credentials.server(ALPN)?));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, object) = (acceptor.clone(), object.clone());
            tokio::spawn(async move {
                // A peer that goes ends its connection; there is nothing to be done about it.
                let _ = stream.set_nodelay(true);
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |_: Request<Incoming>| answer(object.clone()));
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(address)
}

type Body = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, Error>>>;

async fn answer(object: Bytes) -> Result<Response<Body>, Error> {
    let sending = Sending::new(object, Want::default()).await?;
    let start = sending.start().bytes();
    let blocks = stream::try_unfold(Some(sending), |sending| async move {
        let Some(mut sending) = sending else { return Ok::<_, Error>(None) };
        Ok(Some(match sending.next().await? {
            Some(block) => (block.to_vec(), Some(sending)),
            None => (vec![sending.end().bytes()], None),
        }))
    });
    let pieces = stream::once(async move { Ok(vec![start]) }).chain(blocks);
    let frames = pieces.flat_map(|pieces| match pieces {
        Ok(pieces) => stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece))).collect::<Vec<_>>()),
        Err(error) => stream::iter(vec![Err(error)]),
    });
    Ok(Response::new(StreamBody::new(frames.boxed())))
}

/// A connection that objects are fetched over, one after the other.
pub(super) struct Client {
    sender: SendRequest<Empty<Bytes>>,
}

impl Client {
    pub(super) async fn connect(credentials: &Credentials, address: SocketAddr) -> Result<Self> {
        let connector = TlsConnector::from(Arc::new(credentials.client(ALPN)?));
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = connector.connect(ServerName::IpAddress(address.ip().into()), stream).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    pub(super) async fn fetch(&mut self, id: ObjectId, place: &Path) -> Result<Landed> {
        let Opened::Draft(mut landing) = Landing::open(place).await? else {
            anyhow::bail!("{} is there already", place.display());
        };
        self.sender.ready().await?;
        let request = Request::get("/").header("host", "localhost").body(Empty::new()).context("making a request")?;
        let response = self.sender.send_request(request).await?;
        ensure!(response.status().is_success(), "the server answers {}", response.status());
        let mut pieces = Frames { body: response.into_body(), rest: Bytes::new() };
        let landed = receive(&mut pieces, &mut landing, id, u64::MAX).await?;
        // To the end of the body, so that the connection can be used again.
        while pieces.body.frame().await.transpose()?.is_some() {}
        Ok(landed)
    }
}

struct Frames {
    body: Incoming,
    rest: Bytes,
}

impl Pieces for Frames {
    async fn piece(&mut self, most: usize) -> Result<Bytes, Error> {
        while self.rest.is_empty() {
            let frame = self.body.frame().await.ok_or_else(|| Error::Lost("the body ended early".to_owned()))?;
            let frame = frame.map_err(|error| Error::Lost(error.to_string()))?;
            self.rest = frame.into_data().unwrap_or_default();
        }
        Ok(self.rest.split_to(most.min(self.rest.len())))
    }
}
