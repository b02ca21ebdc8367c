//! The local driver: runs the whole pipeline on this machine.

use std::sync::atomic::AtomicBool;

use crate::encode::EncodeRequest;
use crate::encode::output::Dirs;
use crate::progress::ProgressEvent;
use crate::report::Report;

/// What a finished run leaves besides its files.
#[derive(Debug)]
pub struct Outcome {
    /// What was made of what, and how.
    pub report: Report,
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

/// Encodes `request.input` into `dirs.out`, spooling in `dirs.work`. Everything but `report.json` is in place
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
    let _ = (request, dirs, progress, cancel);
    Err(EncodeFailure::Internal(anyhow::anyhow!("the local driver is not built in")))
}
