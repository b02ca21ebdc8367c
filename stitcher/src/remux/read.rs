//! Finds the samples of a written file again, by what stands in the file alone, and holds them against those that were to go
//! into it. Pure but for the reader that it is given.

use std::io::{Read, Seek};

use mp4_atom::{Atom, Co64, Ctts, Elst, FourCC, Header, Mvhd, ReadFrom, Stco, Stsc, Stss, Stsz, StszSamples, Stts};

use super::Track;
use super::matroska::{
    BLOCK, BLOCK_DURATION, BLOCK_GROUP, CLUSTER, EBML, INFO, SEGMENT, SIMPLE_BLOCK, TIMESTAMP, TIMESTAMP_SCALE, time,
};
use crate::proof::read::Reason;
use crate::seal::boxes::{boxes, only};

/// Where a sample is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) offset: u64,
    pub(super) size: u32,
}

fn shape(_: crate::seal::Error) -> Reason {
    Reason::Shape("boxes that are missing or torn")
}

/// The samples of each track of an MP4 or MOV file. They are those of `tracks`, shown at the same times, and the movie
/// stands before the media.
pub(super) fn mp4(file: &mut (impl Read + Seek), tracks: &[Track]) -> Result<Vec<Vec<Located>>, Reason> {
    let ftyp = Header::read_from(file)?;
    skip(file, ftyp.size)?;
    let header = Header::read_from(file)?;
    if ftyp.kind != FourCC::new(b"ftyp") || header.kind != FourCC::new(b"moov") {
        return Err(Reason::Shape("not ftyp and moov at first"));
    }
    let mut moov = Vec::new();
    file.take(header.size.unwrap_or(0) as u64).read_to_end(&mut moov)?;
    let mdat = Header::read_from(file)?;
    let start = file.stream_position()?;
    let body = start..start + mdat.size.unwrap_or(0) as u64;
    let movie = Mvhd::decode_body(&mut only(&moov, b"mvhd").map_err(shape)?.payload)?.timescale;
    let traks: Vec<_> = boxes(&moov).map_err(shape)?.into_iter().filter(|it| it.kind == *b"trak").collect();
    if traks.len() != tracks.len() || mdat.kind != FourCC::new(b"mdat") {
        return Err(Reason::Shape("other tracks, or no mdat behind the movie"));
    }
    let found: Vec<Vec<Located>> = traks
        .iter()
        .zip(tracks)
        .map(|(trak, track)| read_trak(trak.payload, track, movie))
        .collect::<Result<_, _>>()?;
    let is_inside = |it: &Located| it.offset >= body.start && it.offset + u64::from(it.size) <= body.end;
    if found.iter().flatten().all(is_inside) { Ok(found) } else { Err(Reason::Shape("samples outside of the mdat")) }
}

fn read_trak(trak: &[u8], track: &Track, movie: u32) -> Result<Vec<Located>, Reason> {
    let path = |kinds: &[&[u8; 4]]| {
        kinds.iter().try_fold(trak, |bytes, kind| only(bytes, kind).map(|found| found.payload)).map_err(shape)
    };
    let stbl = path(&[b"mdia", b"minf", b"stbl"])?;
    let of = |kind: &[u8; 4]| boxes(stbl).map(|all| all.into_iter().find(|it| it.kind == *kind)).map_err(shape);
    let must = |kind| Ok::<_, Reason>(of(kind)?.ok_or(Reason::Shape("a table is missing"))?.payload);
    let edits = Elst::decode_body(&mut path(&[b"edts", b"elst"])?)?.entries;
    let (wait, skipped) = match &edits[..] {
        [edit] => (0, edit.media_time),
        [wait, edit] if wait.media_time.is_none() => (wait.segment_duration, edit.media_time),
        _ => return Err(Reason::Shape("an unknown list of edits")),
    };
    let skipped = i128::from(skipped.ok_or(Reason::Shape("an empty edit"))?);
    let wait = i128::from(wait) * i128::from(track.timescale()) / i128::from(movie.max(1));
    let durations = Stts::decode_body(&mut must(b"stts")?)?.entries;
    let durations = repeated(durations.iter().map(|it| (it.sample_delta, it.sample_count)));
    let offsets = match of(b"ctts")? {
        Some(it) => Ctts::decode_body(&mut &it.payload[..])?.entries,
        None => Vec::new(),
    };
    let mut offsets = repeated(offsets.iter().map(|it| (it.sample_offset, it.sample_count)));
    let sync = of(b"stss")?.map(|it| Stss::decode_body(&mut &it.payload[..])).transpose()?;
    let sizes = match Stsz::decode_body(&mut must(b"stsz")?)?.samples {
        StszSamples::Different { sizes } => sizes,
        StszSamples::Identical { count, size } => vec![size; count as usize],
    };
    let mut sync = sync.map(|it| it.entries.into_iter().peekable());
    let first = track.samples.first().map_or(0, |it| it.decoded);
    let mut decoded = 0;
    let mut compared = 0;
    for (((number, duration), size), due) in (1..).zip(durations).zip(&sizes).zip(&track.samples) {
        let shown = i128::from(decoded) + i128::from(offsets.next().unwrap_or(0)) - skipped + wait;
        let is_sync = sync.as_mut().is_none_or(|it| it.next_if_eq(&number).is_some());
        let found = (decoded + first, shown, duration, *size, is_sync);
        if found != (due.decoded, due.shown.into(), due.duration, due.size, due.sync) {
            return Err(Reason::Shape("a sample other than that of the segment"));
        }
        decoded += u64::from(duration);
        compared += 1;
    }
    if compared != track.samples.len() || sizes.len() != compared {
        return Err(Reason::Shape("not as many samples as the segments have"));
    }
    let chunks = match of(b"co64")? {
        Some(it) => Co64::decode_body(&mut &it.payload[..])?.entries,
        None => Stco::decode_body(&mut must(b"stco")?)?.entries.into_iter().map(u64::from).collect(),
    };
    locate(&sizes, &chunks, &Stsc::decode_body(&mut must(b"stsc")?)?)
}

/// Where samples of these sizes are, by the chunks that hold them.
fn locate(sizes: &[u32], chunks: &[u64], stsc: &Stsc) -> Result<Vec<Located>, Reason> {
    let mut sizes = sizes.iter();
    let mut found = Vec::with_capacity(sizes.len());
    let mut rules = stsc.entries.iter().peekable();
    let mut count = 0;
    for (number, chunk) in (1..).zip(chunks) {
        if let Some(rule) = rules.next_if(|rule| rule.first_chunk == number) {
            count = rule.samples_per_chunk as usize;
        }
        let mut offset = *chunk;
        for size in sizes.by_ref().take(count) {
            found.push(Located { offset, size: *size });
            offset += u64::from(*size);
        }
    }
    if sizes.next().is_some() { Err(Reason::Shape("samples in no chunk")) } else { Ok(found) }
}

fn repeated<T: Copy>(runs: impl Iterator<Item = (T, u32)>) -> impl Iterator<Item = T> {
    runs.flat_map(|(value, count)| std::iter::repeat_n(value, count as usize))
}

fn skip(file: &mut impl Seek, size: Option<usize>) -> Result<(), Reason> {
    let size = size.and_then(|size| i64::try_from(size).ok()).ok_or(Reason::Shape("a box without a size"))?;
    Ok(file.seek_relative(size)?)
}

/// The samples of each track of a Matroska file of `length` bytes. They are those of `tracks`, at the same times in ticks of
/// so many nanoseconds.
pub(super) fn matroska(
    file: &mut (impl Read + Seek),
    length: u64,
    tracks: &[Track],
    tick_ns: u64,
) -> Result<Vec<Vec<Located>>, Reason> {
    let mut is_told = false;
    let mut found: Vec<Vec<Located>> = tracks.iter().map(|it| Vec::with_capacity(it.samples.len())).collect();
    let (mut cluster, mut duration) = (0, None);
    let mut position = 0;
    while position < length {
        let (id, size) = (vint(file, false)?, vint(file, true)?);
        let body = file.stream_position()?;
        let end = body.checked_add(size).filter(|end| *end <= length).ok_or(Reason::Shape("an element cut off"))?;
        position = end;
        match u32::try_from(id).unwrap_or(0) {
            SEGMENT if end != length => return Err(Reason::Shape("a segment that does not end with the file")),
            EBML if body > 12 => return Err(Reason::Shape("another document behind the first")),
            // What is within follows.
            SEGMENT | INFO | CLUSTER | BLOCK_GROUP => position = body,
            TIMESTAMP_SCALE if number(file, size)? != tick_ns => return Err(Reason::Shape("ticks of another length")),
            TIMESTAMP_SCALE => is_told = true,
            TIMESTAMP => cluster = number(file, size)?,
            BLOCK_DURATION => duration = Some(number(file, size)?),
            kind @ (SIMPLE_BLOCK | BLOCK) => {
                let mut head = [0; 4];
                file.read_exact(&mut head)?;
                let [track, high, low, flags] = head;
                let place = usize::from(track & 0x7F).wrapping_sub(1);
                let (Some(due), Some(found)) = (tracks.get(place), found.get_mut(place)) else {
                    return Err(Reason::Shape("a block of no track"));
                };
                let at = cluster.cast_signed() + i64::from(i16::from_be_bytes([high, low]));
                let sample =
                    due.samples.get(found.len()).ok_or(Reason::Shape("more samples than the segments have"))?;
                let lasts = due.is_text().then_some(u64::from(sample.duration));
                let is_same = at == time(due, sample.shown, tick_ns)
                    && (kind == BLOCK || (flags & 0x80 != 0) == sample.sync)
                    && (kind == BLOCK) == due.is_text()
                    && duration.take() == lasts
                    && size == u64::from(sample.size) + 4;
                if !is_same {
                    return Err(Reason::Shape("a sample other than that of the segment"));
                }
                found.push(Located { offset: body + 4, size: sample.size });
            }
            _ => {}
        }
        let here = file.stream_position()?;
        file.seek_relative((position - here).cast_signed())?;
    }
    let is_whole = is_told && found.iter().zip(tracks).all(|(found, due)| found.len() == due.samples.len());
    if is_whole { Ok(found) } else { Err(Reason::Shape("fewer samples than the segments have")) }
}

/// A number of variable length; with its length in it, or `without`.
fn vint(file: &mut impl Read, without: bool) -> Result<u64, Reason> {
    let mut first = [0];
    file.read_exact(&mut first)?;
    let zeros = first[0].leading_zeros();
    if zeros > 7 {
        return Err(Reason::Shape("a number of more than eight bytes"));
    }
    let rest = number(file, zeros.into())?;
    let own = if without { u64::from(first[0]) & ((0x80 >> zeros) - 1) } else { first[0].into() };
    Ok(own << (8 * zeros) | rest)
}

/// A number of so many bytes, at most eight.
fn number(file: &mut impl Read, size: u64) -> Result<u64, Reason> {
    let mut bytes = [0; 8];
    let size = usize::try_from(size).ok().filter(|size| *size <= 8).ok_or(Reason::Shape("a number too large"))?;
    file.read_exact(&mut bytes[8 - size..])?;
    Ok(u64::from_be_bytes(bytes))
}
