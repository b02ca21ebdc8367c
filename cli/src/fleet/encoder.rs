//! What a node does with a task: step: fetch the chunk's packets, encode them in children, deliver what came of it. In: a
//! task's body, its origin and its spool. Out: an encoded chunk, on the spool's disk. Never: a look at the source.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{Instrument as _, Span, field};
use vtp_engine::coordinator::JobId;
use vtp_engine::units::ChunkIndex;
use vtp_fleet::credentials::Credentials;
use vtp_fleet::messages::{Offer, Why};
use vtp_fleet::metrics::FRAMES;
use vtp_fleet::node::{Outcome, Work};
use vtp_fleet::transfer::quic::{Address, Client, StartError, Tuning};
use vtp_fleet::transfer::{self, FileObject, Kind, Object as _, ObjectId, Transfer};

use super::access::MOST;
use super::member::Stop;
use super::orders;
use crate::child::{self, Pool};
use crate::encode::driver::ChunkError;
use crate::telemetry::span;
use crate::work::{self, ChunkOrder, Workplace};

/// How long a node looks for an origin or a spool that does not answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it asks again an origin that is there and has said nothing for so long: it may be looking into the source first.
const SILENCES: u32 = 4;
/// How long a connection is kept that no task needs.
const IDLE: Duration = Duration::from_secs(300);
/// A chunk's packets, in its folder.
const PACKETS: &str = "packets";

/// Encodes for others. Clones share its children and its connections.
#[derive(Clone)]
pub(super) struct Encoder(Arc<Shared>);

struct Shared {
    credentials: Credentials,
    children: Pool,
    /// Where what is under way lies.
    folder: PathBuf,
    /// One for each pair of origin and spool, and when it was asked for last.
    clients: Mutex<Clients<Arc<Client>>>,
}

type Clients<C> = HashMap<(Address, Address), (C, Instant)>;

/// Why a task came to nothing.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the task: {0}")]
    Order(#[from] orders::Error),
    #[error("the task does not say where its packets are, or where they go")]
    Nowhere,
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Transfer(#[from] transfer::Error),
    #[error(transparent)]
    Child(#[from] child::Error),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("the thread that encodes has ended: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// What is at fault where a task came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// This node, which would do no better with another task.
    Node,
    /// The task, or nobody.
    Task(Why),
}

impl Error {
    fn fault(&self) -> Fault {
        use transfer::Error::{Forbidden, Reading, Writing};
        match self {
            // Everything on this disk is the node's own.
            Self::Start(_)
            | Self::File { .. }
            | Self::Transfer(Forbidden(_) | Reading(_) | Writing { .. })
            | Self::Child(child::Error::Spool { .. } | child::Error::Start(_)) => Fault::Node,
            Self::Order(_) | Self::Nowhere => Fault::Task(Why::Retryable),
            Self::Transfer(error) if error.is_retryable() => Fault::Task(Why::Retryable),
            Self::Transfer(_) => Fault::Task(Why::Permanent),
            Self::Thread(_) => Fault::Task(Why::Crash),
            Self::Child(error) => Fault::Task(ChunkError::kind_of(error).into()),
        }
    }
}

/// Where a task's work lies; gone with the last who works there, also where the task is given up. What a killed node leaves is
/// cleared away when it starts again.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.0.display(), %error, "left behind");
            }
            _ => {}
        }
    }
}

/// A chunk whose packets are there.
pub(super) struct Fetched {
    order: ChunkOrder,
    folder: Arc<Folder>,
    client: Arc<Client>,
    /// What is told of all that is done with it.
    span: Span,
}

impl Encoder {
    /// One whose work lies in `folder`, which exists. Needs a runtime of tokio.
    pub(super) fn new(credentials: Credentials, children: Pool, folder: PathBuf) -> Self {
        let shared = Arc::new(Shared { credentials, children, folder, clients: Mutex::default() });
        tokio::spawn(let_go(Arc::downgrade(&shared)));
        Self(shared)
    }

    async fn fetch(&self, offer: &Offer, span: Span) -> Result<Fetched, Error> {
        let order = orders::read::<ChunkOrder>(&offer.body)?;
        Span::current().record("frames", span::number(order.task.frames.len()));
        let folder = Arc::new(Folder(self.0.folder.join(offer.id.to_string().replace(':', "-"))));
        tokio::fs::create_dir_all(&folder.0).await.map_err(failed(&folder.0))?;
        let client = self.client(offer).await?;
        let archive = folder.0.join(PACKETS);
        span::during(tracing::info_span!("fetch"), patiently(&*client, object(offer, Kind::Packets), &archive)).await?;
        Ok(Fetched { order, folder, client, span })
    }

    async fn carry_out(&self, offer: &Offer, fetched: Fetched) -> Result<(), Error> {
        let Fetched { order, folder, client, .. } = fetched;
        let (archive, delivery) = (folder.0.join(PACKETS), folder.0.join("delivery"));
        let stop = Stop(Arc::new(AtomicBool::new(false)));
        let (shared, stopped, kept, to) =
            (Arc::clone(&self.0), Arc::clone(&stop.0), Arc::clone(&folder), delivery.clone());
        let frames = order.task.frames.len() as u64;
        let span = tracing::info_span!("encode");
        let encode = move || {
            let place = Workplace { archive: &archive, folder: &kept.0, delivery: &to };
            let work = || work::from_archive(&order, place, &shared.children, &stopped);
            span::within(span, work)
        };
        tokio::task::spawn_blocking(encode).await??;
        metrics::counter!(FRAMES).increment(frames);
        let made = FileObject::open(&delivery).map_err(failed(&delivery))?;
        let span = tracing::info_span!("deliver", bytes = span::number(made.length()));
        span::during(span, client.deliver(object(offer, Kind::Encoded), &made)).await?;
        Ok(())
    }

    async fn client(&self, offer: &Offer) -> Result<Arc<Client>, Error> {
        let first = |addresses: &[String]| addresses.first().and_then(|it| it.parse::<Address>().ok());
        let (Some(origin), Some(spool)) = (first(&offer.fetch), first(&offer.deliver)) else {
            return Err(Error::Nowhere);
        };
        let mut clients = self.0.clients.lock().await;
        let now = Instant::now();
        if let Some((client, asked)) = clients.get_mut(&(origin.clone(), spool.clone())) {
            *asked = now;
            return Ok(Arc::clone(client));
        }
        // A run that is gone is not to keep a slot for long: its tasks are nobody's, and those of others are not done meanwhile.
        let tuning = Tuning { patience: PATIENCE, ..Tuning::default() };
        let client = Client::new(&self.0.credentials, origin.clone(), spool.clone(), MOST, tuning)?;
        let client = Arc::new(client);
        clients.insert((origin, spool), (Arc::clone(&client), now));
        Ok(client)
    }
}

/// Lets go of connections that no task needs: runs end, and stitchers and splitters come and go.
async fn let_go(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(IDLE / 5).await;
        let Some(shared) = shared.upgrade() else { return };
        let idle = idle(&mut *shared.clients.lock().await, Instant::now());
        for client in idle {
            client.close().await;
        }
    }
}

/// Takes out those that nobody has and that were not asked for lately.
fn idle<C>(clients: &mut Clients<Arc<C>>, now: Instant) -> Vec<Arc<C>> {
    let is_idle = |(client, asked): &mut (Arc<C>, Instant)| Arc::strong_count(client) == 1 && *asked + IDLE <= now;
    clients.extract_if(|_, it| is_idle(it)).map(|(_, (client, _))| client).collect()
}

/// Fetches an object. An origin that is there and says nothing is asked again: it takes time to look into a source.
async fn patiently(client: &impl Transfer, id: ObjectId, to: &Path) -> Result<(), transfer::Error> {
    let mut silences = 0;
    loop {
        match client.fetch(id, to).await {
            Err(error) if is_silence(&error) && silences < SILENCES => silences += 1,
            fetched => return fetched.map(drop),
        }
    }
}

fn is_silence(error: &transfer::Error) -> bool {
    match error {
        transfer::Error::Stalled(_) => true,
        transfer::Error::GaveUp { cause, .. } => is_silence(cause),
        _ => false,
    }
}

impl Work for Encoder {
    type Ready = Fetched;

    async fn prepare(&self, offer: Arc<Offer>) -> Result<Fetched, Outcome> {
        let (chunk, attempt) = (i64::from(offer.id.chunk), i64::from(offer.id.attempt));
        let span = tracing::info_span!("chunk", chunk, attempt, frames = field::Empty);
        let span = span::below(span, offer.trace);
        let fetched = self.fetch(&offer, span.clone()).instrument(span).await;
        fetched.map_err(|error| match error {
            // Neither the chunk nor this node is at fault.
            Error::Transfer(error) if is_silence(&error) => Outcome::PutDown { message: error.to_string() },
            error => nothing(&offer, error),
        })
    }

    async fn run(&self, offer: Arc<Offer>, fetched: Fetched) -> Outcome {
        match span::during(fetched.span.clone(), self.carry_out(&offer, fetched)).await {
            Ok(()) => Outcome::Finished { result: Vec::new() },
            Err(error) => nothing(&offer, error),
        }
    }
}

/// A task that has come to nothing.
fn nothing(offer: &Offer, error: Error) -> Outcome {
    if let Error::Order(error @ orders::Error::OtherBuild) = error {
        return Outcome::Unfit { message: error.to_string() };
    }
    let message = error.to_string();
    match error.fault() {
        Fault::Node => Outcome::Unable { message },
        Fault::Task(why) => {
            tracing::warn!(id = %offer.id, message, "a task came to nothing");
            Outcome::Failed { why, message }
        }
    }
}

/// What of a task's chunk travels.
fn object(offer: &Offer, kind: Kind) -> ObjectId {
    let (job, chunk) = (JobId(offer.id.job), ChunkIndex(offer.id.chunk));
    ObjectId { job, chunk, attempt: offer.id.attempt(), kind }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::File { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_let_go_of_that_no_task_has_or_had_lately() {
        let now = Instant::now();
        let at = |port: u16| Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        let needed = Arc::new(2);
        let mut clients: Clients<Arc<i32>> = HashMap::from([
            ((at(1), at(9)), (Arc::new(1), now)),
            ((at(2), at(9)), (Arc::clone(&needed), now)),
            ((at(3), at(9)), (Arc::new(3), now + IDLE / 2)),
        ]);
        assert!(idle(&mut clients, now).is_empty());
        assert_eq!(idle(&mut clients, now + IDLE), [Arc::new(1)]);
        drop(needed);
        assert_eq!(idle(&mut clients, now + IDLE), [Arc::new(2)]);
        assert_eq!(clients.len(), 1);
    }

    /// An origin that says nothing so many times.
    struct Silent(std::sync::atomic::AtomicU32);

    impl transfer::Transfer for Silent {
        async fn fetch(&self, _: ObjectId, _: &Path) -> Result<transfer::Landed, transfer::Error> {
            let one_less = |left: u32| left.checked_sub(1);
            let order = std::sync::atomic::Ordering::Relaxed;
            match self.0.fetch_update(order, order, one_less) {
                Ok(_) => {
                    let after = Duration::from_secs(30);
                    Err(transfer::Error::GaveUp { after, cause: Box::new(transfer::Error::Stalled(after)) })
                }
                Err(_) => Err(transfer::Error::Busy),
            }
        }

        async fn deliver<O: transfer::Object>(&self, _: ObjectId, _: &O) -> Result<transfer::Landed, transfer::Error> {
            Err(transfer::Error::Unable)
        }
    }

    #[tokio::test]
    async fn an_origin_that_is_there_and_says_nothing_is_asked_again() {
        let id = ObjectId {
            job: JobId(1),
            chunk: ChunkIndex(2),
            attempt: vtp_engine::units::Attempt(1),
            kind: Kind::Packets,
        };
        let asked = async |silences: u32| patiently(&Silent(silences.into()), id, Path::new("nowhere")).await;
        assert!(matches!(asked(SILENCES).await, Err(transfer::Error::Busy)), "it answers in the end");
        assert!(is_silence(&asked(SILENCES + 1).await.unwrap_err()));
    }

    #[test]
    fn what_another_node_may_do_better_is_tried_again() {
        assert_eq!(Error::Nowhere.fault(), Fault::Task(Why::Retryable));
        assert_eq!(Error::Order(orders::Error::OtherBuild).fault(), Fault::Task(Why::Retryable));
    }

    #[test]
    fn a_full_disk_or_a_certificate_that_nobody_accepts_is_no_fault_of_the_task() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let path = || PathBuf::from("packets");
        let of_node = [
            Error::File { path: path(), error: full() },
            Error::Transfer(transfer::Error::Writing { path: path(), source: full() }),
            Error::Transfer(transfer::Error::Forbidden("the peer does not accept this one".to_owned())),
            Error::Child(child::Error::Spool { path: path(), error: full() }),
            Error::Child(child::Error::Start(std::io::Error::from_raw_os_error(11))),
        ];
        of_node.iter().for_each(|error| assert_eq!(error.fault(), Fault::Node, "{error}"));
        assert_eq!(Error::Transfer(transfer::Error::NotWhole).fault(), Fault::Task(Why::Retryable));
    }
}
