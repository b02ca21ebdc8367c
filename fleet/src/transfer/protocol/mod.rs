//! What the two sides say to each other: pure values, their bytes, and no I/O.
//!
//! A message is a head of four bytes, the version and the length of what follows (two bytes each, little-endian), and
//! an archive of rkyv, which is validated before anything of it is used. Blocks have no head: the hash of a block, 32
//! bytes, and its bytes, whose number follows from the object's length. So no length that a peer states is ever
//! memory that it gets, but for a message's, of [`MESSAGE_LIMIT`] at most.

mod message;

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};
use vtp_engine::coordinator::JobId;
use vtp_engine::units::{Attempt, ChunkIndex};

pub use message::{Message, NoMessage, Refusal, Want, WireId};

/// The protocol's name in the TLS handshake (ALPN), with its version: peers of different versions don't connect.
pub const ALPN: &[u8] = b"vtp-transfer/1";

/// The version that every message carries.
pub const VERSION: u16 = 1;

/// Bytes of a block; only an object's last one is shorter. A power of two of BLAKE3's chunks, so that a block is a
/// subtree.
pub const BLOCK: u64 = 256 << 10;

/// Bytes of a hash.
pub const HASH: usize = 32;

/// Most bytes of a message behind its head.
pub const MESSAGE_LIMIT: usize = 256;

/// Bytes of a message's head.
pub const HEAD: usize = 4;

/// What an object is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Kind {
    /// The packets of a chunk, as the origin hands them out.
    Packets,
    /// The encoded chunk: samples and scores of every rendition.
    Encoded,
    /// What was found in a source.
    Index,
}

/// Which object: an attempt's own, so that a late one overwrites nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ObjectId {
    /// The job.
    pub job: JobId,
    /// Its chunk.
    pub chunk: ChunkIndex,
    /// Which try at it.
    pub attempt: Attempt,
    /// What of it.
    pub kind: Kind,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, chunk, attempt, kind } = self;
        let kind = match kind {
            Kind::Packets => "packets",
            Kind::Encoded => "encoded",
            Kind::Index => "index",
        };
        write!(f, "job {}, chunk {}, attempt {}, {kind}", job.0, chunk.0, attempt.0)
    }
}

/// How an object of a length falls into blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Bytes of the object.
    pub length: u64,
}

impl Layout {
    /// How many blocks there are.
    #[must_use]
    pub const fn blocks(self) -> u64 {
        self.length.div_ceil(BLOCK)
    }

    /// Where a block starts, in bytes.
    #[must_use]
    pub const fn offset(self, block: u64) -> u64 {
        let offset = block.saturating_mul(BLOCK);
        if offset < self.length { offset } else { self.length }
    }

    /// Bytes of a block; 0 behind the last.
    #[must_use]
    pub const fn size(self, block: u64) -> usize {
        (self.offset(block.saturating_add(1)) - self.offset(block)) as usize
    }

    /// Whether one block is all there is. Its hash is the object's.
    #[must_use]
    pub const fn is_single(self) -> bool {
        self.blocks() == 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_cover_an_object_without_gap_or_overlap(length in 0..40 * BLOCK) {
            let layout = Layout { length };
            let sizes: Vec<usize> = (0..layout.blocks()).map(|block| layout.size(block)).collect();
            prop_assert_eq!(sizes.iter().map(|&size| size as u64).sum::<u64>(), length);
            prop_assert!(sizes.iter().rev().skip(1).all(|&size| size as u64 == BLOCK));
            prop_assert!(sizes.iter().all(|&size| size > 0));
            prop_assert_eq!(layout.size(layout.blocks()), 0);
            prop_assert_eq!(layout.size(u64::MAX), 0);
        }
    }
}
