//! The bytes of CMAF files (ISO/IEC 14496-12, 23000-19): initialization segments and media fragments. Pure: bytes in,
//! bytes out; what goes into them was decided before.

pub mod codec;
mod fragment;
mod init;
mod text;

use mp4_atom::{Encode, FourCC, Header};

pub use fragment::{FragmentSamples, fragment_head, segment_type};
pub use init::{AudioInit, VideoInit, audio_init, video_init};
pub use text::{text_init, text_sample};

/// The one track of every file.
pub const TRACK: u32 = 1;

/// Why bytes could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The decoder configuration is not one.
    #[error("decoder configuration: {0}")]
    Config(String),
    /// A value does not fit its field.
    #[error("{what} does not fit its field")]
    Range {
        /// The value.
        what: &'static str,
    },
    /// The box writer's own refusal.
    #[error(transparent)]
    Atom(#[from] mp4_atom::Error),
}

/// The bytes of a box.
pub(crate) fn boxed<T: Encode>(atom: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    atom.encode(&mut bytes)?;
    Ok(bytes)
}

/// A box of boxes, in the order given (`mp4_atom`'s own containers put optional boxes last; readers are told to expect
/// the order of ISO/IEC 14496-12 table 1).
pub(crate) fn nest(kind: &[u8; 4], children: &[Vec<u8>]) -> Result<Vec<u8>, Error> {
    let body = children.concat();
    let mut bytes = boxed(&Header { kind: FourCC::new(kind), size: Some(body.len()) })?;
    bytes.extend_from_slice(&body);
    Ok(bytes)
}
