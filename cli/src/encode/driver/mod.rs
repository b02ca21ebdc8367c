//! The local driver: runs the whole pipeline on this machine.
//!
//! * step: index and plan, then chunks (workers), audio and stitching at once, then the proof
//! * in: an [`EncodeRequest`] and two folders
//! * out: a complete ladder and its [`Report`]
//! * never: a manifest without proof, a write to the source
//!
//! Where the frames that come out of a chunk are not those that the index expects, the source is indexed again by
//! decoding it (a census), and where even that does not agree, it is encoded as one chunk, in order.

mod archive;
mod audio;
mod crew;
mod making;
mod pass;
mod report;
mod run;
mod subtitles;
mod survey;
mod tally;
mod ticks;
mod timing;
mod turns;

use std::sync::atomic::AtomicBool;

use vtp_encoder_node::cache::Cache;
use vtp_engine::index::FrameList;
use vtp_engine::ladder::{FactorRequest, Ladder, LadderRequest, Rendition, ladder, smart};

use crate::child::Pool;
use crate::curves::Curves;
use crate::encode::failure::EncodeFailure;
use crate::encode::output::Dirs;
use crate::encode::request::EncodeRequest;
use crate::exit::InputFault;
use crate::progress::ProgressEvent;
use crate::report::{Choice, Report};
use crate::telemetry::span;
pub use crew::{ChunkError, Fleet, Pack};
use making::Made;
pub(crate) use making::copied;
use pass::{Pass, PassError};
use timing::Stopwatch;

/// What a finished run leaves besides its files.
#[derive(Debug)]
pub struct Outcome {
    /// What was made of what, and how.
    pub report: Report,
    /// What the renditions are like over time.
    pub curves: Curves,
}

/// Encodes `request.input` into `dirs.out`, spooling in `dirs.work`; `children` do what touches the source, and what is in
/// `cache` is not encoded again. Chunks are encoded by `fleet`, if there is one. Everything but the report is in place when it
/// returns `Ok`; whoever calls it removes what is there when it returns an error.
///
/// # Errors
/// See [`EncodeFailure`].
pub fn run(
    request: &EncodeRequest,
    dirs: &Dirs,
    children: &Pool,
    cache: Option<&Cache>,
    fleet: Option<&dyn Fleet>,
    progress: &(dyn Fn(ProgressEvent) + Sync),
    cancel: &AtomicBool,
) -> Result<Outcome, EncodeFailure> {
    let mut watch = Stopwatch::start();
    let files = &subtitles::read(&request.subtitles, children.limits())?;
    progress(ProgressEvent::Stage("indexing".into()));
    let elsewhere = |doubt: Option<&str>| fleet.map_or(Ok(None), |fleet| fleet.index(&request.input, doubt, cancel));
    let (file, mut source) = span::within(tracing::info_span!("index"), || {
        Ok::<_, EncodeFailure>(match elsewhere(None)? {
            Some(source) => (children.open(&request.input)?, source),
            None => children.index(&request.input, cancel)?,
        })
    })?;
    watch.lap("index");
    let mut in_one_chunk = false;
    loop {
        let Ladder { renditions, warnings } = ladder(&request.ladder, &source.info, &request.options)?;
        let adoption = &children.adoption(&file, &source)?;
        let archive = archive::rendition(request, &source)?;
        let (renditions, archive) = (&renditions, archive.as_ref());
        let pass = Pass {
            request,
            source: &source,
            files,
            renditions,
            archive,
            dirs,
            progress,
            cancel,
            children,
            adoption,
            cache,
            fleet,
            in_one_chunk,
        };
        match with_ladder(&pass, &mut watch) {
            Ok((made, choices)) => {
                // What they took counts once they have ended.
                children.close();
                let curves = report::curves(&made.published);
                return Ok(Outcome { report: report::build(&pass, made, choices, warnings, &watch), curves });
            }
            Err(PassError::Failure(failure)) => return Err(failure),
            Err(PassError::OtherFrames(doubt)) => {
                dirs.clear().map_err(|error| EncodeFailure::Internal(error.into()))?;
                progress(ProgressEvent::Stage("indexing by decoding".into()));
                match source.index.frame_list {
                    FrameList::Packets => {
                        source = span::within(tracing::info_span!("index", doubt), || {
                            Ok::<_, EncodeFailure>(match elsewhere(Some(&doubt))? {
                                Some(source) => source,
                                None => children.census(adoption, &doubt, cancel)?,
                            })
                        })?;
                    }
                    FrameList::Census if !in_one_chunk => in_one_chunk = true,
                    FrameList::Census => return Err(undecodable(&doubt)),
                }
                watch.lap("index");
            }
        }
    }
}

/// Runs the pass, with what its ladder is after a trial if that is asked for. A source that is not safely decoded in
/// parts is not tried; it gets all rungs, and so does one of which no part can be tried.
fn with_ladder(pass: &Pass<'_>, watch: &mut Stopwatch) -> Result<(Made, Vec<Choice>), PassError> {
    if pass.request.ladder != LadderRequest::Smart || pass.in_one_chunk {
        return Ok((making::make(pass, watch)?, Vec::new()));
    }
    let trials = span::within(tracing::info_span!("survey"), || survey::survey(pass))?;
    watch.lap("survey");
    let target = pass.request.check.map(|check| check.target).unwrap_or_default();
    let verdicts = smart::choose(&trials, &target, pass.request.options.crf == FactorRequest::Default);
    let mut renditions = smart::apply(&trials, &verdicts);
    // Those that are too small to be measured are the smallest.
    let untried = |of: &&Rendition| trials.iter().all(|trial| trial.rendition.name != of.name);
    renditions.extend(pass.renditions.iter().filter(untried).cloned());
    let mut made = making::make(&Pass { renditions: &renditions, ..*pass }, watch)?;
    if trials.is_empty() {
        made.warnings.push("the ladder has all rungs: no part of the source could be tried".to_owned());
    }
    Ok((made, trials.iter().zip(verdicts).map(|(trial, verdict)| Choice::new(trial, verdict)).collect()))
}

fn undecodable(doubt: &str) -> EncodeFailure {
    let message = format!("the video does not decode the same way twice ({doubt}); get another copy of the file");
    EncodeFailure::Input { fault: InputFault::Corrupt, message }
}
