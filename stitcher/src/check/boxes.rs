//! Initialization segments and media segments of ISO BMFF (ISO/IEC 14496-12), by whomever they were written. Takes any
//! bytes: what is read is bounded, and what is wrong is an error.
//!
//! The walk from box to box is here, for it has to go on where a box is not known; leaves are read by `mp4-atom`.

use std::io::{Read, Seek, SeekFrom};

use mp4_atom::{Atom, Elst, Mdhd, Sidx, Tfdt, Tfhd, Tkhd, Trex, Trun};

use super::codecs::{self, Colors};
use super::key;

/// Largest initialization segment that is read, in bytes.
pub(super) const MOST_INIT_BYTES: u64 = 16 << 20;
/// Largest `moof` that is read, in bytes.
const MOST_MOOF_BYTES: u64 = 64 << 20;
/// Most samples of a segment.
const MOST_SAMPLES: usize = 1_000_000;
/// Largest decoder configuration that is kept, in bytes.
const MOST_CONFIG_BYTES: usize = 64 << 10;
/// How much of a picture is read to see what it is.
const MOST_PICTURE_BYTES: u64 = 16 << 20;
/// Most boxes at the top of a segment.
const MOST_BOXES: usize = 100_000;
/// Most things of a kind that are told of a segment.
const MOST_TOLD: usize = 1_000;

/// Why bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    /// The file can't be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A box is no such box.
    #[error("box {0}: {1}")]
    Leaf(String, mp4_atom::Error),
    /// Anything else.
    #[error("{0}")]
    Shape(String),
}

fn shape<T>(what: impl Into<String>) -> Result<T, Damage> {
    Err(Damage::Shape(what.into()))
}

/// What kind of media a track holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Text or subtitles.
    Text,
    /// Something else.
    Other,
}

/// An initialization segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Init {
    /// Major and compatible brands.
    pub brands: Vec<String>,
    /// Its tracks.
    pub tracks: Vec<Track>,
}

/// A track.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Its number.
    pub id: u32,
    /// What it holds.
    pub media: Media,
    /// Units a second of its times.
    pub timescale: u32,
    /// Units that its edit list takes out at the start.
    pub skipped: u64,
    /// Width and height as shown, in pixels; 0 where not told.
    pub display: (u32, u32),
    /// Its sample entry.
    pub entry: Entry,
    defaults: Trex,
}

/// A sample entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The coding, behind whatever encryption.
    pub kind: String,
    /// Whether its samples are encrypted.
    pub encrypted: bool,
    /// RFC 6381 name; `None` where the configuration can't be read.
    pub codec: Option<String>,
    /// Payload of the configuration box.
    pub config: Vec<u8>,
    /// Coded width and height; 0 for what is no video.
    pub size: (u32, u32),
    /// Shape of a pixel, width to height.
    pub pixel: (u32, u32),
    /// Channels; 0 for what is no audio.
    pub channels: u16,
    /// Samples a second; 0 for what is no audio, or where it is too large to be told.
    pub rate: u32,
    /// Its colours, where `colr` tells.
    pub colors: Option<Colors>,
}

/// A media segment's fragments, track by track.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fragments {
    /// What each of the tracks of the initialization segment has.
    pub runs: Vec<Run>,
    /// What does not fit together.
    pub problems: Vec<String>,
}

/// The samples of one track in a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The track.
    pub track: u32,
    /// Decode time of the first sample.
    pub start: u64,
    /// Decode time behind the last sample.
    pub end: u64,
    /// Earliest presentation time, before edits.
    pub shown: i64,
    /// Duration and size of each sample, in decode order.
    pub samples: Vec<(u32, u32)>,
    /// Whether the first sample is flagged as one to start at.
    pub sync: bool,
    /// Whether the first sample is a key picture by its bytes; `None` where that can't be told.
    pub key: Option<bool>,
    /// Decode times of the pictures flagged as such to start at.
    pub syncs: Vec<u64>,
    /// Fragments that do not start where the one before ends: the time due and the time told.
    pub gaps: Vec<(u64, u64)>,
}

impl Run {
    /// How long its samples last together.
    pub fn ticks(&self) -> u64 {
        self.samples.iter().map(|(duration, _)| u64::from(*duration)).sum()
    }

    /// The shortest duration of a sample that has one.
    pub fn shortest(&self) -> Option<u32> {
        self.samples.iter().map(|sample| sample.0).filter(|duration| *duration > 0).min()
    }
}

// --- boxes in memory ------------------------------------------------------------------------

/// Kind and payload of each box; ends behind the first that is cut short.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = Result<([u8; 4], &[u8]), Damage>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let taken = take_box(rest);
        rest = taken.as_ref().map_or(&[], |(_, _, after)| after);
        Some(taken.map(|(kind, body, _)| (kind, body)))
    })
}

type Taken<'a> = ([u8; 4], &'a [u8], &'a [u8]);

fn take_box(bytes: &[u8]) -> Result<Taken<'_>, Damage> {
    let cut = || Damage::Shape(format!("{} bytes where a box should be", bytes.len()));
    let (&size, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
    let (&kind, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    let (length, rest) = match u32::from_be_bytes(size) {
        0 => (rest.len() as u64, rest),
        1 => {
            let (&long, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
            (u64::from_be_bytes(long).wrapping_sub(16), rest)
        }
        size => (u64::from(size).wrapping_sub(8), rest),
    };
    let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (body, after) = split.ok_or_else(|| Damage::Shape(format!("box {} is cut short", name(kind))))?;
    Ok((kind, body, after))
}

fn name(kind: [u8; 4]) -> String {
    String::from_utf8_lossy(&kind).chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// The first box of this kind; what is damaged before it is passed on.
fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Result<Option<&'a [u8]>, Damage> {
    for found in boxes(bytes) {
        let (of, body) = found?;
        if of == *kind {
            return Ok(Some(body));
        }
    }
    Ok(None)
}

/// A box behind a path of boxes.
fn need<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Result<&'a [u8], Damage> {
    path.iter().try_fold(bytes, |inside, kind| {
        find(inside, kind)?.ok_or_else(|| Damage::Shape(format!("there is no {} box", name(**kind))))
    })
}

fn leaf<T: Atom>(mut body: &[u8]) -> Result<T, Damage> {
    T::decode_body(&mut body).map_err(|error| Damage::Leaf(T::KIND.to_string(), error))
}

// --- the initialization segment -------------------------------------------------------------

/// Reads an initialization segment.
pub(super) fn init(bytes: &[u8]) -> Result<Init, Damage> {
    let ftyp = need(bytes, &[b"ftyp"])?;
    let brands = ftyp.chunks_exact(4).enumerate().filter(|(place, _)| *place != 1);
    let brands = brands.map(|(_, brand)| String::from_utf8_lossy(brand).into_owned()).collect();
    let moov = need(bytes, &[b"moov"])?;
    let mut trexes = Vec::new();
    if let Some(mvex) = find(moov, b"mvex")? {
        for found in boxes(mvex) {
            let (kind, body) = found?;
            if &kind == b"trex" {
                trexes.push(leaf::<Trex>(body)?);
            }
        }
    }
    let mut tracks = Vec::new();
    for found in boxes(moov) {
        let (kind, body) = found?;
        if &kind == b"trak" {
            tracks.push(track(body, &trexes)?);
        }
    }
    if tracks.is_empty() { shape("there is no track") } else { Ok(Init { brands, tracks }) }
}

fn track(trak: &[u8], trexes: &[Trex]) -> Result<Track, Damage> {
    let tkhd: Tkhd = leaf(need(trak, &[b"tkhd"])?)?;
    let mdia = need(trak, &[b"mdia"])?;
    let mdhd: Mdhd = leaf(need(mdia, &[b"mdhd"])?)?;
    if mdhd.timescale == 0 {
        return shape("the timescale is 0");
    }
    let media = match need(mdia, &[b"hdlr"])?.get(8..12) {
        Some(b"vide") => Media::Video,
        Some(b"soun") => Media::Audio,
        Some(b"text" | b"subt" | b"sbtl") => Media::Text,
        _ => Media::Other,
    };
    let stsd = need(mdia, &[b"minf", b"stbl", b"stsd"])?;
    let (kind, body) = boxes(stsd.get(8..).unwrap_or_default())
        .next()
        .ok_or_else(|| Damage::Shape("there is no sample entry".to_owned()))??;
    let skipped = match find(trak, b"edts")?.map(|edts| find(edts, b"elst")).transpose()?.flatten() {
        Some(elst) => leaf::<Elst>(elst)?.entries.iter().find_map(|edit| edit.media_time).unwrap_or(0),
        None => 0,
    };
    let trex = trexes.iter().find(|trex| trex.track_id == tkhd.track_id);
    let side = |side: u16| u32::from(side);
    Ok(Track {
        id: tkhd.track_id,
        media,
        timescale: mdhd.timescale,
        skipped,
        display: (side(tkhd.width.integer()), side(tkhd.height.integer())),
        entry: entry(name(kind), body, media)?,
        defaults: trex.ok_or_else(|| Damage::Shape("there is no trex of the track".to_owned()))?.clone(),
    })
}

fn entry(kind: String, body: &[u8], media: Media) -> Result<Entry, Damage> {
    let word = |at: usize| body.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let mut entry = Entry {
        kind,
        encrypted: false,
        codec: None,
        config: Vec::new(),
        size: (0, 0),
        pixel: (1, 1),
        channels: 0,
        rate: 0,
        colors: None,
    };
    // 14496-12 12.1.3, 12.2.3; what QuickTime puts between is longer in its version 1.
    let head = match media {
        Media::Video => {
            entry.size = (word(24).into(), word(26).into());
            78
        }
        Media::Audio => {
            (entry.channels, entry.rate) = (word(16), word(24).into());
            if word(8) == 1 { 44 } else { 28 }
        }
        Media::Text | Media::Other => body.len(),
    };
    for found in boxes(body.get(head..).unwrap_or_default()) {
        // Some writers leave four zero bytes at the end.
        let Ok((kind, inner)) = found else { break };
        match &kind {
            b"avcC" | b"hvcC" | b"av1C" | b"dac3" | b"dec3" | b"dOps" | b"dfLa" => {
                entry.config = inner[..inner.len().min(MOST_CONFIG_BYTES)].to_vec();
            }
            b"vpcC" | b"esds" => {
                entry.config = inner.get(4..inner.len().min(MOST_CONFIG_BYTES)).unwrap_or_default().to_vec()
            }
            b"pasp" => {
                let number = |at: usize| {
                    let bytes = inner.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
                    bytes.map_or(1, u32::from_be_bytes).max(1)
                };
                entry.pixel = (number(0), number(4));
            }
            b"colr" if matches!(inner.get(..4), Some(b"nclx" | b"nclc")) => {
                let code = |at: usize| inner.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
                entry.colors = (|| {
                    let (primaries, transfer, matrix) = (code(4)?, code(6)?, code(8)?);
                    let full_range = inner.get(10).is_some_and(|flags| flags & 0x80 != 0);
                    Some(Colors { primaries, transfer, matrix, full_range })
                })();
            }
            b"sinf" => {
                entry.encrypted = true;
                if let Some(original) = find(inner, b"frma")?.and_then(|frma| frma.first_chunk::<4>()) {
                    entry.kind = name(*original);
                }
            }
            _ => {}
        }
    }
    entry.codec = codecs::name(&entry.kind, &entry.config, entry.colors);
    Ok(entry)
}

// --- media segments -------------------------------------------------------------------------

/// The start and the length of the payload of a box in a file.
struct Place {
    kind: [u8; 4],
    start: u64,
    body: u64,
    end: u64,
}

/// The box that starts at `at`.
fn place(file: &mut (impl Read + Seek), at: u64, extent: Extent) -> Result<Place, Damage> {
    let left = extent.length - at;
    if left < 8 {
        return shape(format!("{left} bytes at the end are no box"));
    }
    file.seek(SeekFrom::Start(at))?;
    let mut head = [0; 8];
    file.read_exact(&mut head)?;
    let [a, b, c, d, kind @ ..] = head;
    let (size, header) = match u32::from_be_bytes([a, b, c, d]) {
        0 => (left, 8),
        1 if left >= 16 => {
            let mut long = [0; 8];
            file.read_exact(&mut long)?;
            (u64::from_be_bytes(long), 16)
        }
        size => (u64::from(size), 8),
    };
    let size = if extent.first && &kind == b"mdat" && size >= header { size.min(left) } else { size };
    if size < header || size > left {
        return shape(format!("box {} at byte {at} should have {size} bytes, {left} are left", name(kind)));
    }
    Ok(Place { kind, start: at, body: at + header, end: at + size })
}

/// Which part of a file a segment is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Its size.
    pub(super) length: u64,
    /// How many bytes of the file come before it.
    pub(super) before: u64,
    /// Whether only its first sample counts, and its last box may be cut off: so it is in I-frame playlists.
    pub(super) first: bool,
}

/// Reads a media segment.
pub(super) fn segment(file: &mut (impl Read + Seek), extent: Extent, init: &Init) -> Result<Fragments, Damage> {
    let (mut fragments, mut at, mut media) = (Fragments::default(), 0, Vec::new());
    let mut heads = Vec::new();
    while at < extent.length {
        let found = place(file, at, extent)?;
        at = found.end;
        if heads.len() + media.len() > MOST_BOXES {
            return shape("there are too many boxes");
        }
        match &found.kind {
            b"moof" if found.end - found.body > MOST_MOOF_BYTES => {
                return shape(format!("a moof of {} bytes is not read", found.end - found.body));
            }
            b"moof" => heads.push((found.start, found.body..found.end)),
            b"mdat" => media.push(found.body..found.end),
            _ => {}
        }
    }
    // Where samples may lie is known only now; of the heads no more than one is held.
    for (start, body) in heads {
        let mut moof = Vec::new();
        file.seek(SeekFrom::Start(body.start))?;
        file.take(body.end - body.start).read_to_end(&mut moof)?;
        fragment(file, (start, extent), &moof, init, &media, &mut fragments)?;
    }
    match fragments.runs.is_empty() {
        true => shape("there is no sample"),
        false => Ok(fragments),
    }
}

fn fragment(
    file: &mut (impl Read + Seek),
    (origin, extent): (u64, Extent),
    moof: &[u8],
    init: &Init,
    media: &[std::ops::Range<u64>],
    into: &mut Fragments,
) -> Result<(), Damage> {
    for found in boxes(moof) {
        let (kind, traf) = found?;
        if &kind != b"traf" {
            continue;
        }
        let tfhd: Tfhd = leaf(need(traf, &[b"tfhd"])?)?;
        let Some(track) = init.tracks.iter().find(|track| track.id == tfhd.track_id) else {
            if into.problems.len() < MOST_TOLD {
                into.problems.push(format!("track {} is not in the initialization segment", tfhd.track_id));
            }
            continue;
        };
        let tfdt: Tfdt = leaf(need(traf, &[b"tfdt"])?)?;
        let origin = tfhd.base_data_offset.map_or(origin, |offset| offset.saturating_sub(extent.before));
        let start = tfdt.base_media_decode_time;
        run(file, Traf { origin, body: traf, tfhd, start, first: extent.first }, track, media, into)?;
    }
    Ok(())
}

/// A track's part of a fragment. Its data offsets count from `origin`.
struct Traf<'a> {
    origin: u64,
    body: &'a [u8],
    tfhd: Tfhd,
    start: u64,
    first: bool,
}

fn run(
    file: &mut (impl Read + Seek),
    traf: Traf<'_>,
    track: &Track,
    media: &[std::ops::Range<u64>],
    into: &mut Fragments,
) -> Result<(), Damage> {
    let tfhd = &traf.tfhd;
    let (mut time, mut at) = (traf.start, traf.origin);
    let place = into.runs.iter().position(|run| run.track == track.id);
    let place = place.unwrap_or_else(|| {
        into.runs.push(Run {
            track: track.id,
            start: traf.start,
            end: traf.start,
            shown: i64::MAX,
            samples: Vec::new(),
            sync: false,
            key: None,
            syncs: Vec::new(),
            gaps: Vec::new(),
        });
        into.runs.len() - 1
    });
    let run = &mut into.runs[place];
    if run.end != traf.start && run.gaps.len() < MOST_TOLD {
        run.gaps.push((run.end, traf.start));
    }
    for found in boxes(traf.body) {
        let (kind, body) = found?;
        if &kind != b"trun" {
            continue;
        }
        let trun: Trun = leaf(body)?;
        if let Some(offset) = trun.data_offset {
            at = traf.origin.saturating_add_signed(offset.into());
        }
        if trun.samples.len() > MOST_SAMPLES - run.samples.len() {
            return shape(format!("{} samples are not read", trun.samples.len()));
        }
        let first = at;
        for entry in trun.samples.iter() {
            let or = |own: Option<u32>, header: Option<u32>, track: u32| own.or(header).unwrap_or(track);
            let duration = or(entry.duration, tfhd.default_sample_duration, track.defaults.default_sample_duration);
            let size = or(entry.size, tfhd.default_sample_size, track.defaults.default_sample_size);
            let flags = or(entry.flags, tfhd.default_sample_flags, track.defaults.default_sample_flags);
            let sync = flags & 0x1_0000 == 0;
            if run.samples.is_empty() {
                run.sync = sync;
                if track.media == Media::Video && !track.entry.encrypted && is_in(media, at, at + u64::from(size)) {
                    run.key = key::is_key(&track.entry.kind, &track.entry.config, &picture(file, at, size)?);
                }
            }
            if sync && track.media == Media::Video {
                run.syncs.push(time);
            }
            let shown = i64::try_from(time).unwrap_or(i64::MAX).saturating_add(entry.cts.unwrap_or(0));
            run.shown = run.shown.min(shown);
            run.samples.push((duration, size));
            time = match time.checked_add(duration.into()) {
                Some(time) => time,
                None => return shape("times do not end"),
            };
            at = at.saturating_add(size.into());
            if traf.first {
                break;
            }
        }
        if !is_in(media, first, at) {
            return shape(format!("samples at bytes {first} to {at} are not inside an mdat"));
        }
    }
    run.end = time;
    if run.samples.is_empty() {
        into.runs.remove(place);
    }
    Ok(())
}

fn is_in(media: &[std::ops::Range<u64>], start: u64, end: u64) -> bool {
    start == end || media.iter().any(|mdat| mdat.start <= start && end <= mdat.end)
}

fn picture(file: &mut (impl Read + Seek), at: u64, size: u32) -> Result<Vec<u8>, Damage> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(u64::from(size).min(MOST_PICTURE_BYTES)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A subsegment that an index refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subsegment {
    /// Its first byte in the file.
    pub(super) start: u64,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Its earliest presentation time, in units of the index's timescale.
    pub(super) time: u64,
    /// Its duration in the same.
    pub(super) ticks: u64,
}

/// What a `sidx` at byte `at` of a file refers to.
pub(super) fn index(bytes: &[u8], at: u64) -> Result<Vec<Subsegment>, Damage> {
    let sidx: Sidx = leaf(need(bytes, &[b"sidx"])?)?;
    let mut start = at.saturating_add(bytes.len() as u64).saturating_add(sidx.first_offset);
    let (mut time, mut found) = (sidx.earliest_presentation_time, Vec::new());
    for reference in &sidx.references {
        let (size, ticks) = (u64::from(reference.referenced_size), u64::from(reference.subsegment_duration));
        found.push(Subsegment { start, size, time, ticks });
        start = start.saturating_add(size);
        time = time.saturating_add(ticks);
    }
    Ok(found)
}
