//! Copies the samples of proven segments into a file, one by one, and reads the file back before it has its name.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek as _, Write};
use std::path::{Path, PathBuf};

use crc32fast::Hasher;
use mp4_atom::{Ftyp, Moov, ReadFrom};

use super::text::{self, Text};
use super::{Container, Kind, Track, entry, interleave, matroska, mp4, read};
use crate::boxes::{self, VideoInit};
use crate::files::{Folder, at, discard, write_bytes};
use crate::language::Language;
use crate::layout::Durability;
use crate::listing::{AudioListing, INIT, Listing, VideoListing, segment_name};
use crate::proof;
use crate::report::FileReport;
use crate::stop::Stop;
use crate::{Error, proof::read::ReadSample};

const BUFFER: usize = 1 << 20;

/// Where a track's samples come from.
pub(crate) struct Source {
    samples: Samples,
    sum: Hasher,
}

enum Samples {
    /// Segments, or what a chunk left.
    Files {
        files: Vec<PathBuf>,
        /// The file of each sample, and where in it the sample begins.
        places: Vec<(u32, u64)>,
        open: Option<(u32, BufReader<File>)>,
    },
    /// Text.
    Memory(Vec<Vec<u8>>),
}

impl Source {
    fn of(samples: Samples) -> Self {
        Self { samples, sum: Hasher::new() }
    }

    /// Samples at these places of these files.
    pub(crate) fn new(files: Vec<PathBuf>, places: Vec<(u32, u64)>) -> Self {
        Self::of(Samples::Files { files, places, open: None })
    }

    /// The bytes of a sample. Quick where samples are asked for in order.
    fn read(&mut self, sample: usize, size: u32, bytes: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.samples {
            Samples::Memory(samples) => bytes.clone_from(&samples[sample]),
            Samples::Files { files, places, open } => {
                let (file, offset) = places[sample];
                let path = &files[file as usize];
                let reader = match open.take().filter(|(open, _)| *open == file) {
                    Some((_, reader)) => reader,
                    None => BufReader::with_capacity(BUFFER, File::open(path).map_err(at(path))?),
                };
                let (_, reader) = open.insert((file, reader));
                read_at(reader, offset, size, bytes).map_err(at(path))?;
            }
        }
        self.sum.update(bytes);
        Ok(())
    }
}

fn read_at(reader: &mut BufReader<File>, offset: u64, size: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
    let here = reader.stream_position()?;
    reader.seek_relative(offset.cast_signed() - here.cast_signed())?;
    bytes.resize(size as usize, 0);
    reader.read_exact(bytes)
}

/// What a file is made of.
pub(crate) struct Parts<'a> {
    /// The rendition that it shows.
    pub(crate) video: (&'a VideoListing, &'a VideoInit),
    pub(crate) sound: Vec<&'a AudioListing>,
    /// The tracks of subtitles, and the folders in which the ladder has them.
    pub(crate) texts: Vec<(&'a str, Text<'a>)>,
}

/// Writes a file of these parts into `dir`, where their segments are, and gives it its name once what it holds is what they
/// hold. After an error it is not there.
pub(crate) fn write(
    stop: Stop<'_>,
    dir: &Path,
    durability: Durability,
    container: Container,
    Parts { video: (video, init), sound, texts }: &Parts<'_>,
) -> Result<FileReport, Error> {
    let name = container.file_name();
    let (mut tracks, mut sources) = (Vec::new(), Vec::new());
    let mut add = |listing: &Listing, kind, language, name, default| {
        let (track, source) = load(stop, dir, listing, kind, language, name, default)?;
        tracks.push(track);
        sources.push(source);
        Ok::<_, Error>(())
    };
    let unknown = Language::of(None);
    add(&video.listing, Kind::Video(Box::new((*init).into())), unknown, String::new(), true)?;
    let default = sound.iter().position(|it| it.default);
    for (place, it) in sound.iter().enumerate() {
        let kind = Kind::Audio { channels: it.channels, sample_rate: it.sample_rate };
        add(&it.listing, kind, it.language.clone(), it.name.clone(), Some(place) == default)?;
    }
    let failed = |source: boxes::Error| Error::Boxes { name: name.clone(), source };
    let mut subtitles = Vec::new();
    for (folder, it) in texts {
        let Some((track, samples)) = text::track(container, it, init.display()).map_err(failed)? else { continue };
        tracks.push(track);
        sources.push(Source::of(Samples::Memory(samples)));
        subtitles.push((*folder).to_owned());
    }
    let folder = Folder::create(dir.to_owned(), durability)?;
    let form = Form { container, tick_ns: matroska::MILLISECOND };
    let bytes = pour(stop, &folder, &name, form, &tracks, sources, &|_, _| true)?;
    Ok(FileReport {
        name,
        container: container.to_string(),
        video: video.listing.folder.clone(),
        audio: sound.iter().map(|it| it.listing.folder.clone()).collect(),
        subtitles,
        bytes,
    })
}

/// What a file is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) container: Container,
    /// What times in Matroska are multiples of, in nanoseconds.
    pub(crate) tick_ns: u64,
}

/// Whether a sample of a track, by its place, is one that decoders will not complain of.
pub(crate) type IsIntact<'a> = &'a dyn Fn(usize, &[u8]) -> bool;

/// Writes `name` of these tracks, whose samples come from as many sources, and gives it its name once it has been read back and
/// holds them, and all of them are sound. Returns its size. After an error it is not there.
pub(crate) fn pour(
    stop: Stop<'_>,
    folder: &Folder,
    name: &str,
    form: Form,
    tracks: &[Track],
    mut sources: Vec<Source>,
    is_intact: IsIntact<'_>,
) -> Result<u64, Error> {
    let path = folder.file(name);
    let failed = |source: boxes::Error| Error::Boxes { name: name.to_owned(), source };
    let draft = folder.draft(name, |file| match form.container {
        Container::Mp4 | Container::Mov => {
            let runs = interleave(tracks);
            let head = mp4::head(form.container, tracks, &runs).map_err(failed)?;
            let samples = runs.into_iter().flat_map(|run| run.samples.map(move |sample| (run.track, sample)));
            fill(stop, file, &path, [(head, samples)], tracks, &mut sources, |_, _| Vec::new())
        }
        Container::Mkv | Container::WebM => {
            let plan = matroska::plan(form.container, tracks, form.tick_ns).map_err(failed)?;
            let clusters = plan.clusters.iter().map(|it| (it.head(), it.blocks.iter().map(|it| (it.track, it.sample))));
            write_bytes(file, &path, &plan.head)?;
            let mut heads = plan.clusters.iter().flat_map(|it| &it.blocks).map(matroska::Block::head);
            fill(stop, file, &path, clusters, tracks, &mut sources, |_, _| heads.next().unwrap_or_default())
        }
    })?;
    let sums: Vec<u32> = sources.into_iter().map(|source| source.sum.finalize()).collect();
    let proved = prove(stop, &draft, form, tracks, &sums, is_intact);
    proved.and_then(|bytes| folder.reveal(&draft, name).map(|()| bytes)).inspect_err(|_| discard(&draft))
}

/// Writes groups of samples, each behind its head, and each sample behind what `before` says.
fn fill<S: Iterator<Item = (usize, usize)>>(
    stop: Stop<'_>,
    file: &mut File,
    path: &Path,
    groups: impl IntoIterator<Item = (Vec<u8>, S)>,
    tracks: &[Track],
    sources: &mut [Source],
    mut before: impl FnMut(usize, usize) -> Vec<u8>,
) -> Result<(), Error> {
    let mut out = BufWriter::with_capacity(BUFFER, file);
    let mut bytes = Vec::new();
    for (head, samples) in groups {
        out.write_all(&head).map_err(at(path))?;
        for (track, sample) in samples {
            stop.check()?;
            sources[track].read(sample, tracks[track].samples[sample].size, &mut bytes)?;
            out.write_all(&before(track, sample)).and_then(|()| out.write_all(&bytes)).map_err(at(path))?;
        }
    }
    out.flush().map_err(at(path))
}

/// Finds all samples in the draft by its own tables and adds their bytes up. Returns its size.
fn prove(
    stop: Stop<'_>,
    draft: &Path,
    form: Form,
    tracks: &[Track],
    sums: &[u32],
    is_intact: IsIntact<'_>,
) -> Result<u64, Error> {
    let unreadable = |reason| Error::NotProved(proof::read::unreadable(draft, reason));
    let file = File::open(draft).map_err(at(draft))?;
    let length = file.metadata().map_err(at(draft))?.len();
    let mut reader = BufReader::with_capacity(BUFFER, file);
    let found = match form.container {
        Container::Mp4 | Container::Mov => read::mp4(&mut reader, tracks),
        Container::Mkv | Container::WebM => read::matroska(&mut reader, length, tracks, form.tick_ns),
    };
    let mut bytes = Vec::new();
    for (track, (located, due)) in found.map_err(unreadable)?.iter().zip(sums).enumerate() {
        let mut sum = Hasher::new();
        for it in located {
            stop.check()?;
            read_at(&mut reader, it.offset, it.size, &mut bytes).map_err(at(draft))?;
            sum.update(&bytes);
            if !is_intact(track, &bytes) {
                return Err(unreadable(proof::read::Reason::Shape("a sample that is damaged by its own checksum")));
            }
        }
        if sum.finalize() != *due {
            return Err(unreadable(proof::read::Reason::Shape("samples of other bytes than the segments'")));
        }
    }
    Ok(length)
}

/// Reads everything of a track but its samples' bytes.
fn load(
    stop: Stop<'_>,
    dir: &Path,
    listing: &Listing,
    kind: Kind,
    language: Language,
    name: String,
    default: bool,
) -> Result<(Track, Source), Error> {
    let folder = dir.join(&listing.folder);
    let path = folder.join(INIT);
    let bytes = fs::read(&path).map_err(at(&path))?;
    let failed = |source: boxes::Error| Error::Boxes { name: listing.folder.clone(), source };
    let mut rest = &bytes[..];
    let moov = Ftyp::read_from(&mut rest).and_then(|_| Moov::read_from(&mut rest));
    let trak = moov.map_err(|error| failed(error.into()))?.trak.into_iter().next();
    let trak = trak.ok_or_else(|| failed(boxes::Error::Config("no track".to_owned())))?;
    let init = proof::read::init(&path)?;
    let (mut samples, mut places): (Vec<ReadSample>, Vec<_>) = (Vec::new(), Vec::new());
    let files: Vec<PathBuf> = (0..).zip(&listing.segments).map(|(place, _)| folder.join(segment_name(place))).collect();
    for (place, file) in (0..).zip(&files) {
        stop.check()?;
        for (sample, offset) in proof::read::located(file, init)? {
            samples.push(sample);
            places.push((place, offset));
        }
    }
    let entry = entry::of(&bytes).map_err(failed)?;
    let priming = if matches!(kind, Kind::Video(_)) { 0 } else { init.skipped };
    let (tkhd, mdhd) = (trak.tkhd, trak.mdia.mdhd);
    let track = Track { kind, entry, tkhd, mdhd, samples, language, priming, name, default };
    Ok((track, Source::new(files, places)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{audio, video};
    use super::*;

    #[test]
    fn a_file_with_one_wrong_byte_or_one_too_few_is_not_taken_for_proven() {
        let tracks = [video(10, 5), audio(20)];
        let sum = |track: &Track| {
            let mut sum = Hasher::new();
            track.samples.iter().for_each(|it| sum.update(&vec![0; it.size as usize]));
            sum.finalize()
        };
        let folder = tempfile::tempdir().unwrap();
        for container in Container::ALL.into_iter().filter(|it| *it != Container::WebM) {
            let mut bytes = match container {
                Container::Mkv => matroska::tests::file(container, &tracks),
                _ => {
                    let mut bytes = mp4::head(container, &tracks, &interleave(&tracks)).unwrap();
                    let payload: usize = tracks.iter().flat_map(|it| &it.samples).map(|it| it.size as usize).sum();
                    bytes.resize(bytes.len() + payload, 0);
                    bytes
                }
            };
            let draft = folder.path().join(container.file_name());
            let proved = |bytes: &[u8]| {
                fs::write(&draft, bytes).unwrap();
                prove(
                    Stop(&|| false),
                    &draft,
                    Form { container, tick_ns: matroska::MILLISECOND },
                    &tracks,
                    &tracks.each_ref().map(sum),
                    &|_, _| true,
                )
            };
            assert_eq!(proved(&bytes).unwrap(), bytes.len() as u64, "{container}");
            assert!(proved(&bytes[..bytes.len() - 1]).is_err(), "{container}");
            *bytes.last_mut().unwrap() = 1;
            assert!(matches!(proved(&bytes), Err(Error::NotProved(_))), "{container}");
        }
    }
}
