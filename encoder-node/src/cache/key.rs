//! What decides the bytes of an encoding, as one hash.

use std::{fmt, io};

use serde::Serialize;
use vtp_engine::chunk::EncodeTask;
use vtp_engine::index::FrameEntry;
use vtp_engine::ladder::{Method, Rendition};
use vtp_engine::quality::Sampling;
use vtp_engine::source::VideoInfo;
use vtp_engine::units::{Ratio, Size};

use crate::{Error, PacketSource};

/// A hash of the packets that a chunk is decoded from: their bytes, their times and what their container says of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceHash(blake3::Hash);

impl SourceHash {
    /// The hash that has these bytes.
    pub fn from_bytes(bytes: [u8; blake3::OUT_LEN]) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; blake3::OUT_LEN] {
        self.0.into()
    }

    /// Of all packets that `packets` gives.
    ///
    /// # Errors
    /// As [`PacketSource::next`].
    pub fn of(packets: &mut dyn PacketSource) -> Result<Self, Error> {
        let mut hasher = blake3::Hasher::new_derive_key("VideoTranscode Pro, packets of a chunk, version 1");
        while let Some((index, packet)) = packets.next()? {
            let number = |time: Option<i64>| {
                time.map_or([0; 9], |time| {
                    let mut bytes = [1; 9];
                    bytes[1..].copy_from_slice(&time.to_le_bytes());
                    bytes
                })
            };
            hasher.update(&index.0.to_le_bytes());
            hasher.update(&number(packet.pts())).update(&number(packet.dts())).update(&number(packet.duration()));
            let extradata = packet.new_extradata();
            let (discarded, changed) = (u8::from(packet.is_discarded()), u8::from(extradata.is_some()));
            hasher.update(&[packet.is_key().into(), packet.is_corrupt().into(), discarded | changed << 1]);
            for bytes in [Some(packet.data()), extradata].into_iter().flatten() {
                hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
            }
        }
        Ok(Self(hasher.finalize()))
    }
}

/// All of a task that its encodings have in common.
#[derive(Serialize)]
pub(super) struct Context<'a> {
    tools: [u8; blake3::OUT_LEN],
    packets: [u8; blake3::OUT_LEN],
    extradata: &'a [u8],
    video: &'a VideoInfo,
    frames: &'a [FrameEntry],
    context: &'a (Vec<FrameEntry>, Vec<FrameEntry>),
    one_frame_a_packet: bool,
    segment_starts: &'a [u32],
    first: bool,
    last: bool,
    sampling: Option<Sampling>,
    concealed: bool,
}

/// What is one encoding's own. Its name decides nothing.
#[derive(Serialize)]
struct Whole<'a> {
    of_all: &'a Context<'a>,
    size: Size,
    sample_aspect: Ratio,
    method: &'a Method,
}

impl<'a> Context<'a> {
    pub(super) fn new(tools: &blake3::Hash, source: &SourceHash, extradata: &'a [u8], task: &'a EncodeTask) -> Self {
        // Named in full, so that whoever adds a field decides whether it belongs here. What is left out decides whether
        // there is a result, or where it goes; the renditions are each encoding's own.
        let EncodeTask {
            chunk,
            last,
            attempt: _,
            video,
            frames,
            one_frame_a_packet,
            hidden: _,
            concealed,
            context,
            segment_starts,
            renditions: _,
            check,
            spool: _,
        } = task;
        Self {
            tools: *tools.as_bytes(),
            packets: *source.0.as_bytes(),
            extradata,
            video,
            frames,
            context,
            one_frame_a_packet: *one_frame_a_packet,
            segment_starts,
            first: chunk.0 == 0,
            last: *last,
            sampling: check.map(|check| check.sampling),
            concealed: *concealed,
        }
    }

    /// # Errors
    /// A value that can't be written, of which there is none.
    pub(super) fn key(&self, rendition: &Rendition) -> io::Result<Key> {
        let Rendition { name: _, size, sample_aspect, method } = rendition;
        let whole = Whole { of_all: self, size: *size, sample_aspect: *sample_aspect, method };
        let mut hasher = blake3::Hasher::new_derive_key("VideoTranscode Pro, one encoding of a chunk, version 1");
        serde_json::to_writer(&mut hasher, &whole)?;
        Ok(Key(hasher.finalize()))
    }
}

/// Names one encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(blake3::Hash);

impl Key {
    pub(super) fn as_bytes(&self) -> &[u8; blake3::OUT_LEN] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_hex().fmt(f)
    }
}
