//! The side that answers: hands out an origin's objects, or takes objects into a spool.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use quinn::{Connection, Endpoint, Incoming, ServerConfig, TokioRuntime};
use rustls_pki_types::CertificateDer;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::StartError;
use super::tuning::{ResetKey, Tuning};
use super::wire::{DONE, FORBIDDEN, Reader, Traffic, UNABLE, Writer};
use crate::credentials::{self, Credentials, identity_of};
use crate::identity::{Identity, Role};
use crate::transfer::Error;
use crate::transfer::landing::{Landed, Landing, Opened};
use crate::transfer::object::Origin;
use crate::transfer::protocol::{ALPN, Message, ObjectId, Want};
use crate::transfer::receiving::{message, receive, unexpected};
use crate::transfer::sending::Sending;
use crate::transfer::spool::{Spool, check_size};

/// What a server does: a splitter has an origin, a stitcher a spool, and [`Nothing`](crate::transfer::Nothing) stands
/// for what it has not.
#[derive(Clone, Copy, Debug)]
pub struct Serves<O, S> {
    /// Hands objects out.
    pub origin: O,
    /// Takes objects in.
    pub spool: S,
}

/// Listens, and answers until it is closed or dropped.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    traffic: Arc<Traffic>,
}

impl Server {
    /// Listens at `address`, and answers nodes.
    ///
    /// # Errors
    /// [`StartError`]; [`StartError::Role`] if the credentials are those of a role that others don't connect to.
    /// Needs a runtime of tokio.
    pub fn start<O: Origin, S: Spool>(
        address: SocketAddr,
        credentials: &Credentials,
        serves: Serves<O, S>,
        tuning: Tuning,
    ) -> Result<Self, StartError> {
        let identity = credentials.identity();
        if !identity.role.is_origin() && !identity.role.is_spool() {
            let identity = identity.clone();
            return Err(StartError::Role { identity, what: "hand out or take in chunks", right: Role::Splitter });
        }
        let tls = credentials.server(ALPN)?;
        let crypto = Arc::new(QuicServerConfig::try_from(tls).map_err(|error| self::tls(&error))?);
        let config = ServerConfig::with_crypto(Arc::clone(&crypto) as _);
        let failed = |source| StartError::Socket { address, source };
        let socket = tuning.socket(address).map_err(failed)?;
        let runtime = Arc::new(TokioRuntime);
        let port = socket.local_addr().map_err(failed)?.port();
        let resets = ResetKey::of_server(credentials, port);
        let endpoint = Endpoint::new(tuning.endpoint(resets), Some(config), socket, runtime).map_err(failed)?;
        let traffic = Arc::new(Traffic::default());
        let shared = Arc::new(Shared { serves, tuning, traffic: Arc::clone(&traffic), claims: Claims::default() });
        tokio::spawn(listen(endpoint.clone(), crypto, shared));
        Ok(Self { endpoint, traffic })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// What has been sent and received.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Ends all connections, and waits until the other sides have been told.
    pub async fn close(&self) {
        self.endpoint.close(DONE, b"the server ends");
        self.endpoint.wait_idle().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.endpoint.close(DONE, b"the server ends");
    }
}

/// Who is at the other end, as its proven certificate says.
pub(super) fn identity(connection: &Connection) -> Option<Identity> {
    let certificates = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    identity_of(certificates.first()?)
}

/// An error that says the provider of cryptography lacks what QUIC starts with.
pub(super) fn tls(error: &NoInitialCipherSuite) -> StartError {
    StartError::Credentials(credentials::Error::Tls(error.to_string()))
}

struct Shared<O, S> {
    serves: Serves<O, S>,
    tuning: Tuning,
    traffic: Arc<Traffic>,
    claims: Claims,
}

async fn listen<O: Origin, S: Spool>(endpoint: Endpoint, crypto: Arc<QuicServerConfig>, shared: Arc<Shared<O, S>>) {
    while let Some(incoming) = endpoint.accept().await {
        // Nothing is made of a peer that has not shown that it is where it says: else datagrams with made-up senders would have
        // room taken for them, and have others sent more than was sent here.
        if !incoming.remote_address_validated() {
            if let Err(error) = incoming.retry() {
                tracing::debug!(%error, "a peer can't be asked to show where it is");
            }
            continue;
        }
        if endpoint.open_connections() > shared.tuning.connections {
            tracing::warn!(limit = shared.tuning.connections, "a connection too many is refused");
            incoming.refuse();
            continue;
        }
        let mut config = ServerConfig::with_crypto(Arc::clone(&crypto) as _);
        config.transport_config(shared.tuning.transport(incoming.remote_address()));
        tokio::spawn(connection(incoming, Arc::new(config), Arc::clone(&shared)));
    }
}

async fn connection<O: Origin, S: Spool>(incoming: Incoming, config: Arc<ServerConfig>, shared: Arc<Shared<O, S>>) {
    let peer = incoming.remote_address();
    let connecting = match incoming.accept_with(config) {
        Ok(connecting) => timeout(shared.tuning.idle, connecting).await,
        Err(error) => Ok(Err(error)),
    };
    let connection = match connecting {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::info!(%peer, %error, "a peer did not get in"),
        Err(_) => return tracing::info!(%peer, "a peer did not finish its handshake"),
    };
    let role = match identity(&connection) {
        Some(identity) if identity.role.works() => {
            tracing::debug!(%peer, %identity, "connected");
            identity.role
        }
        identity => {
            let who = identity.map_or("a peer without a role".to_owned(), |identity| identity.to_string());
            let reason = format!("{who} may neither fetch nor deliver anything; nodes and splitters do");
            tracing::warn!(%peer, %reason, "refused");
            return connection.close(FORBIDDEN, reason.as_bytes());
        }
    };
    // Ends with the connection; so do its streams.
    while let Ok((send, receive)) = connection.accept_bi().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let (stall, traffic) = (shared.tuning.stall, &*shared.traffic);
            let writer = Writer { stream: send, stall, traffic };
            shared.answer(role, writer, Reader { stream: receive, stall, traffic }).await;
        });
    }
}

impl<O: Origin, S: Spool> Shared<O, S> {
    async fn answer(&self, role: Role, mut writer: Writer<'_>, mut reader: Reader<'_>) {
        let forbidden = |what: &str| Err(Failed::ToBeTold(Error::Forbidden(format!("a {role} may not {what}"))));
        let answered = match message(&mut reader).await {
            Ok(Message::Fetch { .. }) if !role.fetches() => forbidden("fetch anything"),
            Ok(Message::Fetch { id, want }) => self.hand_out(&mut writer, id.into(), want).await,
            Ok(Message::Deliver { id, .. }) if !role.delivers(ObjectId::from(id).kind) => forbidden("deliver that"),
            Ok(Message::Deliver { id, length }) => self.take_in(&mut writer, &mut reader, id.into(), length).await,
            Ok(other) => Err(Failed::ToBeTold(unexpected(&other))),
            Err(error) => Err(Failed::ToBeTold(error)),
        };
        match answered {
            Ok(()) => {}
            // The other side may be gone; then there is nobody to tell.
            Err(Failed::ToBeTold(error)) => {
                tracing::debug!(%error, "refused");
                let _ = writer.say(Message::Refused(error.refusal())).await;
                let _ = writer.stream.finish();
                let _ = reader.stream.stop(UNABLE);
            }
            Err(Failed::BrokenOff(error)) => {
                tracing::debug!(%error, "broken off");
                let _ = writer.stream.reset(UNABLE);
            }
        }
    }

    async fn hand_out(&self, writer: &mut Writer<'_>, id: ObjectId, want: Want) -> Result<(), Failed> {
        let object = self.serves.origin.open(id).await.map_err(Failed::ToBeTold)?;
        let mut sending = Sending::new(&object, want).await.map_err(Failed::ToBeTold)?;
        writer.send(&mut sending).await.map_err(Failed::BrokenOff)
    }

    async fn take_in(
        &self,
        writer: &mut Writer<'_>,
        reader: &mut Reader<'_>,
        id: ObjectId,
        length: u64,
    ) -> Result<(), Failed> {
        let landed = async {
            let place = self.serves.spool.place(id)?;
            check_size(length, self.serves.spool.most())?;
            let claim = self.claims.take(&place);
            let mut landing = match open(&place, self.tuning.idle).await? {
                Opened::There(landed) => return Ok(landed),
                Opened::Draft(landing) => landing,
            };
            writer.say(Message::Want(landing.want())).await?;
            tokio::select! {
                landed = receive(reader, &mut landing, id, self.serves.spool.most()) => landed,
                () = claim.lost() => Err(Error::Busy),
            }
        };
        let Landed { length, root } = landed.await.map_err(Failed::ToBeTold)?;
        writer.say(Message::Receipt { length, root }).await.map_err(Failed::BrokenOff)?;
        let _ = writer.stream.finish();
        Ok(())
    }
}

/// How a stream failed: where the other side can be told in a message, or in the middle of blocks that it reads.
enum Failed {
    ToBeTold(Error),
    BrokenOff(Error),
}

/// Opens a landing; whoever holds it has been told to let go, and gets so long for it.
async fn open(place: &Path, wait: Duration) -> Result<Opened, Error> {
    let end = Instant::now() + wait;
    loop {
        match Landing::open(place).await {
            Err(Error::Busy) if Instant::now() < end => sleep(Duration::from_millis(10)).await,
            opened => return opened,
        }
    }
}

/// Who receives what: the latest. A sender that lost its connection comes again before the server knows that it is
/// gone.
#[derive(Default)]
struct Claims(Mutex<HashMap<PathBuf, Arc<Notify>>>);

impl Claims {
    /// Claims a place; whoever had it loses it.
    fn take(&self, place: &Path) -> Claim<'_> {
        let taken = Arc::new(Notify::new());
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = claims.insert(place.to_owned(), Arc::clone(&taken)) {
            earlier.notify_one();
        }
        Claim { claims: self, place: place.to_owned(), taken }
    }
}

struct Claim<'a> {
    claims: &'a Claims,
    place: PathBuf,
    taken: Arc<Notify>,
}

impl Claim<'_> {
    /// Waits until another has it.
    async fn lost(&self) {
        self.taken.notified().await;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut claims = self.claims.0.lock().unwrap_or_else(PoisonError::into_inner);
        if claims.get(&self.place).is_some_and(|current| Arc::ptr_eq(current, &self.taken)) {
            claims.remove(&self.place);
        }
    }
}
