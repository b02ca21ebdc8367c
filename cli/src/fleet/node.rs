//! `vtp node`: encodes chunks for others until it is told to leave; then it finishes what it has, or with a second word ends at
//! once. step: join, pull, encode, deliver. In: tasks. Out: encoded chunks. Never: a source, a file of anybody else's.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::sync::watch;
use vtp_engine::limits::Limits;
use vtp_fleet::bus::nats::NatsBus;
use vtp_fleet::messages::NodeId;
use vtp_fleet::node::{self, Settings};

use super::access::{self, BusArguments, POOL};
use super::encoder::Encoder;
use crate::child::{Pool, this_program};
use crate::exit::Failure;
use crate::{Outcome, interrupt};

/// How often a node says that it is alive. A run that begins to drive hears of it by that, so it is far below a lease.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Where in its folder a node works; nothing else is touched there.
const WORK: &str = "vtp-node-work";

/// Encode chunks for runs of vtp encode --cluster, until ^C or SIGTERM; then finish what is under way and leave
#[derive(Debug, Args)]
pub struct Arguments {
    /// NATS server, such as nats://nats-1:4222
    #[arg(long, value_name = "URL")]
    cluster: String,

    /// Folder with NAME.crt, NAME.key and ca.crt, as vtp ca issue --role node writes them
    #[arg(long, value_name = "DIR")]
    credentials: PathBuf,

    /// What this node is called, which no other is
    #[arg(long, value_name = "NAME")]
    name: String,

    /// Chunks encoded at the same time [default: one a core]
    #[arg(long, value_name = "N")]
    slots: Option<NonZeroUsize>,

    /// Folder for what is under way; made if it is not there, and not shared with other nodes [default: one of its own in the
    /// system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,

    #[command(flatten)]
    bus: BusArguments,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] for what can't be reached or is set wrongly.
pub fn run(arguments: &Arguments) -> Outcome {
    let missing = super::missing_encoders();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(Failure::Usage(format!(
            "this FFmpeg has no {missing}: a node of the pool {POOL} needs every encoder"
        )));
    }
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let slots = arguments.slots.unwrap_or_else(cores).get().min(usize::from(u16::MAX));
    let own = tempfile::Builder::new().prefix("vtp-node-").tempdir();
    let own = own.map_err(|error| Failure::Internal(error.into()))?;
    let folder = arguments.folder.clone().unwrap_or_else(|| own.path().to_owned());
    // What an earlier life has left there is of no use.
    let work = folder.join(WORK);
    let cleared = match std::fs::remove_dir_all(&work) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(&work),
    };
    cleared.map_err(|error| Failure::Usage(format!("{}: {error}", work.display())))?;
    let leave = interrupt::listen()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(slots + 16).build();
    let runtime = runtime.map_err(|error| Failure::Internal(error.into()))?;
    let done = runtime.block_on(async {
        let credentials = access::load(arguments.credentials.clone(), &arguments.name)?;
        let children = Pool::new(this_program()?, Limits::DEFAULT)?;
        children.start_ahead(slots);
        let encoder = Encoder::new(credentials, children, work);
        let settings = Settings {
            node: NodeId::new(arguments.name.as_str())
                .context("a node's name has lower-case letters, digits and dashes")?,
            pool: access::pool(POOL)?,
            slots: u16::try_from(slots).unwrap_or(u16::MAX),
            heartbeat: HEARTBEAT,
        };
        let bus = arguments.bus.access(&arguments.cluster, &arguments.name)?;
        let bus = NatsBus::connect(&bus, access::terms(), 1).await?;
        eprintln!("{} is there, with {}", arguments.name, crate::text::plural(slots as u64, "slot"));
        node::run(bus, settings, encoder, leaving(&leave)).await?;
        Ok::<_, anyhow::Error>(())
    });
    done.map_err(|error| Failure::Usage(format!("{error:#}")))
}

/// Whether the node is to leave, as it can be waited for.
fn leaving(flag: &std::sync::Arc<AtomicBool>) -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(false);
    let flag = std::sync::Arc::clone(flag);
    tokio::spawn(async move {
        while !flag.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        eprintln!("leaving once what is under way is done; again to end at once");
        // The node may be gone.
        let _ = tell.send(true);
        std::future::pending::<()>().await;
    });
    told
}
