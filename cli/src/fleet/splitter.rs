//! `vtp splitter`: looks into sources, and hands out their packets to nodes. step: pull, look, deliver what was found; serve packets.
//! In: sources. Out: indexes and packets. Never: a picture decoded, but where packets don't tell the truth.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytesize::ByteSize;
use clap::Args;
use vtp_engine::coordinator::JobId;
use vtp_engine::units::ChunkIndex;
use vtp_fleet::credentials::Credentials;
use vtp_fleet::messages::{Offer, Why};
use vtp_fleet::node::{self, Outcome as Done, Settings, Work};
use vtp_fleet::transfer::quic::{Address, Client, Server, Serves, Tuning};
use vtp_fleet::transfer::{Kind, Nothing, ObjectId, Transfer as _};
use vtp_splitter::Source;

use super::access::{ListenArguments, MOST, MemberArguments, SPLITTERS, pool};
use super::member::{self, HEARTBEAT, Workplace};
use super::orders::{self, EncodeOrder, Indexed, SplitOrder};
use super::sources::Sources;
use crate::encode::failure::EncodeFailure;
use crate::exit::{Failure, InputFault};
use crate::telemetry::span;
use crate::{Outcome, plan, probe};

/// Where in its folder a splitter works; nothing else is touched there.
const WORK: &str = "vtp-splitter-work";

/// Chunks of a plan that are told at most: so many fit into a message.
const MOST_CHUNKS: usize = 25_000;

/// Look into sources and hand out their packets for a fleet, until ^C or SIGTERM
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    member: MemberArguments,

    #[command(flatten)]
    listen: ListenArguments,

    /// Sources looked into at the same time, and chunks packed at the same time [default: one a core]
    #[arg(long, value_name = "N")]
    slots: Option<NonZeroUsize>,

    /// Folder for packets; made if it is not there [default: one of its own in the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,

    /// Most bytes of packets that lie there; the oldest go first, and are made again where they are asked for
    #[arg(long, value_name = "SIZE", default_value = "4GiB")]
    keep: ByteSize,
}

impl Arguments {
    /// What the process is called.
    pub(crate) fn name(&self) -> &str {
        &self.member.name
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`](crate::exit::Failure::Usage) for what can't be reached or is set wrongly.
pub fn run(arguments: &Arguments) -> Outcome {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let slots = arguments.slots.unwrap_or_else(cores).get();
    let place = Workplace::prepare(arguments.folder.as_deref(), WORK, "splitter")?;
    member::live(2 * slots + 16, |leave| async move {
        let member = &arguments.member;
        member.metrics.serve()?;
        let (credentials, bus) = (member.credentials()?, member.connect().await?);
        let sources = Sources::new(bus.clone(), place.work.clone(), arguments.keep.as_u64(), slots);
        let serves = Serves { origin: sources.clone(), spool: Nothing };
        let server = Server::start(arguments.listen.socket(), &credentials, serves, Tuning::default())?;
        let server = Arc::new(server);
        member::show_traffic(&server);
        let origin = arguments.listen.reached_at(&server)?;
        let settings = Settings {
            node: member.node()?,
            pool: pool(SPLITTERS)?,
            slots: u16::try_from(slots).unwrap_or(u16::MAX),
            ahead: 0,
            heartbeat: HEARTBEAT,
            drain: Duration::from_secs(10),
        };
        eprintln!("{} is there, at {origin}", member.name);
        node::run(bus, settings, Looks(Arc::new(Shared { sources, origin, credentials })), leave).await?;
        server.close().await;
        Ok(())
    })
}

/// Looks into sources.
#[derive(Clone)]
struct Looks(Arc<Shared>);

struct Shared {
    sources: Sources,
    origin: String,
    credentials: Credentials,
}

impl Work for Looks {
    type Ready = ();

    async fn prepare(&self, _: Arc<Offer>) -> Result<(), Done> {
        Ok(())
    }

    async fn run(&self, offer: Arc<Offer>, (): ()) -> Done {
        let span = span::below(tracing::info_span!("index", attempt = i64::from(offer.id.attempt)), offer.trace);
        let why = |done: &Done| if let Done::Failed { message, .. } = done { Some(message.clone()) } else { None };
        span::during_with(span, self.look(&offer), why).await
    }
}

/// What would be made of a source.
///
/// # Errors
/// What another time may go well.
fn outline(source: &Source, words: EncodeOrder) -> Result<Indexed, Failure> {
    match words.arguments().and_then(|arguments| plan::outline(source, &arguments)) {
        Ok(outline) if outline.chunks.len() > MOST_CHUNKS => {
            let chunks = outline.chunks.len();
            Ok(Indexed::Unfit(format!(
                "the plan has {chunks} chunks, which is too much to tell; ask for longer segments"
            )))
        }
        Ok(outline) => Ok(Indexed::Planned(outline)),
        Err(Failure::Usage(message)) => Ok(Indexed::Unfit(message)),
        Err(Failure::Input { fault, message }) => Ok(Indexed::Unusable { fault, message }),
        Err(failure) => Err(failure),
    }
}

impl Looks {
    async fn look(&self, offer: &Offer) -> Done {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::warn!(id = %offer.id, %error, "a source was not looked into");
            Done::Failed { why: Why::Retryable, message: error.to_string() }
        };
        let order: SplitOrder = match orders::read(&offer.body) {
            Ok(order) => order,
            Err(error @ orders::Error::OtherBuild) => return Done::Unfit { message: error.to_string() },
            Err(error) => return failed(&error),
        };
        let indexed = match self.0.sources.open(order.source()).await {
            Ok(opened) if let SplitOrder::Plan(_, words) = order => match outline(&opened.source, words) {
                Ok(indexed) => indexed,
                Err(error) => return failed(&error.sentence().unwrap_or_default()),
            },
            Ok(opened) if offer.deliver.is_empty() => match probe::json(&opened.source.info, &opened.source.index) {
                Ok(told) => Indexed::Told(told),
                Err(error) => return failed(&error.sentence().unwrap_or_default()),
            },
            Ok(opened) => {
                let Ok(found) = postcard::to_allocvec(&opened.source) else {
                    return failed(&"what was found can't be written");
                };
                if let Err(error) = self.deliver(offer, found.into()).await {
                    return failed(&format!("{error:#}"));
                }
                Indexed::Found { origin: self.0.origin.clone(), stamp: opened.stamp.clone() }
            }
            Err(EncodeFailure::Input { fault, message }) => Indexed::Unusable { fault, message },
            Err(EncodeFailure::Usage(message)) => Indexed::Unusable { fault: InputFault::NotAVideo, message },
            Err(EncodeFailure::Internal(error)) => return failed(&format!("{error:#}")),
            Err(EncodeFailure::Cancelled) => return failed(&"cancelled"),
        };
        match orders::write(&indexed) {
            Ok(result) => Done::Finished { result },
            Err(error) => failed(&error),
        }
    }

    async fn deliver(&self, offer: &Offer, found: Bytes) -> anyhow::Result<()> {
        let [stitcher, ..] = &offer.deliver[..] else { anyhow::bail!("the task does not say who wants it") };
        let address: Address = stitcher.parse()?;
        // It fetches nothing.
        let nowhere = Address::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        let client = Client::new(&self.0.credentials, nowhere, address, MOST, Tuning::default())?;
        let (job, chunk, attempt) = (JobId(offer.id.job), ChunkIndex(offer.id.chunk), offer.id.attempt());
        client.deliver(ObjectId { job, chunk, attempt, kind: Kind::Index }, &found).await?;
        client.close().await;
        Ok(())
    }
}
