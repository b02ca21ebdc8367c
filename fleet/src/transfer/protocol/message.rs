//! The messages, and their bytes.
#![allow(missing_docs, reason = "what rkyv derives has fields that nobody can document")]

use bytes::Bytes;
use rkyv::rancor;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};
use vtp_engine::coordinator::JobId;
use vtp_engine::units::{Attempt, ChunkIndex};

use super::{HASH, HEAD, Kind, MESSAGE_LIMIT, ObjectId, VERSION};

/// An [`ObjectId`] on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct WireId {
    job: u64,
    chunk: u32,
    attempt: u32,
    kind: Kind,
}

impl From<ObjectId> for WireId {
    fn from(id: ObjectId) -> Self {
        Self { job: id.job.0, chunk: id.chunk.0, attempt: id.attempt.0, kind: id.kind }
    }
}

impl From<WireId> for ObjectId {
    fn from(id: WireId) -> Self {
        Self { job: JobId(id.job), chunk: ChunkIndex(id.chunk), attempt: Attempt(id.attempt), kind: id.kind }
    }
}

/// How far a receiver is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Archive, Serialize, Deserialize)]
pub struct Want {
    /// Blocks that it has.
    pub blocks: u64,
    /// The hash over these blocks' hashes; of no meaning where it has none.
    pub prefix: [u8; HASH],
}

/// Everything that is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub enum Message {
    /// Asks for an object.
    Fetch {
        /// Which.
        id: WireId,
        /// What the asker has of it.
        want: Want,
    },
    /// Offers an object.
    Deliver {
        /// Which.
        id: WireId,
        /// Its bytes.
        length: u64,
    },
    /// Accepts an offer.
    Want(Want),
    /// Opens the blocks.
    Start {
        /// Bytes of the object.
        length: u64,
        /// The first block that follows: as many as the receiver has, or 0 where that is not what the sender has.
        from: u64,
    },
    /// Closes the blocks.
    End {
        /// BLAKE3 of the object.
        root: [u8; HASH],
    },
    /// The object is on the disk.
    Receipt {
        /// Bytes of the object.
        length: u64,
        /// BLAKE3 of the object.
        root: [u8; HASH],
    },
    /// It comes to nothing.
    Refused(Refusal),
}

/// Why something is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such object.
    NotFound,
    /// Not between these roles.
    Forbidden,
    /// It is being received.
    Busy,
    /// A block is not what its hash says.
    Damaged {
        /// Which.
        block: u64,
    },
    /// The blocks are not what the last hash says.
    NotWhole,
    /// It has too many bytes.
    TooLarge {
        /// How many are allowed.
        most: u64,
    },
    /// Something else has its name.
    Conflict,
    /// That is not how this is spoken.
    Misspoken,
    /// Reading or writing fails at present.
    Unable,
}

/// Bytes that are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoMessage {
    /// Another version's.
    #[error("a message of version {0}, where version {VERSION} is spoken")]
    Version(u16),
    /// Too long.
    #[error("a message of {0} bytes; none has more than {MESSAGE_LIMIT}")]
    Length(u16),
    /// Not valid.
    #[error("a message that makes no sense")]
    Content,
}

impl Message {
    /// Its bytes, with their head.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        #[expect(clippy::expect_used, reason = "writing fixed-size values to memory has no way to fail")]
        let archive = rkyv::to_bytes::<rancor::Error>(self).expect("a message has a size that is fixed");
        let mut bytes = Vec::with_capacity(HEAD + archive.len());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(archive.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&archive);
        bytes.into()
    }

    /// How many bytes follow a head.
    ///
    /// # Errors
    /// [`NoMessage::Version`], [`NoMessage::Length`].
    pub fn length(head: [u8; HEAD]) -> Result<usize, NoMessage> {
        let [v0, v1, l0, l1] = head;
        match (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([l0, l1])) {
            (VERSION, length) if usize::from(length) <= MESSAGE_LIMIT => Ok(length.into()),
            (VERSION, length) => Err(NoMessage::Length(length)),
            (version, _) => Err(NoMessage::Version(version)),
        }
    }

    /// Reads what follows a head.
    ///
    /// # Errors
    /// [`NoMessage::Content`].
    pub fn read(body: &[u8]) -> Result<Self, NoMessage> {
        let mut aligned = AlignedVec::<16>::with_capacity(body.len().min(MESSAGE_LIMIT));
        aligned.extend_from_slice(body.get(..MESSAGE_LIMIT).unwrap_or(body));
        rkyv::from_bytes::<Self, rancor::Error>(&aligned).map_err(|_| NoMessage::Content)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> WireId {
        WireId { job: 7, chunk: 3, attempt: 2, kind: Kind::Encoded }
    }

    fn read(bytes: &[u8]) -> Result<Message, NoMessage> {
        let (head, body) = bytes.split_first_chunk::<HEAD>().unwrap();
        assert_eq!(Message::length(*head)?, body.len());
        Message::read(body)
    }

    fn all() -> Vec<Message> {
        let want = Want { blocks: 9, prefix: [0xab; HASH] };
        let refusals = [
            Refusal::NotFound,
            Refusal::Forbidden,
            Refusal::Busy,
            Refusal::Damaged { block: 5 },
            Refusal::NotWhole,
            Refusal::TooLarge { most: 6 },
            Refusal::Conflict,
            Refusal::Misspoken,
            Refusal::Unable,
        ];
        let mut all = vec![
            Message::Fetch { id: id(), want },
            Message::Deliver { id: id(), length: u64::MAX },
            Message::Want(want),
            Message::Start { length: 1, from: 0 },
            Message::End { root: [1; HASH] },
            Message::Receipt { length: 4, root: [2; HASH] },
        ];
        all.extend(refusals.map(Message::Refused));
        all
    }

    #[test]
    fn every_message_is_read_as_it_was_written() {
        for message in all() {
            assert_eq!(read(&message.bytes()), Ok(message));
        }
    }

    #[test]
    fn messages_have_the_bytes_that_version_1_has() {
        let hex = |message: Message| message.bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(Message::Start { length: 0x0102_0304, from: 5 }), START, "another layout is another version");
        let want = Want { blocks: 9, prefix: [0xab; HASH] };
        assert_eq!(hex(Message::Fetch { id: id(), want }), FETCH, "another layout is another version");
    }

    /// Head, kind of message (3), length, first block, padding.
    const START: &str = concat!(
        "01004800",
        "03000000",
        "00000000",
        "0403020100000000",
        "0500000000000000",
        "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    );

    /// Head, kind of message (0), job, chunk, attempt, kind of object, padding, blocks, prefix.
    const FETCH: &str = concat!(
        "01004800",
        "00000000",
        "00000000",
        "0700000000000000",
        "03000000",
        "02000000",
        "01000000",
        "00000000",
        "0900000000000000",
        "abababababababababababababababababababababababababababababababab"
    );

    #[test]
    fn another_version_and_a_long_message_are_refused_by_the_head() {
        assert_eq!(Message::length([2, 0, 8, 0]), Err(NoMessage::Version(2)));
        assert_eq!(Message::length([1, 0, 1, 1]), Err(NoMessage::Length(257)));
        assert_eq!(Message::length([1, 0, 0, 1]), Ok(256));
    }

    #[test]
    fn a_message_that_was_cut_is_none() {
        for message in all() {
            let bytes = message.bytes();
            assert_eq!(Message::read(&bytes[HEAD..bytes.len() - 1]), Err(NoMessage::Content));
            assert_eq!(Message::read(&[]), Err(NoMessage::Content));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_bytes_are_a_message_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::read(&bytes);
        }

        #[test]
        fn a_damaged_message_is_another_message_or_refused(which in 0..15_usize, at in 0..80_usize, flip in 1..=255_u8) {
            let message = all()[which];
            let mut bytes = message.bytes().to_vec();
            let at = HEAD + at % (bytes.len() - HEAD);
            bytes[at] ^= flip;
            // Padding between members may be anything.
            if let Ok(other) = read(&bytes) {
                prop_assert_eq!(read(&other.bytes()), Ok(other));
            }
        }
    }
}
