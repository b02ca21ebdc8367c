//! The encoder node: decodes a chunk once, conditions it once, and encodes every rendition of it.
//!
//! Pictures that are wanted by themselves are spooled beside.
//!
//! [`encode_chunk`] does it once, [`encode_until_good`] as often as quality asks for. It knows no network, no queue and
//! no other chunk; who gives it tasks and what becomes of the results is decided elsewhere.

pub mod cache;
mod chunk;
mod copy;
mod error;
mod extractors;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gated;
mod gauge;
mod lane;
mod lineup;
mod rendition;
mod spool;
mod stills;
#[cfg(test)]
mod testing;
mod view;
mod viewer;

pub use chunk::{Equipment, OpenEncoder, encode_chunk};
pub use copy::{Copier, CopyRefused};
pub use error::{Class, Error};
pub use extractors::Extractors;
pub use gated::encode_until_good;
pub use spool::{Spool, SpoolFolder, SpoolWriter};

use vtp_engine::media::demux::SourcePacket;
use vtp_engine::units::PacketIndex;

/// Where the packets of a chunk come from.
pub trait PacketSource {
    /// The next packet in decode order and its place in the stream; `None` when the chunk has no more. May block for
    /// as long as reading takes.
    ///
    /// # Errors
    /// [`Error::Packets`], with the class that the source gives it.
    fn next(&mut self) -> Result<Option<(PacketIndex, SourcePacket)>, Error>;
}

/// Watches a chunk being encoded. Called from several threads at once; must return promptly.
pub trait Observer: Sync {
    /// `frames` more frames of `rendition` are encoded. What is told this way is not durable yet.
    fn frames_encoded(&self, rendition: &str, frames: u32);
}

/// An observer that looks away.
impl Observer for () {
    fn frames_encoded(&self, _rendition: &str, _frames: u32) {}
}
