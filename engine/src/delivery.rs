//! An encoded chunk as it travels to who stitches it: what it is, and then the samples' bytes of its renditions, one after the
//! other. Pure; it reads any bytes, and trusts no length before the bytes are there.
//!
//! ```text
//! "VTPD", version u16, length u32, an EncodedChunk without spool files (postcard), CRC-32 of it u32   (little-endian)
//! then the bytes of each rendition's samples, back to back
//! ```
//! The samples' bytes have no checksum of their own: what carries them has one, and the proof looks at each of them.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use crate::chunk::{EncodeTask, EncodedChunk};

const MAGIC: [u8; 4] = *b"VTPD";
const VERSION: u16 = 1;
/// No description of a chunk is longer.
const LONGEST: u32 = 1 << 28;
/// Bytes that are made room for before they are there.
const ROOM: u32 = 1 << 16;

/// Why bytes are no encoded chunk, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They can't be read, or end too soon.
    #[error("the encoded chunk can't be read: {0}")]
    Io(#[from] io::Error),
    /// Another version wrote them.
    #[error("the encoded chunk was written by another version ({found}; this one reads {VERSION}): update all nodes")]
    Version {
        /// The version found.
        found: u16,
    },
    /// They say what no encoded chunk says.
    #[error("the encoded chunk is damaged: {0}")]
    Damaged(String),
    /// They are another chunk, or other renditions of it.
    #[error("what was delivered is not what was asked for: {0}")]
    Other(&'static str),
}

/// Writes what `chunk` is; the bytes of its renditions' spool files have to follow.
///
/// # Errors
/// Those of `out`; a chunk that can't be described.
pub fn write_head(mut out: impl Write, chunk: &EncodedChunk) -> io::Result<()> {
    let mut chunk = chunk.clone();
    chunk.renditions.iter_mut().for_each(|rendition| rendition.spool = PathBuf::new());
    let described = postcard::to_allocvec(&chunk).map_err(io::Error::other)?;
    let length = u32::try_from(described.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("a chunk of too many samples"))?;
    let sum = crc32fast::hash(&described);
    out.write_all(&[&MAGIC[..], &VERSION.to_le_bytes(), &length.to_le_bytes(), &described, &sum.to_le_bytes()].concat())
}

/// Reads what a chunk is, which was made for `task`; the bytes of its renditions follow, as many as [`sizes`] tells.
///
/// # Errors
/// [`Error`].
pub fn read_head(mut input: impl Read, task: &EncodeTask) -> Result<EncodedChunk, Error> {
    let chunk = read(&mut input)?;
    let names = chunk.renditions.iter().map(|it| it.rendition.as_str());
    if chunk.chunk != task.chunk || chunk.attempt != task.attempt {
        return Err(Error::Other("it is another chunk, or another attempt at it"));
    }
    if !names.eq(task.renditions.iter().map(|it| it.name.as_str())) {
        return Err(Error::Other("it has other renditions"));
    }
    if chunk.renditions.iter().any(|it| it.samples.len() > task.frames.len()) {
        return Err(Error::Other("it has more samples than frames"));
    }
    Ok(chunk)
}

fn read(input: &mut impl Read) -> Result<EncodedChunk, Error> {
    let mut head = [0; 10];
    input.read_exact(&mut head)?;
    let [magic @ .., v0, v1, a, b, c, d] = head;
    if magic != MAGIC {
        return Err(Error::Damaged("it is something else".to_owned()));
    }
    let found = u16::from_le_bytes([v0, v1]);
    if found != VERSION {
        return Err(Error::Version { found });
    }
    let length = u32::from_le_bytes([a, b, c, d]);
    if length > LONGEST {
        return Err(Error::Damaged("its description is too long".to_owned()));
    }
    let mut described = Vec::with_capacity(length.min(ROOM) as usize);
    input.take(length.into()).read_to_end(&mut described)?;
    let mut sum = [0; 4];
    input.read_exact(&mut sum)?;
    if crc32fast::hash(&described) != u32::from_le_bytes(sum) {
        return Err(Error::Damaged("its description has another checksum".to_owned()));
    }
    match postcard::take_from_bytes(&described) {
        Ok((chunk, [])) => Ok(chunk),
        Ok(_) => Err(Error::Damaged("something stands behind its description".to_owned())),
        Err(error) => Err(Error::Damaged(error.to_string())),
    }
}

/// How many bytes of each rendition follow.
pub fn sizes(chunk: &EncodedChunk) -> Vec<u64> {
    let size = |samples: &[crate::chunk::Sample]| samples.iter().map(|sample| u64::from(sample.size)).sum();
    chunk.renditions.iter().map(|rendition| size(&rendition.samples)).collect()
}

/// Any bytes, for the fuzz targets: what is read is what can be written.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any(mut data: &[u8]) {
    let Ok(chunk) = read(&mut data) else { return };
    assert!(sizes(&chunk).len() == chunk.renditions.len());
    write_head(io::sink(), &chunk).unwrap_or_else(|error| panic!("{error}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{EncodedRendition, Sample, StageCpu};
    use crate::fuzzing::each_damaged;
    use crate::index::FrameEntry;
    use crate::ladder::{Method, Rendition, Search};
    use crate::source::{Color, HdrMetadata, Rotation, VideoInfo};
    use crate::units::{Attempt, BitRate, ChunkIndex, PacketIndex, Ratio, Size, TimeBase};

    fn video() -> VideoInfo {
        VideoInfo {
            stream: 0,
            codec: "h264".to_owned(),
            time_base: TimeBase::per_second(25).unwrap(),
            size: Size { width: 64, height: 36 },
            sample_aspect: Ratio::ONE,
            picture_aspect: None,
            rotation: Rotation::default(),
            pixel_format: "yuv420p".to_owned(),
            color: Color::BT709,
            hdr: HdrMetadata::default(),
            interlaced: false,
            top_field_first: None,
            frame_rate: Ratio::new(25, 1).unwrap(),
        }
    }

    fn rendition(name: &str) -> Rendition {
        let method = Method::h264(23.0, BitRate(1_000_000), 2_000_000, "medium");
        Rendition { name: name.to_owned(), size: Size { width: 64, height: 36 }, sample_aspect: Ratio::ONE, method }
    }

    fn task() -> EncodeTask {
        EncodeTask {
            chunk: ChunkIndex(3),
            last: true,
            attempt: Attempt(2),
            video: video(),
            frames: (0..2).map(|at| FrameEntry { packet: PacketIndex(at), pts: at.into() }).collect(),
            one_frame_a_packet: true,
            hidden: Vec::new(),
            concealed: false,
            context: (Vec::new(), Vec::new()),
            segment_starts: vec![0],
            renditions: vec![rendition("large"), rendition("small")],
            check: None,
            spool: "/spool".into(),
        }
    }

    fn encoded() -> EncodedChunk {
        let rendition = |name: &str| EncodedRendition {
            rendition: name.to_owned(),
            config: vec![1, 2],
            samples: vec![Sample { pts: 0, size: 5, sync: true }, Sample { pts: 1, size: 2, sync: false }],
            spool: "/spool/somewhere".into(),
            encoder: "libx264".to_owned(),
            crf: Some(23.0),
            search: Search::Preset,
            fidelity: None,
            vmaf: None,
            outcome: None,
            encodings: 1,
        };
        let renditions = vec![rendition("large"), rendition("small")];
        EncodedChunk { chunk: ChunkIndex(3), attempt: Attempt(2), renditions, cpu: StageCpu::default() }
    }

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        write_head(&mut bytes, &encoded()).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read_without_the_paths_of_whoever_wrote_it() {
        let bytes = [written(), vec![0; 14]].concat();
        let mut rest = &bytes[..];
        let read = read_head(&mut rest, &task()).unwrap();
        let mut due = encoded();
        due.renditions.iter_mut().for_each(|it| it.spool = PathBuf::new());
        assert_eq!(read, due);
        assert_eq!((sizes(&read), rest.len()), (vec![7, 7], 14));
    }

    #[test]
    fn what_is_not_the_task_s_is_refused() {
        let refused = |task: &EncodeTask| read_head(&written()[..], task).unwrap_err().to_string();
        assert!(refused(&EncodeTask { attempt: Attempt(1), ..task() }).contains("another attempt"));
        assert!(refused(&EncodeTask { renditions: vec![rendition("large")], ..task() }).contains("other renditions"));
        let one = task().frames[..1].to_vec();
        assert!(refused(&EncodeTask { frames: one, ..task() }).contains("more samples than frames"));
    }

    #[test]
    fn damage_is_noticed_and_never_makes_the_reader_panic() {
        let whole = written();
        for at in 0..whole.len() {
            assert!(read_head(&whole[..at], &task()).is_err(), "cut off at {at}");
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(read_head(&damaged[..], &task()).is_err(), "damaged at {at}");
        }
        each_damaged(&[whole], 5_000, read_any);
    }
}
