//! Reads written files back: a walk over the boxes that trusts nothing of what the writer remembers.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
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
    /// The sequence number of its first fragment.
    pub sequence: u32,
    /// How many fragments it consists of; they join, and their sequence numbers follow each other.
    pub fragments: u32,
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
    /// Presentation time: what the edit list takes out is taken off.
    pub shown: i64,
    /// Duration.
    pub duration: u32,
    /// Size in bytes.
    pub size: u32,
    /// Whether it is flagged as a sync sample.
    pub sync: bool,
}

/// A picture that stands alone in its fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPicture {
    /// Presentation time before edits.
    pub shown: i64,
    /// Whether it is flagged as a sync sample, and is a key picture by its bytes.
    pub is_key: bool,
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

/// The samples of a media segment, and where in the file each one's bytes begin.
pub(crate) fn located(path: &Path, init: ReadInit) -> Result<Vec<(ReadSample, u64)>, Violation> {
    let read = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        read_located(&mut BufReader::new(file), length, init)
    };
    read().map_err(|reason| unreadable(path, reason))
}

/// Reads the picture that these bytes of a media segment are: one fragment of one sample.
pub fn picture(path: &Path, range: Range<u64>, init: ReadInit, video: &VideoConfig) -> Result<ReadPicture, Violation> {
    let read = || {
        let mut file = File::open(path)?;
        let outside = range.end > file.metadata()?.len() || range.start > range.end;
        let length = usize::try_from(range.end.saturating_sub(range.start)).ok().filter(|_| !outside);
        let mut bytes = vec![0; length.ok_or(Reason::Shape("a range beyond the file's end"))?];
        file.seek(SeekFrom::Start(range.start))?;
        file.read_exact(&mut bytes)?;
        read_picture(&bytes, init, video)
    };
    read().map_err(|reason| unreadable(path, reason))
}

pub(crate) fn unreadable(path: &Path, reason: Reason) -> Violation {
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
        _ => return Err(Reason::Shape("an edit list other than one that takes out the start")),
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
    let first = read_fragment(file, length, init)?;
    let opens_with_key = match (video, first.samples.first()) {
        (Some(config), Some(sample)) => {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(first.body.start))?;
            file.take(sample.size.into()).read_to_end(&mut bytes)?;
            config.is_key(&bytes)
        }
        _ => None,
    };
    let payload = first.payload();
    let Fragment { sequence, start, samples, body } = first;
    file.seek(SeekFrom::Start(body.end))?;
    let mut segment =
        ReadSegment { sequence, fragments: 1, start, samples, head_bytes: length - payload, opens_with_key };
    while file.stream_position()? < length {
        let next = read_fragment(file, length, init)?;
        if Some(next.sequence) != sequence.checked_add(segment.fragments) || next.start != segment.end() {
            return Err(Reason::Shape("its fragments do not follow each other"));
        }
        segment.fragments += 1;
        segment.head_bytes -= next.payload();
        segment.samples.extend(next.samples);
        file.seek(SeekFrom::Start(next.body.end))?;
    }
    Ok(segment)
}

fn read_located(file: &mut (impl Read + Seek), length: u64, init: ReadInit) -> Result<Vec<(ReadSample, u64)>, Reason> {
    Styp::read_from(file)?;
    let mut located = Vec::new();
    while file.stream_position()? < length {
        let fragment = read_fragment(file, length, init)?;
        let mut offset = fragment.body.start;
        for sample in fragment.samples {
            located.push((sample, offset));
            offset += u64::from(sample.size);
        }
        file.seek(SeekFrom::Start(fragment.body.end))?;
    }
    Ok(located)
}

/// The picture that `bytes` are: one fragment of one sample, and nothing else.
pub(crate) fn read_picture(bytes: &[u8], init: ReadInit, video: &VideoConfig) -> Result<ReadPicture, Reason> {
    let length = bytes.len() as u64;
    let fragment = read_fragment(&mut Cursor::new(bytes), length, init)?;
    let [sample] = &fragment.samples[..] else { return Err(Reason::Shape("not exactly one sample")) };
    if fragment.body.end != length {
        return Err(Reason::Shape("something behind the picture"));
    }
    let body = bytes.get(bytes.len() - sample.size as usize..).unwrap_or_default();
    Ok(ReadPicture { shown: sample.shown, is_key: sample.sync && video.is_key(body) == Some(true) })
}

/// A `moof` and the `mdat` that belongs to it.
struct Fragment {
    sequence: u32,
    start: u64,
    samples: Vec<ReadSample>,
    /// Where the samples' bytes are in the file.
    body: Range<u64>,
}

impl Fragment {
    fn payload(&self) -> u64 {
        self.body.end - self.body.start
    }
}

/// The fragment that starts here and ends before `length`.
fn read_fragment(file: &mut (impl Read + Seek), length: u64, init: ReadInit) -> Result<Fragment, Reason> {
    let origin = file.stream_position()?;
    let header = Header::read_from(file)?;
    if header.kind != FourCC::new(b"moof") {
        return Err(Reason::Shape("no moof where one must be"));
    }
    let moof = Moof::read_atom(&header, file)?;
    let mdat = Header::read_from(file)?;
    let (start, due) = (file.stream_position()?, mdat.size.ok_or(Reason::Shape("mdat without a size"))? as u64);
    let end = start.checked_add(due).filter(|end| *end <= length && mdat.kind == FourCC::new(b"mdat"));
    let body = start..end.ok_or(Reason::Shape("not a moof and the mdat that belongs to it"))?;
    let (start, samples, offset) = run(&moof, init)?;
    if samples.iter().map(|sample| u64::from(sample.size)).sum::<u64>() != due {
        return Err(Reason::Shape("the samples do not fill the mdat"));
    }
    if i64::try_from(body.start - origin) != Ok(i64::from(offset)) {
        return Err(Reason::Shape("the samples do not start where the mdat does"));
    }
    Ok(Fragment { sequence: moof.mfhd.sequence_number, start, samples, body })
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
    let skipped = i64::try_from(init.skipped).map_err(|_| Reason::Shape("an edit past 63 bits"))?;
    let mut decoded = start;
    let mut samples = Vec::with_capacity(trun.samples.len());
    for entry in trun.samples.iter() {
        let TrunEntry { duration, size, flags, cts } = entry;
        let duration = duration.or(tfhd.default_sample_duration).unwrap_or(init.default_duration);
        let flags = flags.or(tfhd.default_sample_flags).unwrap_or(init.default_flags);
        samples.push(ReadSample {
            decoded,
            shown: i64::try_from(decoded)
                .ok()
                .and_then(|decoded| decoded.checked_add(cts.unwrap_or(0))?.checked_sub(skipped))
                .ok_or(Reason::Shape("a time past 63 bits"))?,
            duration,
            size: size.ok_or(Reason::Shape("a sample without a size"))?,
            sync: flags & 0x1_0000 == 0,
        });
        decoded += u64::from(duration);
    }
    Ok((start, samples, trun.data_offset.ok_or(Reason::Shape("no data offset"))?))
}
