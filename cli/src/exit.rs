//! How a command fails: the exit code that scripts read and the words that people read. Prints, never exits.

use std::io;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use vtp_engine::ladder;

use crate::child;
use crate::encode::failure::EncodeFailure;

/// Exit code of a failure that is the product's or the machine's, not the user's.
pub const INTERNAL: u8 = 1;
/// Exit code of a command line or an output folder that cannot be used.
pub const USAGE: u8 = 2;
/// Exit code of a source that cannot be used.
pub const INPUT: u8 = 3;
/// Exit code where quality was asked for strictly and missed.
pub const QUALITY: u8 = 4;
/// Exit code where a stream that was checked does not keep to the rules.
pub const NONCONFORMING: u8 = 5;
/// Exit code after an interrupt: 128 and the number of SIGINT.
pub const INTERRUPTED: u8 = 130;

/// In which way a source can't be used. Programs know it by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u16)]
pub enum InputFault {
    /// It is not a video that is read.
    NotAVideo = 1001,
    /// It is larger than an API takes.
    TooLarge = 1002,
    /// An API has no room left for it.
    NoRoom = 1004,
    /// It is damaged.
    Corrupt = 1005,
}

impl InputFault {
    const ALL: [Self; 4] = [Self::NotAVideo, Self::TooLarge, Self::NoRoom, Self::Corrupt];

    /// Its number.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// That of this number, if there is one.
    pub fn of(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.code() == code)
    }
}

/// Why a command ended without its result.
#[derive(Debug)]
pub enum Failure {
    /// A fault of the product or of the machine.
    Internal(anyhow::Error),
    /// The command cannot be carried out as given; the sentence says what to change.
    Usage(String),
    /// The source is unusable.
    Input {
        /// Which way.
        fault: InputFault,
        /// What is wrong and what to do.
        message: String,
    },
    /// Something is not as good as was strictly asked for.
    Quality(String),
    /// Somebody else has what is needed; later it may do.
    Busy(String),
    /// The user stopped it.
    Interrupted(Left),
    /// Whatever there is to say has been said already; this is the exit code.
    Told(u8),
}

/// What an interrupted command leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing of its own, and everything else as it was.
    Nothing,
    /// What was at this place of a store before, and was being replaced, is damaged.
    Damaged(String),
    /// As above, if the fleet that makes it was replacing it already.
    Doubtful(String),
    /// The fleet that makes it does not answer.
    Unheard,
}

impl Left {
    fn sentence(&self) -> String {
        match self {
            Self::Nothing => "interrupted; no output is left".to_owned(),
            Self::Damaged(place) => format!("interrupted; what was at {place} before is damaged: run it again"),
            Self::Doubtful(place) => format!(
                "interrupted; if the fleet was uploading already, what was at {place} before is damaged: run it again"
            ),
            Self::Unheard => {
                "interrupted; but the fleet does not answer: it may go on with this for a while".to_owned()
            }
        }
    }
}

impl Failure {
    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Internal(_) => INTERNAL,
            Self::Usage(_) | Self::Busy(_) => USAGE,
            Self::Input { .. } => INPUT,
            Self::Quality(_) => QUALITY,
            Self::Interrupted(_) => INTERRUPTED,
            Self::Told(code) => *code,
        }
    }

    /// The same, as what `main` returns.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// What happened, with its causes; `None` if it has been said.
    pub fn sentence(&self) -> Option<String> {
        match self {
            Self::Internal(error) => Some(with_causes(error)),
            Self::Usage(message) | Self::Busy(message) | Self::Quality(message) | Self::Input { message, .. } => {
                Some(message.clone())
            }
            Self::Interrupted(left) => Some(left.sentence()),
            Self::Told(_) => None,
        }
    }

    /// The line for a person; `None` if it has been said.
    pub fn message(&self) -> Option<String> {
        let sentence = self.sentence()?;
        Some(match self {
            Self::Internal(_) | Self::Usage(_) | Self::Busy(_) | Self::Quality(_) => format!("error: {sentence}"),
            Self::Input { fault, .. } => format!("error {}: {sentence}", fault.code()),
            Self::Interrupted(_) | Self::Told(_) => sentence,
        })
    }

    /// Writes the message to stderr.
    pub fn print(&self) {
        if let Some(message) = self.message() {
            eprintln!("{message}");
        }
    }
}

/// An error and its causes, each told once, though many errors tell their cause themselves, and what to do.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    let advice = error.chain().find_map(|cause| cause.downcast_ref()).map_or("", advice);
    text + advice
}

/// What a user can do about it, as a clause; empty where that is not known.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose an --out that you may write to"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space or choose another --out",
        _ => "",
    }
}

impl From<EncodeFailure> for Failure {
    fn from(failure: EncodeFailure) -> Self {
        match failure {
            EncodeFailure::Input { fault, message } => Self::Input { fault, message },
            EncodeFailure::Usage(message) => Self::Usage(message),
            EncodeFailure::Cancelled => Self::Interrupted(Left::Nothing),
            EncodeFailure::Internal(error) => Self::Internal(error),
        }
    }
}

impl From<child::Error> for Failure {
    fn from(error: child::Error) -> Self {
        EncodeFailure::from(error).into()
    }
}

impl From<ladder::Error> for Failure {
    fn from(error: ladder::Error) -> Self {
        EncodeFailure::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_input_is_told_with_its_code_and_ends_with_3() {
        let failure = Failure::from(EncodeFailure::Input {
            fault: InputFault::Corrupt,
            message: "the index is missing".to_owned(),
        });
        assert_eq!(failure.code(), 3);
        assert_eq!(failure.message().as_deref(), Some("error 1005: the index is missing"));
    }

    #[test]
    fn a_fault_is_known_by_its_number() {
        assert!([1001, 1002, 1004, 1005].into_iter().all(|code| InputFault::of(code).unwrap().code() == code));
        assert_eq!(InputFault::of(1003), None);
    }

    #[test]
    fn an_internal_error_is_told_with_its_causes() {
        let failure = Failure::Internal(anyhow::anyhow!("disk full").context("cannot spool chunk 3"));
        assert_eq!(failure.code(), 1);
        assert_eq!(failure.message().as_deref(), Some("error: cannot spool chunk 3: disk full"));
    }

    #[test]
    fn a_cause_is_told_once_and_with_what_to_do() {
        #[derive(Debug, thiserror::Error)]
        #[error("writing a.mp4: {0}")]
        struct Writing(#[source] std::io::Error);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let failure = Failure::Internal(anyhow::Error::new(Writing(full)).context("cannot spool chunk 3"));
        let told =
            "error: cannot spool chunk 3: writing a.mp4: no storage space; free some space or choose another --out";
        assert_eq!(failure.message().as_deref(), Some(told));
    }

    #[test]
    fn an_interrupt_ends_with_130_and_says_what_it_leaves() {
        let failure = Failure::from(EncodeFailure::Cancelled);
        assert_eq!((failure.code(), failure.message().as_deref()), (130, Some("interrupted; no output is left")));
        let damaged = Failure::Interrupted(Left::Damaged("s3://films/a/".to_owned()));
        let told = "interrupted; what was at s3://films/a/ before is damaged: run it again";
        assert_eq!((damaged.code(), damaged.message().as_deref()), (130, Some(told)));
    }
}
