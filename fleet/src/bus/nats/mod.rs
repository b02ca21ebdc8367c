//! A bus on NATS JetStream, server 2.10 or newer.
//!
//! `streams.rs` says which streams and consumers there are and with which limits, `reconcile.rs` makes the server agree,
//! `lane.rs` pulls from one consumer, `tasks.rs` and `news.rs` are the two sides. docs/bus.md explains all of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::connection::State;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use tokio::sync::Semaphore;

use super::{Band, Bus, Controls, Error, Terms};
use crate::messages::{self, Control, NodeId, Offer, Pool, Report};

mod lane;
mod news;
mod reconcile;
mod streams;
mod talk;
mod tasks;

pub use news::NatsNews;
pub use tasks::{NatsReceipt, NatsTasks};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the server says that it is there while it has no news. A driver that misses two counts itself as cut off, long before
/// it would count nodes as gone.
const BEAT: Duration = Duration::from_secs(3);
/// How many tasks are on their way to the server together, and how many such parts at a time. The context has 5,000 permits, and
/// whoever is given none waits until others have their answers: it must not be that all wait for permits and nobody for answers.
const PART: usize = 500;
const PARTS: usize = 8;

/// Where the server is, and who we are to it.
#[derive(Clone, Debug)]
pub struct Access {
    /// Servers of one cluster, such as `nats://nats-1:4222`; `tls://` where TLS is asked for.
    pub servers: Vec<String>,
    /// Who we are.
    pub login: Login,
    /// The certificates that the server's is signed by, in a PEM file, if not those of the system.
    pub roots: Option<PathBuf>,
    /// Our own certificate and key, in PEM files.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The name that the server's monitoring shows for this connection, and of which its inboxes are.
    pub name: String,
}

/// Who we are to the server.
#[derive(Clone, Default)]
pub enum Login {
    /// Nobody in particular, or who our certificate says.
    #[default]
    None,
    /// A user with a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// The holder of an NKey, by its seed.
    NKey(String),
    /// A file with a JWT and an NKey's seed.
    Credentials(PathBuf),
}

/// Shows no secret.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Password { user, .. } => f.debug_struct("Password").field("user", user).finish_non_exhaustive(),
            Self::NKey(_) => f.write_str("NKey"),
            Self::Credentials(path) => f.debug_tuple("Credentials").field(path).finish(),
        }
    }
}

impl Access {
    /// Without a login.
    pub fn anonymous(server: impl Into<String>, name: impl Into<String>) -> Self {
        Self { servers: vec![server.into()], login: Login::None, roots: None, certificate: None, name: name.into() }
    }
}

/// A bus on NATS JetStream. Clones share the connection.
#[derive(Clone, Debug)]
pub struct NatsBus {
    client: async_nats::Client,
    context: jetstream::Context,
    terms: Terms,
    /// On how many servers each stream is kept.
    replicas: usize,
    /// Counts the connections that were made: a pull request dies with the one that it was made on.
    connections: Arc<AtomicU64>,
    /// One for each part that is being published.
    parts: Arc<Semaphore>,
}

impl NatsBus {
    /// Connects. Later losses of the connection are made good in the background, for as long as it takes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no server answers, or none lets us in.
    pub async fn connect(access: &Access, terms: Terms, replicas: usize) -> Result<Self, Error> {
        let connections = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&connections);
        let mut options = options(&access.login)
            .await?
            .name(&access.name)
            // Of our own name, so that a server can let us read our inboxes and nobody else's.
            .custom_inbox_prefix(format!("_INBOX.{}", access.name))
            .ping_interval(Duration::from_secs(10))
            .request_timeout(Some(PATIENCE))
            .event_callback(move |event| {
                let count = Arc::clone(&count);
                async move {
                    match event {
                        async_nats::Event::Connected => {
                            count.fetch_add(1, Ordering::AcqRel);
                        }
                        event => tracing::warn!(%event, "the connection to NATS"),
                    }
                }
            });
        if let Some(roots) = &access.roots {
            options = options.add_root_certificates(roots.clone());
        }
        if let Some((certificate, key)) = &access.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        let client = options.connect(access.servers.clone()).await;
        let client = client.map_err(|error| Error::Unavailable(format!("{}: {error}", access.servers.join(", "))))?;
        let context = ContextBuilder::new().timeout(PATIENCE).ack_timeout(PATIENCE).build(client.clone());
        Ok(Self { client, context, terms, replicas, connections, parts: Arc::new(Semaphore::new(PARTS)) })
    }

    fn connection(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }

    /// Whether there is no connection at this moment.
    fn is_cut_off(&self) -> bool {
        self.client.connection_state() != State::Connected
    }

    /// Nothing, where there is a connection.
    fn reach(&self) -> Result<(), Error> {
        if self.is_cut_off() { Err(unavailable("the connection is lost")) } else { Ok(()) }
    }

    async fn lane(&self, stream: String, consumer: &str, beat: Option<Duration>) -> Result<lane::Lane, Error> {
        lane::Lane::open(self.clone(), stream, consumer, beat).await
    }

    /// Publishes as many as may be on their way together.
    async fn publish_part(&self, offers: &[Offer]) -> Result<(), Error> {
        let _permit = self.parts.acquire().await.map_err(unavailable)?;
        let mut acks = Vec::with_capacity(offers.len());
        for offer in offers {
            let subject = streams::task_subject(&offer.pool, offer.priority);
            let message = PublishMessage::build().payload(messages::encode(offer)?).message_id(offer.id.to_string());
            acks.push(self.context.send_publish(subject, message).await.map_err(unavailable)?.into_future());
        }
        // All are on their way; now all answers.
        try_join_all(acks).await.map(drop).map_err(unavailable)
    }
}

async fn options(login: &Login) -> Result<ConnectOptions, Error> {
    let options = ConnectOptions::new();
    Ok(match login {
        Login::None => options,
        Login::Password { user, password } => options.user_and_password(user.clone(), password.clone()),
        Login::NKey(seed) => options.nkey(seed.clone()),
        Login::Credentials(path) => options
            .credentials_file(path)
            .await
            .map_err(|error| Error::Misconfigured(format!("{}: {error}", path.display())))?,
    })
}

pub(super) fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(error.to_string())
}

impl Bus for NatsBus {
    type Tasks = NatsTasks;
    type News = NatsNews;
    type Controls = NatsControls;

    async fn prepare(&self, pools: &[Pool]) -> Result<(), Error> {
        reconcile::reconcile(&self.context, &streams::wanted(pools, &self.terms, self.replicas)).await
    }

    async fn publish(&self, offers: Vec<Offer>) -> Result<(), Error> {
        for part in offers.chunks(PART) {
            self.publish_part(part).await?;
        }
        Ok(())
    }

    async fn tasks(&self, pools: &[Pool]) -> Result<NatsTasks, Error> {
        let mut lanes = Vec::new();
        for band in Band::ALL {
            for pool in pools {
                lanes.push((band, self.lane(streams::task_stream(pool, band), streams::NODES, None).await?));
            }
        }
        Ok(NatsTasks::new(self.clone(), lanes))
    }

    async fn report(&self, report: &Report) -> Result<(), Error> {
        let id = format!("{}:{}:{}", report.node, report.session, report.sequence);
        let message = PublishMessage::build().payload(messages::encode(report)?).message_id(id);
        let subject = streams::event_subject(&report.node);
        self.context.send_publish(subject, message).await.map_err(unavailable)?.await.map_err(unavailable)?;
        Ok(())
    }

    async fn news(&self) -> Result<NatsNews, Error> {
        reconcile::take_over(&self.context, streams::EVENTS, streams::DRIVER).await?;
        let events = self.lane(streams::EVENTS.to_owned(), streams::DRIVER, Some(BEAT)).await?;
        let advisories = self.lane(streams::ADVISORIES.to_owned(), streams::DRIVER, Some(BEAT)).await?;
        Ok(NatsNews::new(self.context.clone(), events, advisories))
    }

    async fn control(&self, node: &NodeId, control: &Control) -> Result<(), Error> {
        let bytes = messages::encode(control)?;
        self.client.publish(streams::control_subject(node), bytes).await.map_err(unavailable)
    }

    async fn controls(&self, node: &NodeId) -> Result<NatsControls, Error> {
        let subscriber = self.client.subscribe(streams::control_subject(node)).await.map_err(unavailable)?;
        // The server hears of it before our first report, to which the driver may have something to say.
        self.client.flush().await.map_err(unavailable)?;
        Ok(NatsControls(subscriber))
    }
}

/// Words to a node over NATS.
#[derive(Debug)]
pub struct NatsControls(async_nats::Subscriber);

impl Controls for NatsControls {
    async fn next(&mut self) -> Option<Control> {
        loop {
            match messages::decode(&self.0.next().await?.payload) {
                Ok(control) => return Some(control),
                Err(error) => tracing::warn!(%error, "a word from the driver is not understood"),
            }
        }
    }
}
