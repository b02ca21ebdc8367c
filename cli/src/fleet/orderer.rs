//! Whoever orders ladders of a fleet for others: step: submit, listen, tell. In: words of `vtp encode`, sources to look at. Out: how
//! they ended. Never: an order that is given up because nobody listens.

use std::ffi::OsString;

use anyhow::{Context as _, bail};
use serde_json::Value;
use vtp_control_plane::fleet::{Made, Planned, Probed};
use vtp_engine::coordinator::{Cost, Skill, Skills};
use vtp_engine::limits::Limits;
use vtp_fleet::bus::nats::NatsBus;
use vtp_fleet::bus::{Talk as _, Topic};
use vtp_fleet::client::Client;
use vtp_fleet::ledger::{Row, Submission};
use vtp_fleet::messages::{JobNumber, NodeId, Pool, Standing, TraceContext};

use super::access::{SPLITTERS, STITCHERS};
use super::orders::{self, EncodeOrder, Encoded, IndexOrder, Indexed, SplitOrder};
use super::told::Watch;
use crate::exit::InputFault;
use crate::place::Place;
use crate::progress::ProgressEvent;
use crate::telemetry::span;

/// How urgent it is to look at a source: somebody waits for it.
const LOOK: u8 = 2;
/// And to look at one for a plan: those whose uploads wait come first.
const PLAN: u8 = 4;
/// What is said of a splitter that does something else than it was told.
const OTHER: &str = "the splitter has done something else than it should";

/// Orders ladders.
pub(crate) struct Orderer {
    bus: NatsBus,
    client: Client<NatsBus>,
}

impl Orderer {
    /// Orders over `bus`, as `name`, which nobody else has.
    ///
    /// # Errors
    /// The bus.
    pub(crate) async fn start(bus: NatsBus, name: String) -> anyhow::Result<Self> {
        let client = Client::start(bus.clone(), NodeId::new(name)?).await?;
        Ok(Self { bus, client })
    }

    /// Has the ladder of these words made, below the span `trace`, or hears how the order of this number goes on or has ended, if
    /// it was given before and is not forgotten.
    ///
    /// # Errors
    /// The fleet does not answer.
    pub(crate) async fn encode(
        &self,
        number: u64,
        (user, priority): (u64, u8),
        trace: TraceContext,
        words: Vec<OsString>,
        told: &(dyn Fn(ProgressEvent) + Sync),
    ) -> anyhow::Result<Made> {
        let job = JobNumber::kept(number).0;
        let body = orders::write(&EncodeOrder { folder: "/".into(), words })?;
        let submission = submission(job, (user, priority), trace, Skill::Stitch, body);
        let standing = tokio::select! {
            standing = self.client.carry_out(submission) => standing?,
            never = self.tell(job, told) => match never {},
        };
        let made = match standing {
            Standing::Done { made } => made.into_iter().next().context("the driver says nothing of what was made")?,
            Standing::Failed { message, .. } => return Ok(Made::Failed { code: None, message }),
            Standing::Cancelled => return Ok(Made::Cancelled),
            Standing::Unknown | Standing::Active => bail!("the driver does not know how it ended"),
        };
        Ok(match orders::read(&made.result)? {
            Encoded::Made { report: Some(report), .. } => Made::Ladder(serde_json::from_str(&report)?),
            Encoded::Made { report: None, .. } => Made::Ladder(Value::Null),
            Encoded::Failed { fault, message, .. } => Made::Failed { code: fault.map(InputFault::code), message },
        })
    }

    /// Tells what is announced of a job, for ever.
    async fn tell(&self, job: u64, told: &(dyn Fn(ProgressEvent) + Sync)) -> std::convert::Infallible {
        match self.bus.listen(Topic::Progress(job)).await {
            Ok(mut heard) => {
                let mut watch = Watch::default();
                while let Some(words) = heard.recv().await {
                    watch.hear(&words).into_iter().for_each(|news| told(news.event));
                }
            }
            Err(error) => tracing::warn!(%error, "progress is not heard"),
        }
        std::future::pending().await
    }

    /// Has a splitter look at a source.
    ///
    /// # Errors
    /// The fleet does not answer, or can't.
    pub(crate) async fn probe(&self, source: OsString) -> anyhow::Result<Probed> {
        match self.looked((0, LOOK), &SplitOrder::Index(looks_at(source)?)).await? {
            Indexed::Told(probe) => Ok(Probed::Video(serde_json::from_str(&probe)?)),
            Indexed::Unusable { fault, message } => Ok(Probed::Unusable { code: fault.code(), message }),
            Indexed::Found { .. } | Indexed::Planned(_) | Indexed::Unfit(_) => bail!(OTHER),
        }
    }

    /// Has a splitter say what `vtp encode` would make of `source`, given in `words`; for this user.
    ///
    /// # Errors
    /// The fleet does not answer, or can't.
    pub(crate) async fn plan(&self, user: u64, source: OsString, words: Vec<OsString>) -> anyhow::Result<Planned> {
        let order = SplitOrder::Plan(looks_at(source)?, EncodeOrder { folder: "/".into(), words });
        match self.looked((user, PLAN), &order).await? {
            Indexed::Planned(outline) => Ok(Planned::Outline(outline)),
            Indexed::Unfit(message) => Ok(Planned::Unfit(message)),
            Indexed::Unusable { fault, message } => Ok(Planned::Unusable { code: fault.code(), message }),
            Indexed::Found { .. } | Indexed::Told(_) => bail!(OTHER),
        }
    }

    async fn looked(&self, (user, priority): (u64, u8), order: &SplitOrder) -> anyhow::Result<Indexed> {
        let body = orders::write(order)?;
        let submission = submission(self.client.number(), (user, priority), span::current(), Skill::Split, body);
        let made = match self.client.carry_out(submission).await? {
            Standing::Done { made } => made.into_iter().next().context("the driver says nothing of what was found")?,
            Standing::Failed { message, .. } => bail!(message),
            Standing::Cancelled | Standing::Unknown | Standing::Active => bail!("nobody has looked at it"),
        };
        Ok(orders::read(&made.result)?)
    }

    /// How many chunks the nodes that are there can be at, at the same time.
    ///
    /// # Errors
    /// The fleet does not answer.
    pub(crate) async fn slots(&self) -> anyhow::Result<u32> {
        let encodes = |pool: &Pool| !matches!(pool.as_str(), SPLITTERS | STITCHERS);
        Ok(self.client.slots().await?.into_iter().filter(|(pool, _)| encodes(pool)).map(|(_, slots)| slots).sum())
    }

    /// Gives an order up.
    ///
    /// # Errors
    /// The driver does not answer.
    pub(crate) async fn cancel(&self, number: u64) -> anyhow::Result<()> {
        Ok(self.client.cancel(JobNumber::kept(number).0).await?)
    }

    /// Whether the driver answers, as far as is known.
    pub(crate) fn is_answered(&self) -> bool {
        self.client.is_answered()
    }

    /// Says that how an order ended is noted: nobody asks for it again.
    ///
    /// # Errors
    /// The driver does not answer.
    pub(crate) async fn forget(&self, number: u64) -> anyhow::Result<()> {
        Ok(self.client.forget(JobNumber::kept(number).0).await?)
    }
}

fn looks_at(source: OsString) -> anyhow::Result<IndexOrder> {
    Ok(IndexOrder { input: Place::read(source)?, limits: Limits::DEFAULT, doubt: None })
}

fn submission(job: u64, (user, priority): (u64, u8), trace: TraceContext, skill: Skill, body: Vec<u8>) -> Submission {
    Submission {
        job,
        user,
        weight: 1,
        priority,
        deadline_ms: None,
        fetch: Vec::new(),
        deliver: Vec::new(),
        trace,
        // How much it is can't be known before somebody has looked into it.
        tasks: vec![Row::new(0, Cost::from_frames(1.0), Skills::NONE.with(skill), body)],
    }
}
