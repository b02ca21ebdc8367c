//! The envelope: 16 bytes that say what follows.
//!
//! ```text
//!  0      4          6       7       8          12        16
//!  "VTPM" version:u16 kind:u8 0:u8   length:u32  0:u32     archive ...      (little-endian)
//! ```
//!
//! The archive begins at a multiple of 16, so an aligned buffer needs no second copy.

use bytes::Bytes;
use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

/// The version that is spoken. It changes with the layout of any message that processes send each other.
pub const VERSION: u16 = 3;

/// Bytes of an envelope's head.
pub const HEAD: usize = 16;

/// No archive on the bus has more bytes: NATS carries 1 MiB by default, headers included.
pub const LIMIT: usize = 960 * 1024;

const MAGIC: [u8; 4] = *b"VTPM";

/// What an envelope holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A task for nodes.
    Offer = 1,
    /// A node's report.
    Report = 2,
    /// A word to one node.
    Control = 3,
    /// What the driver is asked for.
    Request = 4,
    /// What it answers.
    Reply = 5,
    /// How a job has ended.
    Ended = 6,
    /// What a stitcher is asked about.
    Lookup = 7,
    /// What it answers.
    Found = 8,
    /// Records of the ledger.
    Records = 16,
}

/// A value that travels in an envelope.
pub trait Message: Archive + Sized {
    /// What the envelope calls it.
    const KIND: Kind;
    /// Most bytes of its archive.
    const LIMIT: usize = LIMIT;
    /// The version of its layout.
    const VERSION: u16 = VERSION;

    /// Whether what the types don't say holds, too.
    ///
    /// # Errors
    /// What doesn't.
    fn check(&self) -> Result<(), &'static str>;
}

/// Bytes that are no message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoMessage {
    /// Too short for an envelope, or not ours.
    #[error("no message of this program")]
    NotOurs,
    /// Another version's.
    #[error("a message of version {found}, where version {spoken} is spoken: run the same release everywhere")]
    Version {
        /// Of which it is.
        found: u16,
        /// Of which it should be.
        spoken: u16,
    },
    /// Another message than was expected.
    #[error("a message of kind {found}, where {expected:?} was expected")]
    Kind {
        /// What it says it is.
        found: u8,
        /// What it should be.
        expected: Kind,
    },
    /// Not as long as it says, or longer than any.
    #[error("a message of {0} bytes that should have another length")]
    Length(u64),
    /// Not valid.
    #[error("a message that makes no sense: {0}")]
    Content(String),
}

/// A message's bytes.
///
/// # Errors
/// A sentence, for a message that nobody would accept: too long, or one that breaks its own rules.
pub fn encode<M>(message: &M) -> Result<Bytes, NoMessage>
where
    M: Message + for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, rancor::Error>>,
{
    message.check().map_err(|what| NoMessage::Content(what.to_owned()))?;
    let mut bytes = AlignedVec::<16>::with_capacity(512);
    bytes.extend_from_slice(&[0; HEAD]);
    let mut bytes = rkyv::api::high::to_bytes_in::<_, rancor::Error>(message, bytes)
        .map_err(|error| NoMessage::Content(error.to_string()))?;
    let length = bytes.len() - HEAD;
    let word = u32::try_from(length).ok().filter(|_| length <= M::LIMIT).ok_or(NoMessage::Length(length as u64))?;
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&M::VERSION.to_le_bytes());
    bytes[6] = M::KIND as u8;
    bytes[8..12].copy_from_slice(&word.to_le_bytes());
    Ok(Bytes::from_owner(bytes))
}

/// The message that these bytes are, all of them.
///
/// # Errors
/// [`NoMessage`].
pub fn decode<M>(bytes: &[u8]) -> Result<M, NoMessage>
where
    M: Message,
    M::Archived: for<'a> CheckBytes<HighValidator<'a, rancor::Error>> + Deserialize<M, HighDeserializer<rancor::Error>>,
{
    let (head, archive) = bytes.split_at_checked(HEAD).ok_or(NoMessage::NotOurs)?;
    if head[..4] != MAGIC {
        return Err(NoMessage::NotOurs);
    }
    let found = u16::from_le_bytes([head[4], head[5]]);
    if found != M::VERSION {
        return Err(NoMessage::Version { found, spoken: M::VERSION });
    }
    if head[6] != M::KIND as u8 {
        return Err(NoMessage::Kind { found: head[6], expected: M::KIND });
    }
    let length = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
    if length != archive.len() || length > M::LIMIT || head[7] != 0 || head[12..16] != [0; 4] {
        return Err(NoMessage::Length(length as u64));
    }
    let mut aligned = AlignedVec::<16>::with_capacity(archive.len());
    aligned.extend_from_slice(archive);
    let content = |error: rancor::Error| NoMessage::Content(error.to_string());
    let message: M = rkyv::from_bytes::<M, rancor::Error>(&aligned).map_err(content)?;
    message.check().map_err(|what| NoMessage::Content(what.to_owned()))?;
    Ok(message)
}
