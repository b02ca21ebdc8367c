//! Sound: decoded over the whole source in one go, never per chunk, and never changed in place or length beyond what
//! [`crate::pcm`] decides.

pub(in crate::media) mod asc;
mod copy;
pub mod decode;
mod encoder;
mod form;
mod resample;
pub mod task;
mod terms;
mod track;

pub(in crate::media) use asc::is_aac_lc;
pub use decode::{AudioDecoder, Sound};
pub use task::{AudioTask, TaskSink};
pub use terms::{AudioMode, AudioOutcome, AudioRequest, AudioTrackConfig, KeptSound, MOST_MISSING_S, Speakers};
