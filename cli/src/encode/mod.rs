//! `vtp encode`: step: turn the command line into a [request](request::EncodeRequest), give the driver an output folder, show
//! its progress, publish or clean up. In: a video. Out: a ladder and its report. Never: transcoding itself.

pub(crate) mod arguments;
pub mod driver;
pub mod failure;
mod goal;
mod keys;
pub(crate) mod made;
pub mod output;
pub mod request;
pub mod subtitles;
pub mod summary;
mod upload;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use vtp_encoder_node::cache::Cache;

use crate::exit::Failure;
use crate::fleet::submit;
use crate::place::Place;
use crate::progress::{Progress, ProgressEvent};
use crate::report::Report;
use crate::telemetry::span;
use crate::{Outcome, interrupt};
use arguments::Arguments;
use goal::Goal;
use made::{Made, show, strictly, write_report};

/// Chunks that are with a fleet at the same time: enough for it to choose from, few enough to lie on a disk.
const IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Runs the command, which was given as `words`.
///
/// # Errors
/// [`Failure`] with the exit code; nothing that looks finished is left behind then.
pub fn run(arguments: &Arguments, words: &[OsString]) -> Outcome {
    let progress = Progress::new(arguments.progress);
    let (input, fleet) = (name(&arguments.input), arguments.cluster.is_given());
    let made = span::within(tracing::info_span!("encode", input, fleet), || match fleet {
        true => submit::run(&arguments.cluster, words, &progress).map_err(|failure| arguments.doubted(failure)),
        false => here(arguments, &progress),
    });
    let shown = made.and_then(|Made { report, folder }| {
        progress.finish();
        show(&report, &folder, arguments.json)
    });
    shown.map_err(|failure| progress.fail(failure))
}

/// What a file is called, without where it is.
pub(crate) fn name(place: &Place) -> String {
    place.name().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn here(arguments: &Arguments, progress: &Progress) -> Result<Made, Failure> {
    make(arguments, None, &|event| progress.event(event), &*interrupt::listen()?)
}

/// Makes the ladder; `fleet` encodes its chunks, if there is one.
///
/// # Errors
/// [`Failure`]; nothing that looks finished is left behind then.
pub(crate) fn make(
    arguments: &Arguments,
    fleet: Option<&dyn driver::Fleet>,
    progress: &(dyn Fn(ProgressEvent) + Sync),
    cancelled: &AtomicBool,
) -> Result<Made, Failure> {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let request = arguments.request(|| if fleet.is_some() { IN_FLIGHT } else { cores() })?;
    let children = arguments.limits.children()?;
    let job = fleet.and_then(driver::Fleet::run);
    if let Some(job) = job
        && let Some(made) = goal::published(arguments, children.stores(), job)?
    {
        return Ok(made);
    }
    crate::probe::require_video(&request.input)?;
    if let Some(out) = arguments.out.path() {
        request.subtitles.files.iter().try_for_each(|file| file.require_outside(out))?;
    }
    // One looks into the source, and another is ready when the first encodes or makes sound.
    children.start_ahead(2);
    let run = job.unwrap_or_else(|| fastrand::u64(..));
    let goal = Goal::prepare(arguments, children.stores(), run)?;
    // A fleet keeps what it needs to go on.
    let keeps = fleet.is_none();
    let (cache, unopened) = if keeps { arguments.cache.open() } else { (None, None) };
    let run = driver::run(&request, goal.dirs(), &children, cache.as_ref(), fleet, progress, cancelled);
    // Whatever came of the run, what it kept counts, and what it could not keep may have found no room.
    let untrimmed = if keeps { arguments.cache.trim() } else { None };
    let unkept = cache.as_ref().and_then(Cache::trouble).map(|why| format!("not all was kept for later runs: {why}"));
    let doubts = match unopened {
        Some(unopened) => vec![unopened],
        None => unkept.into_iter().chain(untrimmed).collect(),
    };
    let driver::Outcome { report, curves } = run?;
    let report = Report { warnings: [report.warnings, doubts].concat(), ..report };
    if arguments.quality.strict_quality {
        strictly(&report)?;
    }
    span::within(tracing::info_span!("publish"), || {
        write_report(&report, &curves, &goal.dirs().out)?;
        Ok(Made { report, folder: goal.publish(progress, cancelled)? })
    })
}
