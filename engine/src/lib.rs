//! The vocabulary that the roles share.
//!
//! Pure modules (`units`, `source`, `index`, `ladder`, `nal`, `plan`, `stills`, `chunk`, `gathering`, `loudness`, `pcm`,
//! `subtitles`, `coordinator`) hold values and functions of values: no clock, no socket, no thread. [`media`] is the wall
//! around FFmpeg and libvmaf, the only place with `unsafe`. The engine knows no HTTP and no SQL.

pub mod archive;
pub mod bitstream;
pub mod chunk;
pub mod coordinator;
pub mod delivery;
pub mod format;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod gathering;
pub mod index;
pub mod ladder;
pub mod limits;
pub mod loudness;
#[cfg(feature = "media")]
#[allow(unsafe_code)]
pub mod media;
pub mod nal;
pub mod pcm;
pub mod plan;
pub mod quality;
pub mod sandbox;
pub mod source;
pub mod stills;
pub mod subtitles;
pub mod units;
