//! Frames: the unit in which a journal is written and read. Pure.
//!
//! ```text
//!  length:u32  crc:u32  envelope of records ...      (little-endian; CRC-32 of length and envelope)
//! ```
//!
//! A frame is kept or not kept as a whole. Where the last one is torn, the journal ends before it; a bad one with a good
//! one behind it is damage that nobody should pass over.

use super::record::{Record, Records};
use crate::messages::{self, Message, NoMessage};

const HEAD: usize = 8;

/// What a journal's bytes come to.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) records: Vec<Record>,
    /// How many bytes of it are whole frames; what follows was never kept.
    pub(super) whole: usize,
}

/// Why a journal can't be read.
#[derive(Debug, PartialEq)]
pub(super) enum Unreadable {
    /// Bad bytes at this place, and good ones behind.
    Damaged(usize),
    /// A whole frame of another release.
    Message(NoMessage),
}

pub(super) fn write(records: Vec<Record>) -> Result<Vec<u8>, NoMessage> {
    let envelope = messages::encode(&Records(records))?;
    let length = u32::try_from(envelope.len()).map_err(|_| NoMessage::Length(envelope.len() as u64))?;
    let mut frame = Vec::with_capacity(HEAD + envelope.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&checksum(length, &envelope).to_le_bytes());
    frame.extend_from_slice(&envelope);
    Ok(frame)
}

pub(super) fn read(bytes: &[u8]) -> Result<Contents, Unreadable> {
    let (mut records, mut whole) = (Vec::new(), 0);
    while let Some(envelope) = frame(&bytes[whole..]) {
        let Records(more) = messages::decode(envelope).map_err(Unreadable::Message)?;
        records.extend(more);
        whole += HEAD + envelope.len();
    }
    let goes_on = (whole + 1..bytes.len()).any(|at| frame(&bytes[at..]).is_some());
    if goes_on { Err(Unreadable::Damaged(whole)) } else { Ok(Contents { records, whole }) }
}

/// The envelope in the frame that these bytes begin with, if they do.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (length, crc) = head.split_at(4);
    let length = u32::from_le_bytes(length.try_into().ok()?);
    let envelope = rest.get(..length as usize).filter(|it| it.len() >= messages::HEAD)?;
    // Cheap to look at first, as damage is searched byte by byte.
    let ours = envelope.starts_with(b"VTPM") && (length as usize) <= messages::HEAD + Records::LIMIT;
    (ours && u32::from_le_bytes(crc.try_into().ok()?) == checksum(length, envelope)).then_some(envelope)
}

fn checksum(length: u32, envelope: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(envelope);
    hasher.finalize()
}
