//! How much of a source is taken on, as the command line says it.

use anyhow::Context as _;
use clap::Args;
use vtp_engine::limits::{Change, Limits};

use crate::child::{self, Pool};
use crate::exit::Failure;

/// How much of a source is taken on; whatever looks at one knows these.
#[derive(Debug, Args)]
pub(crate) struct LimitArguments {
    /// Refuse sources with more than this: pixels (of a picture), frames, streams, metadata and index (bytes), duration
    /// (seconds); cues (of a track of subtitles), cue (bytes of one) and subtitles (bytes of all); memory (bytes) and
    /// silence (seconds) bound the processes that work on it. Can be given several times
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    changes: Vec<Change>,
}

impl LimitArguments {
    /// The limits.
    pub(crate) fn limits(&self) -> Limits {
        self.changes.iter().fold(Limits::DEFAULT, |limits, change| limits.with(change))
    }

    /// The processes that look at sources, within these limits.
    pub(crate) fn children(&self) -> Result<Pool, Failure> {
        child::this_program()
            .and_then(|program| Pool::new(program, self.limits()))
            .context("cannot start processes to work in")
            .map_err(Failure::Internal)
    }
}
