//! The local driver: runs the whole pipeline on this machine.
//!
//! * step: index and plan, then chunks (workers), audio and stitching at once, then the proof
//! * in: an [`EncodeRequest`] and two folders
//! * out: a complete ladder and its [`Report`]
//! * never: a manifest without proof, a write to the source
//!
//! Where the frames that come out of a chunk are not those that the index expects, the source is indexed again by
//! decoding it (a census), and where even that does not agree, it is encoded as one chunk, in order.

mod audio;
mod crew;
mod pass;
mod report;
mod run;
mod timing;

use std::sync::atomic::AtomicBool;

use vtp_engine::index::FrameList;
use vtp_engine::ladder::{self, Ladder, ladder};
use vtp_engine::media;
use vtp_splitter::Source;

use crate::curves::Curves;
use crate::encode::EncodeRequest;
use crate::encode::output::Dirs;
use crate::progress::ProgressEvent;
use crate::report::Report;
pub(crate) use pass::copier;
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

/// Why a run ended without a ladder.
#[derive(Debug)]
pub enum EncodeFailure {
    /// The source is unusable.
    Input {
        /// 1001: not a video that is read. 1005: corrupt.
        code: u16,
        /// What is wrong and what to do.
        message: String,
    },
    /// The request cannot be met; the sentence says what to change.
    Usage(String),
    /// `cancel` became true.
    Cancelled,
    /// A fault of the product or of the machine.
    Internal(anyhow::Error),
}

impl From<vtp_splitter::Error> for EncodeFailure {
    fn from(error: vtp_splitter::Error) -> Self {
        match error.code() {
            Some(code) => Self::Input { code, message: error.to_string() },
            None => Self::Internal(error.into()),
        }
    }
}

impl From<ladder::Error> for EncodeFailure {
    fn from(error: ladder::Error) -> Self {
        if error.is_usage() {
            Self::Usage(error.to_string())
        } else {
            Self::Input { code: 1001, message: error.to_string() }
        }
    }
}

/// Encodes `request.input` into `dirs.out`, spooling in `dirs.work`. Everything but the report is in place
/// when it returns `Ok`; whoever calls it removes what is there when it returns an error.
///
/// # Errors
/// See [`EncodeFailure`].
pub fn run(
    request: &EncodeRequest,
    dirs: &Dirs,
    progress: &(dyn Fn(ProgressEvent) + Sync),
    cancel: &AtomicBool,
) -> Result<Outcome, EncodeFailure> {
    media::silence_log();
    let mut watch = Stopwatch::start();
    progress(ProgressEvent::Stage("indexing"));
    let mut source = Source::open(&request.input)?;
    watch.lap("index");
    let mut in_one_chunk = false;
    loop {
        let Ladder { renditions, warnings } = ladder(&request.ladder, &source.info, &request.options)?;
        let pass = Pass { request, source: &source, renditions: &renditions, dirs, progress, cancel, in_one_chunk };
        match pass.run(&mut watch) {
            Ok(made) => {
                let target = request.check.map(|check| check.target);
                let curves = report::curves(&made.published);
                return Ok(Outcome { report: report::build(&source, made, target, warnings, &watch), curves });
            }
            Err(PassError::Failure(failure)) => return Err(failure),
            Err(PassError::OtherFrames(doubt)) => {
                dirs.clear().map_err(|error| EncodeFailure::Internal(error.into()))?;
                progress(ProgressEvent::Stage("indexing by decoding"));
                match source.index.frame_list {
                    FrameList::Packets => source = source.with_census(&doubt)?,
                    FrameList::Census if !in_one_chunk => in_one_chunk = true,
                    FrameList::Census => return Err(undecodable(&doubt)),
                }
                watch.lap("index");
            }
        }
    }
}

fn undecodable(doubt: &str) -> EncodeFailure {
    let message = format!("the video does not decode the same way twice ({doubt}); get another copy of the file");
    EncodeFailure::Input { code: 1005, message }
}
