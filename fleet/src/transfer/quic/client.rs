//! The side that asks: fetches from an origin, delivers to a spool.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, TokioRuntime};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::patience::Patience;
use super::tuning::{ResetKey, Tuning};
use super::wire::{DONE, FORBIDDEN, Reader, Traffic, Writer, lost};
use super::{StartError, server};
use crate::credentials::Credentials;
use crate::identity::Role;
use crate::transfer::landing::{Landed, Landing, Opened};
use crate::transfer::local::confirm;
use crate::transfer::object::Object;
use crate::transfer::protocol::{ALPN, Message, ObjectId};
use crate::transfer::receiving::{message, receive, unexpected};
use crate::transfer::sending::Sending;
use crate::transfer::{Error, Transfer};

/// Where a peer is: a host, which its certificate has to name, and a UDP port. Written `HOST:PORT`, with brackets
/// around an IPv6 address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Address {
    host: String,
    port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        match rustls_pki_types::ServerName::try_from(host) {
            Ok(_) if bare.is_some() == host.contains(':') => {
                Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| bad())? })
            }
            _ => Err(bad()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

/// What is no address.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address: it should be HOST:PORT")]
pub struct BadAddress(String);

/// How long one address of a peer may say nothing before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// A node's way to its origin and its spool. Cheap to share behind an [`Arc`].
#[derive(Debug)]
pub struct Client {
    origin: Link,
    spool: Link,
    tuning: Tuning,
    most: u64,
    traffic: Traffic,
}

impl Client {
    /// Prepares to fetch from `origin`, objects of at most `most` bytes, and to deliver to `spool`. It connects when
    /// there is something to do.
    ///
    /// # Errors
    /// [`StartError`]. Needs a runtime of tokio.
    pub fn new(
        credentials: &Credentials,
        origin: Address,
        spool: Address,
        most: u64,
        tuning: Tuning,
    ) -> Result<Self, StartError> {
        let identity = credentials.identity();
        if !identity.role.works() {
            let identity = identity.clone();
            return Err(StartError::Role { identity, what: "fetch or deliver chunks", right: Role::Node });
        }
        let endpoint = endpoint(&tuning)?;
        let tls = credentials.client(ALPN)?;
        let crypto = Arc::new(QuicClientConfig::try_from(tls).map_err(|error| server::tls(&error))?);
        let link = |address, expected| Link {
            address,
            expected,
            endpoint: endpoint.clone(),
            crypto: Arc::clone(&crypto),
            tuning,
            connection: Mutex::default(),
        };
        Ok(Self {
            origin: link(origin, Expected { role: Role::is_origin, what: "origin" }),
            spool: link(spool, Expected { role: Role::is_spool, what: "spool" }),
            tuning,
            most,
            traffic: Traffic::default(),
        })
    }

    /// What has been sent and received.
    #[must_use]
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Closes all connections, and waits until the other sides have been told.
    pub async fn close(&self) {
        self.origin.endpoint.close(DONE, b"");
        self.origin.endpoint.wait_idle().await;
    }

    async fn streams(&self, link: &Link) -> Result<(Writer<'_>, Reader<'_>), Error> {
        let connection = link.connection().await?;
        let (send, receive) = connection.open_bi().await.map_err(lost)?;
        let (stall, traffic) = (self.tuning.stall, &self.traffic);
        Ok((Writer { stream: send, stall, traffic }, Reader { stream: receive, stall, traffic }))
    }

    async fn fetch_once(&self, id: ObjectId, landing: &mut Landing) -> Result<Landed, Error> {
        let (mut writer, mut reader) = self.streams(&self.origin).await?;
        writer.say(Message::Fetch { id: id.into(), want: landing.want() }).await?;
        receive(&mut reader, landing, id, self.most).await
    }

    async fn deliver_once<O: Object>(&self, id: ObjectId, object: &O, there: &mut u64) -> Result<Landed, Error> {
        let length = object.length();
        let (mut writer, mut reader) = self.streams(&self.spool).await?;
        writer.say(Message::Deliver { id: id.into(), length }).await?;
        let want = match message(&mut reader).await? {
            Message::Want(want) => want,
            Message::Receipt { length, root } => return confirm(Landed { length, root }, object, id).await,
            Message::Refused(refusal) => return Err(Error::refused(refusal, id, length)),
            other => return Err(unexpected(&other)),
        };
        *there = want.blocks;
        let mut sending = Sending::new(object, want).await?;
        let sent = writer.send(&mut sending).await;
        if let Err(error @ (Error::Reading(_) | Error::Stalled(_))) = sent {
            return Err(error);
        }
        // A receiver that refuses stops the stream, and says why.
        match message(&mut reader).await {
            Ok(Message::Receipt { length, root }) if sending.end() == (Message::End { root }) => {
                Ok(Landed { length, root })
            }
            Ok(Message::Refused(refusal)) => Err(Error::refused(refusal, id, length)),
            Ok(other) => Err(unexpected(&other)),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }
}

impl Transfer for Client {
    async fn fetch(&self, id: ObjectId, place: &Path) -> Result<Landed, Error> {
        let mut landing = match Landing::open(place).await? {
            Opened::There(landed) => return Ok(landed),
            Opened::Draft(landing) => landing,
        };
        let mut patience = Patience::new(self.tuning.patience, Instant::now());
        loop {
            let error = match self.fetch_once(id, &mut landing).await {
                Ok(landed) => return Ok(landed),
                Err(error) => error,
            };
            tracing::debug!(%id, blocks = landing.blocks(), %error, "fetching again");
            sleep(patience.after(error, landing.blocks(), Instant::now(), fastrand::f32())?).await;
        }
    }

    async fn deliver<O: Object>(&self, id: ObjectId, object: &O) -> Result<Landed, Error> {
        let mut patience = Patience::new(self.tuning.patience, Instant::now());
        let mut there = 0;
        loop {
            let error = match self.deliver_once(id, object, &mut there).await {
                Ok(landed) => return Ok(landed),
                Err(error) => error,
            };
            tracing::debug!(%id, blocks = there, %error, "delivering again");
            sleep(patience.after(error, there, Instant::now(), fastrand::f32())?).await;
        }
    }
}

/// A socket for all connections of a client.
fn endpoint(tuning: &Tuning) -> Result<Endpoint, StartError> {
    let address = (Ipv6Addr::UNSPECIFIED, 0).into();
    let failed = |source| StartError::Socket { address, source };
    let socket = tuning.socket(address).map_err(failed)?;
    Endpoint::new(tuning.endpoint(ResetKey::by_chance()), None, socket, Arc::new(TokioRuntime)).map_err(failed)
}

/// What the peer at the other end has to be.
#[derive(Clone, Copy, Debug)]
struct Expected {
    role: fn(Role) -> bool,
    what: &'static str,
}

/// A connection to one peer, made when it is needed, and again when it is lost.
struct Link {
    address: Address,
    expected: Expected,
    endpoint: Endpoint,
    crypto: Arc<QuicClientConfig>,
    tuning: Tuning,
    connection: Mutex<Option<Connection>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Link {
    /// The connection. While one caller makes it, the others wait.
    async fn connection(&self) -> Result<Connection, Error> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| connection.close_reason().is_none()) {
            return Ok(connection.clone());
        }
        let connection = match timeout(self.tuning.idle, self.connect()).await {
            Ok(connection) => connection?,
            Err(_) => return Err(Error::Lost(format!("{} does not answer", self.address))),
        };
        Ok(slot.insert(connection).clone())
    }

    /// A connection to whichever of the peer's addresses answers.
    async fn connect(&self) -> Result<Connection, Error> {
        let failed = |error: &dyn fmt::Display| Error::Lost(format!("{}: {error}", self.address));
        let Address { host, port } = &self.address;
        let found = tokio::net::lookup_host((host.as_str(), *port)).await.map_err(|error| failed(&error))?;
        let tries = found.map(|peer| self.connect_to(peer));
        first_of(tries, HEAD_START).await.unwrap_or_else(|| Err(failed(&"it has no address")))
    }

    async fn connect_to(&self, peer: SocketAddr) -> Result<Connection, Error> {
        let failed = |error: &dyn fmt::Display| Error::Lost(format!("{}: {error}", self.address));
        let Address { host, .. } = &self.address;
        let mut config = ClientConfig::new(Arc::clone(&self.crypto) as _);
        config.transport_config(self.tuning.transport(peer));
        let connecting = self.endpoint.connect_with(config, peer, host).map_err(|error| failed(&error))?;
        let connection = connecting.await.map_err(lost)?;
        match server::identity(&connection) {
            Some(identity) if (self.expected.role)(identity.role) => Ok(connection),
            identity => {
                let identity = identity.map_or("nobody we know".to_owned(), |identity| identity.to_string());
                let reason = format!("{} is {identity}, and no {}", self.address, self.expected.what);
                connection.close(FORBIDDEN, reason.as_bytes());
                Err(Error::Forbidden(reason))
            }
        }
    }
}

/// What the first of these comes to that goes well or says that there is no point in others; the last that doesn't, where none does.
/// The next begins when one has come to nothing, or nothing was heard of those before for so long.
async fn first_of<T>(
    tries: impl Iterator<Item = impl Future<Output = Result<T, Error>>>,
    head_start: Duration,
) -> Option<Result<T, Error>> {
    let (mut tries, mut running, mut last) = (tries.fuse(), FuturesUnordered::new(), None);
    let mut is_next = true;
    loop {
        if std::mem::take(&mut is_next) {
            running.extend(tries.next());
        }
        tokio::select! {
            ended = running.next() => match ended {
                Some(Err(error)) if error.is_retryable() => (is_next, last) = (true, Some(Err(error))),
                Some(ended) => return Some(ended),
                None => return last,
            },
            () = sleep(head_start) => is_next = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_several_addresses_the_first_that_answers_is_taken() {
        let lost = || Error::Lost("nobody is there".to_owned());
        let after = |ms, ended| async move {
            sleep(Duration::from_millis(ms)).await;
            ended
        };
        let begun = tokio::time::Instant::now();
        let silent = [after(60_000, Ok(1)), after(10, Err(lost())), after(20, Ok(3)), after(0, Ok(4))];
        assert!(matches!(first_of(silent.into_iter(), HEAD_START).await, Some(Ok(3))));
        assert!(begun.elapsed() < Duration::from_secs(1));
        let gone = [after(10, Err(lost())), after(0, Err::<i32, _>(lost()))];
        assert!(matches!(first_of(gone.into_iter(), HEAD_START).await, Some(Err(Error::Lost(_)))));
        let forbidden = || Error::Forbidden("it is no origin".to_owned());
        let refused = [after(0, Err(forbidden())), after(0, Ok(2))];
        assert!(matches!(first_of(refused.into_iter(), HEAD_START).await, Some(Err(Error::Forbidden(_)))));
        assert!(first_of(std::iter::empty::<std::future::Ready<Result<i32, Error>>>(), HEAD_START).await.is_none());
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in ["origin.example.com:4433", "10.0.0.1:1", "[::1]:4433", "localhost:65535"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "origin", "origin:", ":4433", "origin:65536", "::1:4433", "[origin]:4433", "a b:1"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
