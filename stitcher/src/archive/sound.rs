//! The sound of an archive: frames of FLAC in a file until the whole is there, and then a track of that file's frames.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use mp4_atom::{Mdhd, Tkhd};
use vtp_engine::format::flac;
use vtp_engine::ladder::AudioCodec;

use super::in_archive;
use crate::files::at;
use crate::language::Language;
use crate::layout::AudioTrack;
use crate::proof::read::ReadSample;
use crate::remux::run::Source;
use crate::remux::{Kind, Track, entry};
use crate::{Error, boxes};

/// A track of sound that grows, frame of FLAC by frame.
#[derive(Debug)]
pub struct ArchiveSound {
    path: PathBuf,
    file: BufWriter<File>,
    sizes: Vec<u32>,
}

/// A whole track of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedSound {
    pub(super) path: PathBuf,
    sizes: Vec<u32>,
    /// Samples of each channel.
    pub(super) samples: u64,
    /// Blocks of metadata (RFC 9639 8) that know the end.
    config: Vec<u8>,
}

impl ArchiveSound {
    pub(super) fn create(path: PathBuf) -> Result<Self, Error> {
        let file = BufWriter::new(File::create(&path).map_err(at(&path))?);
        Ok(Self { path, file, sizes: Vec::new() })
    }

    /// Takes the next frame of FLAC.
    pub fn frame(&mut self, frame: &[u8]) -> Result<(), Error> {
        let size = u32::try_from(frame.len()).map_err(|_| boxes::Error::Range { what: "a frame of sound" });
        self.sizes.push(size.map_err(in_archive)?);
        self.file.write_all(frame).map_err(at(&self.path))
    }

    /// The track is complete: so many samples of each channel, and the blocks of metadata that say so.
    pub fn finish(self, samples: u64, config: Vec<u8>) -> Result<ArchivedSound, Error> {
        let Self { path, file, sizes } = self;
        file.into_inner().map_err(|error| error.into_error()).map_err(at(&path))?;
        Ok(ArchivedSound { path, sizes, samples, config })
    }
}

impl ArchivedSound {
    /// It as a track, if its header says of it what is known.
    pub(super) fn track(&self, spec: &AudioTrack, name: &str) -> Result<Track, Error> {
        let wrong = |what: &str| Error::Boxes { name: name.to_owned(), source: boxes::Error::Config(what.to_owned()) };
        let info = self.config.get(4..4 + flac::STREAMINFO).and_then(flac::StreamInfo::read);
        let info = info.ok_or_else(|| wrong("FLAC without STREAMINFO"))?;
        if (info.sample_rate, info.channels, info.samples) != (spec.sample_rate, spec.channels, self.samples) {
            return Err(wrong("a STREAMINFO of other sound"));
        }
        let frame = AudioCodec::Flac.frame();
        let samples = (0_u64..).zip(&self.sizes).map(|(place, size)| {
            let decoded = place * u64::from(frame);
            let left = self.samples.checked_sub(decoded).filter(|left| *left > 0);
            let left = left.ok_or_else(|| wrong("more frames of FLAC than there are samples"))?;
            let duration = u32::try_from(left).map_or(frame, |left| left.min(frame));
            Ok(ReadSample { decoded, shown: decoded.cast_signed(), duration, size: *size, sync: true })
        });
        let samples = samples.collect::<Result<Vec<_>, Error>>()?;
        if samples.len() as u64 != self.samples.div_ceil(frame.into()) {
            return Err(wrong("fewer frames of FLAC than there are samples"));
        }
        Ok(Track {
            kind: Kind::Audio { channels: spec.channels, sample_rate: spec.sample_rate },
            entry: entry::flac(&self.config).map_err(in_archive)?,
            tkhd: Tkhd::default(),
            mdhd: Mdhd { timescale: spec.sample_rate, ..Mdhd::default() },
            samples,
            language: Language::of(spec.language.as_deref()),
            priming: 0,
            name: spec.title.clone().unwrap_or_default(),
            default: spec.default,
        })
    }

    /// Where its frames are: back to back in one file.
    pub(super) fn source(&self) -> Source {
        let starts = self.sizes.iter().scan(0, |next, size| Some(std::mem::replace(next, *next + u64::from(*size))));
        Source::new(vec![self.path.clone()], starts.map(|start| (0, start)).collect())
    }
}
