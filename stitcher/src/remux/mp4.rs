//! MP4 and MOV whose `moov` stands before the `mdat`, so that they play while they arrive. Pure: all that comes before the
//! samples' bytes.

use mp4_atom::{
    Co64, Ctts, CttsEntry, Dinf, Dref, DrefEntry, Edts, Elst, ElstEntry, FixedPoint, FourCC, Ftyp, Header, Mdhd, Mvhd,
    Nmhd, Smhd, Stco, Stsc, StscEntry, Stss, Stsz, StszSamples, Stts, SttsEntry, Tkhd, Url, Vmhd,
};

use super::{Container, Kind, Run, Track, entry};
use crate::boxes::{Error, boxed, nest};

/// Everything before the first sample: `ftyp`, `moov` and the head of the `mdat`, in which the samples stand as `runs` tells.
/// Times are told in units of the first track.
pub(crate) fn head(container: Container, tracks: &[Track], runs: &[Run]) -> Result<Vec<u8>, Error> {
    let size = |run: &Run| tracks[run.track].samples[run.samples.clone()].iter().map(|it| u64::from(it.size)).sum();
    let sizes: Vec<u64> = runs.iter().map(size).collect();
    let payload: u64 = sizes.iter().sum();
    let whole = usize::try_from(payload).map_err(|_| Error::Range { what: "a file's size" })?;
    let (ftyp, mdat) = (ftyp(container, tracks)?, boxed(&Header { kind: FourCC::new(b"mdat"), size: Some(whole) })?);
    let offsets = |first: u64| {
        sizes.iter().scan(first, |next, size| Some(std::mem::replace(next, *next + size))).collect::<Vec<_>>()
    };
    let place = |wide| {
        let draft = moov(container, tracks, runs, &offsets(0), wide)?;
        Ok::<_, Error>((ftyp.len() + draft.len() + mdat.len()) as u64)
    };
    let narrow = place(false)?;
    let wide = narrow + payload > u32::MAX.into();
    let first = if wide { place(true)? } else { narrow };
    Ok([ftyp, moov(container, tracks, runs, &offsets(first), wide)?, mdat].concat())
}

fn ftyp(container: Container, tracks: &[Track]) -> Result<Vec<u8>, Error> {
    let (major_brand, brands) = match container {
        Container::Mov => (b"qt  ", vec![*b"qt  "]),
        _ => {
            let video = tracks.iter().filter(|track| track.is_video()).filter_map(|track| track.entry.get(4..8));
            let own = video.filter_map(|kind| kind.try_into().ok()).filter(|kind| [*b"avc1", *b"av01"].contains(kind));
            (b"isom", [*b"isom", *b"iso2", *b"mp41"].into_iter().chain(own).collect())
        }
    };
    boxed(&Ftyp {
        major_brand: FourCC::new(major_brand),
        minor_version: 0x200,
        compatible_brands: brands.iter().map(FourCC::new).collect(),
    })
}

/// The movie whose runs stand at these offsets, in 64 bits if they are `wide`.
fn moov(container: Container, tracks: &[Track], runs: &[Run], offsets: &[u64], wide: bool) -> Result<Vec<u8>, Error> {
    let timescale = tracks.first().map_or(1, Track::timescale);
    let ends = tracks.iter().map(|track| in_movie(track, track.end(), timescale));
    let mvhd = Mvhd {
        timescale,
        duration: ends.max().unwrap_or(0),
        rate: 1.into(),
        volume: 1.into(),
        next_track_id: tracks.len() as u32 + 1,
        ..Mvhd::default()
    };
    let mut parts = vec![boxed(&mvhd)?];
    for (place, track) in tracks.iter().enumerate() {
        let mine = runs.iter().zip(offsets).filter(|(run, _)| run.track == place);
        let (counts, offsets): (Vec<usize>, Vec<u64>) = mine.map(|(run, offset)| (run.samples.len(), *offset)).unzip();
        let chunks = Chunks { counts, offsets, wide };
        parts.push(trak(container, track, place as u32 + 1, timescale, &chunks)?);
    }
    nest(b"moov", &parts)
}

/// A media time of a track in units of the movie, rounded up: what is presented is not cut short.
fn in_movie(track: &Track, ticks: i64, timescale: u32) -> u64 {
    let scaled = i128::from(ticks.max(0)) * i128::from(timescale);
    u64::try_from((scaled + i128::from(track.timescale()) - 1) / i128::from(track.timescale())).unwrap_or(u64::MAX)
}

/// Where the samples of a track stand: so many at each offset.
struct Chunks {
    counts: Vec<usize>,
    offsets: Vec<u64>,
    wide: bool,
}

fn trak(container: Container, track: &Track, id: u32, movie: u32, chunks: &Chunks) -> Result<Vec<u8>, Error> {
    let tkhd = Tkhd {
        track_id: id,
        duration: in_movie(track, track.end(), movie),
        enabled: track.default,
        // Of those in one group one is played.
        alternate_group: match track.kind {
            Kind::Video(_) => 0,
            Kind::Audio { .. } => 1,
            Kind::Text { .. } => 2,
        },
        ..track.tkhd.clone()
    };
    let duration = track.samples.iter().map(|it| u64::from(it.duration)).sum();
    let mdhd = Mdhd { duration, ..track.mdhd.clone() };
    let (kind, name, header) = match track.kind {
        Kind::Video(_) => (b"vide", "VideoHandler", boxed(&Vmhd::default())?),
        Kind::Audio { .. } => (b"soun", "SoundHandler", boxed(&Smhd::default())?),
        Kind::Text { .. } => (b"sbtl", "SubtitleHandler", boxed(&Nmhd {})?),
    };
    let dinf = boxed(&Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } })?;
    let mut minf = vec![header, dinf, stbl(container, track, chunks)?];
    let handler = match container {
        Container::Mov => {
            minf.insert(1, component(b"dhlr", b"url ", "DataHandler")?);
            component(b"mhlr", kind, name)?
        }
        _ => boxed(&mp4_atom::Hdlr { handler: FourCC::new(kind), name: name.to_owned() })?,
    };
    let mdia = nest(b"mdia", &[boxed(&mdhd)?, handler, nest(b"minf", &minf)?])?;
    nest(b"trak", &[boxed(&tkhd)?, boxed(&edits(track, movie))?, mdia])
}

/// QuickTime's handler: it has a type besides, and the length of its name before that.
fn component(class: &[u8; 4], kind: &[u8; 4], name: &str) -> Result<Vec<u8>, Error> {
    let length = u8::try_from(name.len()).map_err(|_| Error::Range { what: "a handler's name" })?;
    nest(b"hdlr", &[vec![0; 4], class.to_vec(), kind.to_vec(), vec![0; 12], vec![length], name.as_bytes().to_vec()])
}

/// What is presented, from when on: reordering delay and priming are taken out, and a track that starts late does so.
fn edits(track: &Track, movie: u32) -> Edts {
    let (begin, first) = (track.begin(), track.samples.first().map_or(0, |it| it.decoded.cast_signed()));
    let (late, end) = (in_movie(track, begin, movie), in_movie(track, track.end(), movie));
    let media_rate = FixedPoint::new(1, 0);
    let edit = |segment_duration, media_time| ElstEntry { segment_duration, media_time, media_rate };
    let wait = (late > 0).then(|| edit(late, None));
    let media_time = Some((begin + track.lead() - first).max(0).cast_unsigned());
    let entries = wait.into_iter().chain([edit(end - late, media_time)]).collect();
    Edts { elst: Some(Elst { entries }) }
}

fn stbl(container: Container, track: &Track, chunks: &Chunks) -> Result<Vec<u8>, Error> {
    let entry = match container {
        Container::Mov if !track.is_text() => entry::quicktime(&track.entry, track.is_video())?,
        _ => track.entry.clone(),
    };
    // Version and flags, and the number of entries.
    let mut parts = vec![nest(b"stsd", &[vec![0, 0, 0, 0, 0, 0, 0, 1], entry])?];
    let durations = runs_of(track.samples.iter().map(|it| it.duration));
    let entries = durations.map(|(sample_delta, sample_count)| SttsEntry { sample_count, sample_delta }).collect();
    parts.push(boxed(&Stts { entries })?);
    let lead = track.lead();
    let offsets = track.samples.iter().map(|it| it.shown + lead - it.decoded.cast_signed());
    if offsets.clone().any(|offset| offset != 0) {
        let entries = runs_of(offsets).map(|(sample_offset, sample_count)| CttsEntry { sample_count, sample_offset });
        parts.push(boxed(&Ctts { entries: entries.collect() })?);
    }
    if track.samples.iter().any(|it| !it.sync) {
        let sync = (1..).zip(&track.samples).filter(|(_, it)| it.sync).map(|(number, _)| number);
        parts.push(boxed(&Stss { entries: sync.collect() })?);
    }
    let mut first_chunk = 1;
    let mut entries = Vec::new();
    for (samples_per_chunk, chunks) in runs_of(chunks.counts.iter().map(|count| *count as u32)) {
        entries.push(StscEntry { first_chunk, samples_per_chunk, sample_description_index: 1 });
        first_chunk += chunks;
    }
    parts.push(boxed(&Stsc { entries })?);
    let sizes = track.samples.iter().map(|it| it.size).collect();
    parts.push(boxed(&Stsz { samples: StszSamples::Different { sizes } })?);
    parts.push(match chunks.wide {
        true => boxed(&Co64 { entries: chunks.offsets.clone() })?,
        // They fit, as the whole file does.
        false => boxed(&Stco { entries: chunks.offsets.iter().map(|offset| *offset as u32).collect() })?,
    });
    nest(b"stbl", &parts)
}

/// Each value, and how often it comes in a row.
fn runs_of<T: PartialEq + Copy>(values: impl Iterator<Item = T>) -> impl Iterator<Item = (T, u32)> {
    let mut values = values.peekable();
    std::iter::from_fn(move || {
        let value = values.next()?;
        let mut count = 1;
        while values.next_if(|next| *next == value).is_some() {
            count += 1;
        }
        Some((value, count))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::testing::{audio, video};
    use super::super::{interleave, read};
    use super::*;
    use crate::seal::boxes;

    #[test]
    fn what_is_written_is_read_back_in_either_form_with_the_movie_before_the_media() {
        for container in [Container::Mp4, Container::Mov] {
            let tracks = [video(50, 25), audio(100)];
            let head = head(container, &tracks, &interleave(&tracks)).unwrap();
            let kinds: Vec<_> = ["ftyp", "moov"].map(str::as_bytes).to_vec();
            let found = boxes::boxes(&head[..head.len() - 8]).unwrap();
            assert_eq!(found.iter().map(|it| &it.kind[..]).collect::<Vec<_>>(), kinds);
            let found = read::mp4(&mut Cursor::new(&head), &tracks).unwrap();
            assert_eq!(found.len(), 2);
            assert_eq!(found[0][0].offset, head.len() as u64, "the first picture follows");
        }
    }

    #[test]
    fn a_track_that_starts_late_waits() {
        let mut late = video(4, 4);
        for sample in &mut late.samples {
            (sample.decoded, sample.shown) = (sample.decoded + 10, sample.shown + 10);
        }
        let entries = edits(&late, 25).elst.unwrap().entries;
        let told: Vec<_> = entries.iter().map(|it| (it.segment_duration, it.media_time)).collect();
        assert_eq!(told, [(10, None), (5, Some(1))]);
        let tracks = [late];
        read::mp4(&mut Cursor::new(head(Container::Mp4, &tracks, &interleave(&tracks)).unwrap()), &tracks).unwrap();
    }

    #[test]
    fn more_than_four_gigabytes_have_wide_offsets_and_a_wide_mdat() {
        let mut large = video(8, 8);
        large.samples.iter_mut().for_each(|sample| sample.size = 1 << 30);
        let tracks = [large, audio(20)];
        let head = head(Container::Mp4, &tracks, &interleave(&tracks)).unwrap();
        let mdat = &head[head.len() - 16..];
        let payload: u64 = tracks.iter().flat_map(|it| &it.samples).map(|it| u64::from(it.size)).sum();
        assert_eq!(mdat, [&1_u32.to_be_bytes()[..], b"mdat", &(payload + 16).to_be_bytes()].concat());
        let found = read::mp4(&mut Cursor::new(&head), &tracks).unwrap();
        let last = found[0].last().unwrap();
        assert_eq!(last.offset, head.len() as u64 + (7 << 30));
        assert_eq!(found[1][0].offset, head.len() as u64 + (8 << 30));
    }
}
