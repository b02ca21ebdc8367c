//! The archive beside the ladder: FFV1 (RFC 9043) and FLAC (RFC 9639) in Matroska (RFC 9559). No player fetches it, so nothing
//! of it becomes segments: frames wait in the spool files that they came in, sound in files of its own, until the whole is
//! there. Then they are copied into one file, which is read back and held against the index: every frame of the source once,
//! at its time, and whole by its own checksums.

mod sound;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use mp4_atom::{Mdhd, Tkhd};
use vtp_engine::chunk::EncodedRendition;
use vtp_engine::format::ffv1;
use vtp_engine::index::Index;
use vtp_engine::ladder::Rendition;
use vtp_engine::plan::ChunkPlan;
use vtp_engine::source::VideoInfo;
use vtp_engine::units::{Ratio, Size, gcd};

use crate::cut;
use crate::files::{Folder, discard};
use crate::language::Language;
use crate::layout::{AudioTrack, Clock, Durability, audio_kind, folders};
use crate::proof::read::ReadSample;
use crate::remux::matroska::tick_ns;
use crate::remux::run::{Form, Source, pour};
use crate::remux::{Container, Display, Kind, Pictures, Track, entry};
use crate::report::FileReport;
use crate::stop::Stop;
use crate::{Error, boxes};
pub use sound::{ArchiveSound, ArchivedSound};

/// The name of the file in the output folder.
pub(crate) const FILE: &str = "archive.mkv";

/// What goes into an archive.
#[derive(Clone, Debug, PartialEq)]
pub struct ArchiveSpec {
    /// The rendition that brings the frames.
    pub rendition: Rendition,
    /// What the source's pictures are like.
    pub video: VideoInfo,
    /// The source's tracks of sound, in FLAC.
    pub sound: Vec<AudioTrack>,
    /// A folder in which sound waits for the end.
    pub spool: PathBuf,
}

/// An archive that grows chunk by chunk.
#[derive(Debug)]
pub(crate) struct Archive {
    spec: ArchiveSpec,
    /// The configuration record, from the first chunk on.
    config: Option<Vec<u8>>,
    /// The chunks' spool files.
    spools: Vec<PathBuf>,
    /// Where each frame is: the spool file, and where in it the frame begins.
    places: Vec<(u32, u64)>,
    sizes: Vec<u32>,
}

impl Archive {
    pub(crate) fn new(spec: ArchiveSpec) -> Self {
        Self { spec, config: None, spools: Vec::new(), places: Vec::new(), sizes: Vec::new() }
    }

    /// The name of the rendition that chunks have to bring.
    pub(crate) fn rendition(&self) -> &str {
        &self.spec.rendition.name
    }

    /// Who takes the sound of a track.
    pub(crate) fn sound(&self, track: usize) -> Result<ArchiveSound, Error> {
        ArchiveSound::create(self.spec.spool.join(format!("archive-{track}.flac-frames")))
    }

    /// Takes the frames of the next chunk; their spool file stays as it is.
    pub(crate) fn append(&mut self, plan: &ChunkPlan, of: &EncodedRendition, index: &Index) -> Result<(), Error> {
        let (chunk, rendition) = (plan.index, self.spec.rendition.name.clone());
        if self.config.as_ref().is_some_and(|first| *first != of.config) {
            return Err(Error::Config { chunk, rendition });
        }
        if !ffv1::is_record(&of.config) {
            return Err(in_archive(boxes::Error::Config("a record of FFV1 with a wrong checksum".to_owned())));
        }
        check(of, plan, index).map_err(|source| Error::Cut { chunk, rendition, source })?;
        let file = u32::try_from(self.spools.len()).map_err(|_| in_archive(boxes::Error::Range { what: "a count" }))?;
        let mut offset = 0;
        for sample in &of.samples {
            self.places.push((file, offset));
            self.sizes.push(sample.size);
            offset += u64::from(sample.size);
        }
        self.spools.push(of.spool.clone());
        self.config.get_or_insert_with(|| of.config.clone());
        Ok(())
    }

    /// Writes the file into `dir` and proves it, and then deletes what waited for it. After an error the file is not there.
    pub(crate) fn write(
        &self,
        stop: Stop<'_>,
        dir: &Path,
        durability: Durability,
        (index, clock): (&Index, Clock),
        sound: &[ArchivedSound],
    ) -> Result<FileReport, Error> {
        if sound.len() != self.spec.sound.len() {
            let (got, due) = ((0..sound.len()).collect(), (0..self.spec.sound.len()).collect());
            return Err(Error::MissingAudio { got, due });
        }
        let names = self.names();
        let heard = || sound.iter().zip(&self.spec.sound).enumerate().filter(|(_, (it, _))| it.samples > 0);
        let mut tracks = vec![self.pictures(index, clock)?];
        let mut sources = vec![Source::new(self.spools.clone(), self.places.clone())];
        for (place, (it, spec)) in heard() {
            tracks.push(it.track(spec, &names[place])?);
            sources.push(it.source());
        }
        let folder = Folder::create(dir.to_owned(), durability)?;
        let form = Form { container: Container::Mkv, tick_ns: tick_ns(self.spec.video.time_base) };
        let is_intact = |track, bytes: &[u8]| track > 0 || ffv1::slices(bytes).is_some();
        let bytes = pour(stop, &folder, FILE, form, &tracks, sources, &is_intact)?;
        self.spools.iter().chain(sound.iter().map(|it| &it.path)).for_each(|path| discard(path));
        Ok(FileReport {
            name: FILE.to_owned(),
            container: Container::Mkv.to_string(),
            video: self.spec.rendition.name.clone(),
            audio: heard().map(|(place, _)| names[place].clone()).collect(),
            subtitles: Vec::new(),
            bytes,
        })
    }

    /// What the tracks of sound are called in the report.
    fn names(&self) -> Vec<String> {
        let tracks = self.spec.sound.iter().enumerate();
        folders(tracks.map(|(place, it)| (audio_kind(it.codec, it.surround), it.language.as_deref(), place)))
    }

    /// The track of the pictures: every frame of the index, when that shows it.
    fn pictures(&self, index: &Index, clock: Clock) -> Result<Track, Error> {
        let count = index.frame_count();
        let range = || in_archive(boxes::Error::Range { what: "the time of a frame" });
        let time = |frame: u32| clock.frame_time(index, frame).ok_or_else(range);
        if self.sizes.len() != count as usize {
            return Err(Error::Layout(format!("the archive has {} of {count} frames", self.sizes.len())));
        }
        let sample = |(frame, size): (u32, &u32)| {
            let (decoded, next) = (time(frame)?, time(frame + 1)?);
            let duration = next.checked_sub(decoded).and_then(|ticks| u32::try_from(ticks).ok()).ok_or_else(range)?;
            Ok(ReadSample { decoded, shown: decoded.cast_signed(), duration, size: *size, sync: true })
        };
        let VideoInfo { color, hdr, rotation, interlaced, top_field_first, .. } = self.spec.video;
        let Rendition { size, sample_aspect, .. } = self.spec.rendition;
        let pictures = Pictures {
            size,
            display: display(size, sample_aspect),
            color,
            hdr,
            rotation,
            fields: interlaced.then_some(top_field_first),
        };
        Ok(Track {
            kind: Kind::Video(Box::new(pictures)),
            entry: entry::ffv1(self.config.as_deref().unwrap_or_default()).map_err(in_archive)?,
            tkhd: Tkhd::default(),
            mdhd: Mdhd { timescale: clock.timescale, ..Mdhd::default() },
            samples: (0..).zip(&self.sizes).map(sample).collect::<Result<_, Error>>()?,
            language: Language::of(None),
            priming: 0,
            name: String::new(),
            default: true,
        })
    }
}

/// A chunk's samples are the frames that the plan has, in their order, and each can be decoded alone.
fn check(of: &EncodedRendition, plan: &ChunkPlan, index: &Index) -> Result<(), cut::Error> {
    let due = index.frames.get(plan.frames.start as usize..plan.frames.end as usize).unwrap_or_default();
    let segment = plan.segments.start;
    if of.samples.len() != due.len() {
        return Err(cut::Error::Count { got: of.samples.len(), due: due.len() });
    }
    if let Some((got, due)) = of.samples.iter().zip(due).find(|(got, due)| got.pts != due.pts) {
        return Err(cut::Error::Frame { segment, got: got.pts, due: due.pts });
    }
    if of.samples.iter().all(|sample| sample.sync) { Ok(()) } else { Err(cut::Error::NotSync { segment }) }
}

/// In whole square pixels if that is exact, else as a ratio.
fn display(size: Size, sample_aspect: Ratio) -> Display {
    let (width, height) = (
        u64::from(size.width) * u64::from(sample_aspect.num()),
        u64::from(size.height) * u64::from(sample_aspect.den()),
    );
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    if width.is_multiple_of(sample_aspect.den().into()) {
        return Display::Pixels(Size { width: narrow(width / u64::from(sample_aspect.den())), height: size.height });
    }
    let divisor = gcd(width, height).max(1);
    Display::Aspect(Size { width: narrow(width / divisor), height: narrow(height / divisor) })
}

fn in_archive(source: boxes::Error) -> Error {
    Error::Boxes { name: FILE.to_owned(), source }
}
