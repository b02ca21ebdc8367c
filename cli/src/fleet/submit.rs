//! `vtp encode --cluster`: has a fleet make the ladder, shows how it goes on, and waits until it is made or can't be. In: the command
//! as it was given. Out: the ladder's report. Never: a look at the source.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use vtp_engine::coordinator::{Cost, Skill, Skills};
use vtp_fleet::bus::nats::NatsBus;
use vtp_fleet::bus::{Talk as _, Topic};
use vtp_fleet::client::Client;
use vtp_fleet::ledger::{Row, Submission};
use vtp_fleet::messages::{JobNumber, NodeId, Standing};

use super::access::LoginArguments;
use super::member;
use super::orders::{self, EncodeOrder, Encoded};
use super::told::{News, Watch};
use crate::encode::made::Made;
use crate::exit::{Failure, InputFault, Left};
use crate::progress::Progress;
use crate::telemetry::span;
use crate::{interrupt, records};

/// How often it is looked whether the user has had enough.
const LOOK: Duration = Duration::from_millis(50);

/// How long is waited until the fleet knows that nobody waits for it any longer.
const FAREWELL: Duration = Duration::from_secs(5);

/// A fleet that is to make the ladder.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Fleet")]
pub(crate) struct ClusterArguments {
    /// Have a fleet make the ladder (vtp up, or vtp driver, splitter, node and stitcher) that is at these NATS servers,
    /// such as nats://nats-1:4222, parted by commas, or that of the folder of vtp up. Its splitters read the video, and
    /// its stitchers write DIR: both paths are theirs
    #[arg(long = "cluster", value_name = "URLS")]
    url: Option<String>,

    /// How urgent it is to the fleet, from 1, the most urgent, to 10
    #[arg(long, value_name = "N", default_value_t = 5, requires = "url",
          value_parser = clap::value_parser!(u8).range(1..=10))]
    priority: u8,

    #[command(flatten)]
    login: LoginArguments,
}

impl ClusterArguments {
    pub(crate) fn is_given(&self) -> bool {
        self.url.is_some()
    }
}

/// Runs the command, which was given as `words`.
///
/// # Errors
/// [`Failure`], as where it is run on this machine; a fleet that can't be reached.
pub(crate) fn run(arguments: &ClusterArguments, words: &[OsString], progress: &Progress) -> Result<Made, Failure> {
    let (interrupted, runtime) = (interrupt::listen()?, member::runtime(4)?);
    let usage = |error: anyhow::Error| Failure::Usage(crate::exit::with_causes(&error));
    let here = std::env::current_dir().context("the folder that this runs in").map_err(Failure::Internal)?;
    let order = EncodeOrder { folder: here.into(), words: without_fleet(words) };
    let body = orders::write(&order).map_err(|error| Failure::Internal(error.into()))?;
    runtime.block_on(async {
        let url = arguments.url.as_deref().context("--cluster is missing").map_err(usage)?;
        let name = format!("client-{:08x}", fastrand::u32(..));
        // Inboxes are of the connection's name, and a user may be allowed to read those of its own name alone.
        let connection = arguments.login.user().unwrap_or(&name);
        let bus = arguments.login.connect(url, connection, 1).await.map_err(usage)?;
        let job = JobNumber::kept(fastrand::u64(..)).0;
        let submission = Submission {
            job,
            user: 0,
            weight: 1,
            priority: arguments.priority,
            deadline_ms: None,
            fetch: Vec::new(),
            deliver: Vec::new(),
            trace: span::current(),
            // How much it is can't be known before somebody has looked into it.
            tasks: vec![Row::new(0, Cost::from_frames(1.0), Skills::NONE.with(Skill::Stitch), body)],
        };
        let name = NodeId::new(name).map_err(|error| Failure::Internal(error.into()))?;
        let client = Client::start(bus.clone(), name).await.map_err(|error| usage(error.into()))?;
        let (done, mut is_heard) = (client.carry_out(submission), true);
        let standing = tokio::select! {
            standing = done => standing.map_err(|error| usage(error.into()))?,
            () = watch(&bus, job, progress) => Standing::Unknown,
            () = raised(&interrupted) => {
                // It ends as cancelled, whatever else it would have ended as.
                match tokio::time::timeout(FAREWELL, client.cancel(job)).await {
                    Ok(cancelled) => cancelled.map_err(|error| usage(error.into()))?,
                    Err(_) => is_heard = false,
                }
                Standing::Cancelled
            }
        };
        // Nobody asks for it again. A driver that does not hear of it remembers it for a day.
        if let Ok(Err(error)) = tokio::time::timeout(FAREWELL, client.forget(job)).await {
            tracing::debug!(%error, "the fleet remembers a job for a while");
        }
        match is_heard {
            true => outcome(standing),
            false => Err(Failure::Interrupted(Left::Unheard)),
        }
    })
}

async fn raised(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Shows how the job goes on, for ever.
async fn watch(bus: &NatsBus, job: u64, progress: &Progress) {
    match bus.listen(Topic::Progress(job)).await {
        Ok(mut told) => {
            let mut watch = Watch::default();
            while let Some(words) = told.recv().await {
                let Some(News { is_anew, event }) = watch.hear(&words) else { continue };
                if is_anew {
                    progress.begin_anew();
                }
                progress.event(event);
            }
        }
        Err(error) => tracing::warn!(%error, "progress is not shown"),
    }
    std::future::pending().await
}

fn outcome(standing: Standing) -> Result<Made, Failure> {
    let made = match standing {
        Standing::Done { made } => made.into_iter().next(),
        Standing::Failed { message, .. } => {
            return Err(Failure::Internal(anyhow::anyhow!(message).context("the fleet could not make it")));
        }
        Standing::Cancelled => return Err(Failure::Interrupted(Left::Nothing)),
        Standing::Unknown | Standing::Active => None,
    };
    let made = made.context("the driver says nothing of what was made").map_err(Failure::Internal)?;
    match orders::read(&made.result).context("what was made").map_err(Failure::Internal)? {
        Encoded::Made { folder, report } => {
            let folder = PathBuf::from(folder);
            let report = match report {
                Some(report) => {
                    serde_json::from_str(&report).context("the report of the fleet").map_err(Failure::Internal)?
                }
                None => long_report(&folder)?,
            };
            Ok(Made { report, folder })
        }
        Encoded::Failed { exit, fault, message } => Err(failure(exit, fault, message)),
    }
}

/// A report that was too long to be told.
fn long_report(folder: &Path) -> Result<crate::report::Report, Failure> {
    records::report(folder).map_err(|error| {
        Failure::Usage(format!(
            "the ladder is made, in {}, but its report is long and can't be read from here: {error}",
            folder.display()
        ))
    })
}

fn failure(exit: u8, fault: Option<InputFault>, message: String) -> Failure {
    match (exit, fault) {
        (_, Some(fault)) => Failure::Input { fault, message },
        (crate::exit::USAGE, None) => Failure::Usage(message),
        (crate::exit::QUALITY, None) => Failure::Quality(message),
        (_, None) => Failure::Internal(anyhow::anyhow!(message)),
    }
}

/// The words without those that say where the fleet is, and who we are to it: secrets stay here.
fn without_fleet(words: &[OsString]) -> Vec<OsString> {
    const OURS: [&str; 4] = ["--cluster", "--nats-login", "--nats-roots", "--priority"];
    let mut kept = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            kept.push(word.clone());
            break;
        }
        let is_one = |name: &str| word == name || word.as_bytes().starts_with(format!("{name}=").as_bytes());
        match OURS.into_iter().find(|name| is_one(name)) {
            Some(name) if word == OsStr::new(name) => drop(words.next()),
            Some(_) => {}
            None => kept.push(word.clone()),
        }
    }
    kept.extend(words.cloned());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let kept: Vec<String> =
            without_fleet(&words).into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
        kept.join(" ")
    }

    #[test]
    fn what_the_fleet_is_told_says_nothing_of_how_it_is_reached() {
        assert_eq!(kept("in.mp4 --cluster nats://a:1 --out d"), "in.mp4 --out d");
        assert_eq!(kept("--nats-login=u:secret in.mp4 --nats-roots ca.pem --out d"), "in.mp4 --out d");
        assert_eq!(kept("in.mp4 --out d --priority 3 --speed fast"), "in.mp4 --out d --speed fast");
        assert_eq!(kept("--out d --cluster u -- --cluster"), "--out d -- --cluster");
    }

    #[test]
    fn failures_are_told_as_they_would_be_on_this_machine() {
        assert_eq!(failure(3, Some(InputFault::Corrupt), "x".to_owned()).code(), 3);
        assert_eq!(failure(2, None, "x".to_owned()).message().as_deref(), Some("error: x"));
        assert_eq!(failure(4, None, "x".to_owned()).code(), 4);
        assert_eq!(failure(1, None, "x".to_owned()).code(), 1);
        assert_eq!(outcome(Standing::Cancelled).unwrap_err().code(), 130);
    }
}
