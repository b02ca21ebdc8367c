//! `vtp node`: encodes chunks for others until it is told to leave; then it finishes what it has begun, or hands it back,
//! or with a second word ends at once. step: join, pull, fetch the next chunk's packets while others are encoded, encode,
//! deliver. In: tasks. Out: encoded chunks. Never: a source, a file of anybody else's.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use vtp_engine::limits::Limits;
use vtp_fleet::node::{self, Settings};

use super::access::{AHEAD, MemberArguments, NODES, pool};
use super::encoder::Encoder;
use super::member::{self, HEARTBEAT, Workplace};
use crate::child::{Pool, this_program};
use crate::exit::Failure;
use crate::{Outcome, parse, text};

/// Where in its folder a node works; nothing else is touched there.
const WORK: &str = "vtp-node-work";

/// Encode chunks for a fleet, until ^C or SIGTERM; then finish what is under way and leave
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    member: MemberArguments,

    /// Chunks encoded at the same time [default: one a core]
    #[arg(long, value_name = "N")]
    slots: Option<NonZeroUsize>,

    /// Folder for what is under way; made if it is not there, and not shared with other nodes [default: one of its own in
    /// the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,

    /// How long it may take to finish what is under way before that is handed back to others
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = parse::duration)]
    drain: Duration,
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
/// [`Failure::Usage`] for what can't be reached or is set wrongly.
pub fn run(arguments: &Arguments) -> Outcome {
    let missing = super::missing_encoders();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(Failure::Usage(format!(
            "this FFmpeg has no {missing}: a node of the pool {NODES} needs every encoder"
        )));
    }
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let slots = arguments.slots.unwrap_or_else(cores).get().min(usize::from(u16::MAX));
    let place = Workplace::prepare(arguments.folder.as_deref(), WORK, "node")?;
    member::live(slots + 16, |leave| async move {
        let member = &arguments.member;
        member.metrics.serve()?;
        let children = Pool::new(this_program()?, Limits::DEFAULT)?;
        children.start_ahead(slots);
        let encoder = Encoder::new(member.credentials()?, children, place.work.clone());
        let settings = Settings {
            node: member.node()?,
            pool: pool(NODES)?,
            slots: u16::try_from(slots).unwrap_or(u16::MAX),
            ahead: AHEAD,
            heartbeat: HEARTBEAT,
            drain: arguments.drain,
        };
        let bus = member.connect().await?;
        eprintln!("{} is there, with {}", member.name, text::plural(slots as u64, "slot"));
        node::run(bus, settings, encoder, leave).await?;
        Ok(())
    })
}
