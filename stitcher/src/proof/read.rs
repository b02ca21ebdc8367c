//! Reads written files back: a walk over the boxes that trusts nothing of what the writer remembers.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use mp4_atom::{FourCC, Ftyp, Header, Moof, Moov, ReadAtom, ReadFrom, Styp, TrunEntry};

use super::Violation;
use crate::boxes::codec::VideoConfig;

/// What an initialization segment says of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadInit {
    /// Media time units a second.
    pub timescale: u32,
    /// Media time units that the edit list takes out at the start.
    pub skipped: u64,
    /// The track that fragments must be of.
    pub track: u32,
    /// Duration of samples of which nothing else is said.
    pub default_duration: u32,
    /// Flags of samples of which nothing else is said.
    pub default_flags: u32,
}

/// A media segment as it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadSegment {
    /// Its sequence number.
    pub sequence: u32,
    /// Decode time of its first sample.
    pub start: u64,
    /// Its samples in decode order.
    pub samples: Vec<ReadSample>,
    /// Bytes of the file that are no samples.
    pub head_bytes: u64,
    /// Whether its first sample is a key picture by its bytes; `None` where that was not asked or cannot be told.
    pub opens_with_key: Option<bool>,
}

/// A sample as its segment describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadSample {
    /// Decode time.
    pub decoded: u64,
    /// Presentation time before edits.
    pub shown: i64,
    /// Duration.
    pub duration: u32,
    /// Size in bytes.
    pub size: u32,
    /// Whether it is flagged as a sync sample.
    pub sync: bool,
}

impl ReadSegment {
    /// The decode time that must follow.
    pub fn end(&self) -> u64 {
        self.samples.last().map_or(self.start, |last| last.decoded + u64::from(last.duration))
    }
}

/// Reads an initialization segment.
pub fn init(path: &Path) -> Result<ReadInit, Violation> {
    let read = || read_init(&mut BufReader::new(File::open(path)?));
    read().map_err(|reason| unreadable(path, reason))
}

/// Reads a media segment; with a video configuration also the first sample, to see whether it is a key picture.
pub fn segment(path: &Path, init: ReadInit, video: Option<&VideoConfig>) -> Result<ReadSegment, Violation> {
    let read = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        read_segment(&mut BufReader::new(file), length, init, video)
    };
    read().map_err(|reason| unreadable(path, reason))
}

fn unreadable(path: &Path, reason: Reason) -> Violation {
    let parts: Vec<_> = path.components().rev().take(2).map(|part| part.as_os_str().to_string_lossy()).collect();
    let file = parts.into_iter().rev().collect::<Vec<_>>().join("/");
    Violation::Unreadable { file, reason: reason.to_string() }
}

/// Why bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Box(#[from] mp4_atom::Error),
    #[error("{0}")]
    Shape(&'static str),
}

/// The initialization segment that `file` is.
pub(crate) fn read_init(file: &mut impl Read) -> Result<ReadInit, Reason> {
    Ftyp::read_from(file)?;
    let moov = Moov::read_from(file)?;
    let [trak] = &moov.trak[..] else { return Err(Reason::Shape("not exactly one track")) };
    let trexes = moov.mvex.map(|mvex| mvex.trex).unwrap_or_default();
    let trex = trexes.iter().find(|trex| trex.track_id == trak.tkhd.track_id).ok_or(Reason::Shape("no trex"))?;
    let edits = trak.edts.as_ref().and_then(|edts| edts.elst.as_ref()).map_or(&[][..], |elst| &elst.entries[..]);
    let skipped = match edits {
        [] => 0,
        [edit] if edit.segment_duration == 0 && edit.media_rate.integer() == 1 => {
            edit.media_time.ok_or(Reason::Shape("an empty edit"))?
        }
        _ => return Err(Reason::Shape("an edit list other than one of priming")),
    };
    Ok(ReadInit {
        timescale: trak.mdia.mdhd.timescale,
        skipped,
        track: trex.track_id,
        default_duration: trex.default_sample_duration,
        default_flags: trex.default_sample_flags,
    })
}

/// The media segment that `file`, of `length` bytes, is.
pub(crate) fn read_segment(
    file: &mut (impl Read + Seek),
    length: u64,
    init: ReadInit,
    video: Option<&VideoConfig>,
) -> Result<ReadSegment, Reason> {
    Styp::read_from(file)?;
    let origin = file.stream_position()?;
    let header = Header::read_from(file)?;
    let moof = Moof::read_atom(&header, file)?;
    let mdat = Header::read_from(file)?;
    let (body, due) = (file.stream_position()?, mdat.size.ok_or(Reason::Shape("mdat without a size"))? as u64);
    if mdat.kind != FourCC::new(b"mdat") || body + due != length {
        return Err(Reason::Shape("not one moof and the mdat that belongs to it"));
    }
    let (start, samples, offset) = run(&moof, init)?;
    if samples.iter().map(|sample| u64::from(sample.size)).sum::<u64>() != due {
        return Err(Reason::Shape("the samples do not fill the mdat"));
    }
    if i64::try_from(body - origin) != Ok(i64::from(offset)) {
        return Err(Reason::Shape("the samples do not start where the mdat does"));
    }
    let opens_with_key = match (video, samples.first()) {
        (Some(config), Some(first)) => {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(body))?;
            file.take(first.size.into()).read_to_end(&mut bytes)?;
            config.is_key(&bytes)
        }
        _ => None,
    };
    Ok(ReadSegment { sequence: moof.mfhd.sequence_number, start, samples, head_bytes: length - due, opens_with_key })
}

/// Decode time, samples and data offset of a fragment with one track and one run.
fn run(moof: &Moof, init: ReadInit) -> Result<(u64, Vec<ReadSample>, i32), Reason> {
    let [traf] = &moof.traf[..] else { return Err(Reason::Shape("not exactly one traf")) };
    let [trun] = &traf.trun[..] else { return Err(Reason::Shape("not exactly one trun")) };
    let tfhd = &traf.tfhd;
    if tfhd.track_id != init.track || !tfhd.default_base_is_moof || tfhd.base_data_offset.is_some() {
        return Err(Reason::Shape("another track, or offsets that do not start at the moof"));
    }
    let start = traf.tfdt.as_ref().ok_or(Reason::Shape("no tfdt"))?.base_media_decode_time;
    let mut decoded = start;
    let mut samples = Vec::with_capacity(trun.samples.len());
    for entry in trun.samples.iter() {
        let TrunEntry { duration, size, flags, cts } = entry;
        let duration = duration.or(tfhd.default_sample_duration).unwrap_or(init.default_duration);
        let flags = flags.or(tfhd.default_sample_flags).unwrap_or(init.default_flags);
        samples.push(ReadSample {
            decoded,
            shown: i64::try_from(decoded).map_err(|_| Reason::Shape("a time past 63 bits"))? + cts.unwrap_or(0),
            duration,
            size: size.ok_or(Reason::Shape("a sample without a size"))?,
            sync: flags & 0x1_0000 == 0,
        });
        decoded += u64::from(duration);
    }
    Ok((start, samples, trun.data_offset.ok_or(Reason::Shape("no data offset"))?))
}
