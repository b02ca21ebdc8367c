//! The samples of a proven track, in order. No more than a segment of them is held at a time.

use std::fs;
use std::path::{Path, PathBuf};

use super::clock::Clock;
use crate::files::at;
use crate::listing::{INIT, Listing, segment_name};
use crate::proof::read::{self, ReadInit, ReadSample, Reason, unreadable};
use crate::remux::entry;
use crate::{Error, boxes};

/// A track on disk.
#[derive(Clone, Debug)]
pub(super) struct Track {
    folder: PathBuf,
    segments: u32,
    pub(super) init: ReadInit,
    /// Its decoder configuration: the payload of `avcC`, or an AudioSpecificConfig.
    pub(super) config: Vec<u8>,
}

impl Track {
    pub(super) fn open(dir: &Path, listing: &Listing, is_video: bool) -> Result<Self, Error> {
        let folder = dir.join(&listing.folder);
        let path = folder.join(INIT);
        let bytes = fs::read(&path).map_err(at(&path))?;
        let config = entry::of(&bytes).and_then(|entry| entry::codec(&entry, is_video));
        let failed = |source: boxes::Error| Error::Boxes { name: listing.folder.clone(), source };
        let segments = u32::try_from(listing.segments.len()).unwrap_or(u32::MAX);
        Ok(Self { init: read::init(&path)?, config: config.map_err(failed)?.private, folder, segments })
    }

    /// How long before it is shown the first picture is decoded, in ticks; by how much priming sound begins before 0.
    pub(super) fn ahead(&self) -> i64 {
        super::clock::ticks(self.skipped(), self.init.timescale)
    }

    pub(super) fn clock(&self, start: i64) -> Clock {
        Clock { timescale: self.init.timescale, start }
    }

    /// When a sample is decoded, in media time of the output.
    pub(super) fn decoded(&self, sample: &ReadSample) -> i64 {
        sample.decoded.cast_signed() - self.skipped()
    }

    fn skipped(&self) -> i64 {
        i64::try_from(self.init.skipped).unwrap_or(0)
    }
}

/// A sample and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) read: ReadSample,
    /// Whether it is the first of a segment.
    pub(super) opens: bool,
    pub(super) bytes: Vec<u8>,
}

/// Goes through the samples of a track.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub(super) track: &'a Track,
    next: u32,
    loaded: std::iter::Peekable<std::vec::IntoIter<Sample>>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(track: &'a Track) -> Self {
        Self { track, next: 0, loaded: Vec::new().into_iter().peekable() }
    }

    /// The next sample, which stays the next.
    pub(super) fn peek(&mut self) -> Result<Option<&Sample>, Error> {
        while self.loaded.peek().is_none() && self.next < self.track.segments {
            self.load()?;
        }
        Ok(self.loaded.peek())
    }

    /// The next sample.
    pub(super) fn next(&mut self) -> Result<Option<Sample>, Error> {
        self.peek()?;
        Ok(self.loaded.next())
    }

    /// Whether the next sample is in the segment that the one before it was in.
    pub(super) fn is_inside(&mut self) -> bool {
        self.loaded.peek().is_some()
    }

    fn load(&mut self) -> Result<(), Error> {
        let path = self.track.folder.join(segment_name(self.next));
        let bytes = fs::read(&path).map_err(at(&path))?;
        let mut samples = Vec::new();
        for (read, offset) in read::located(&path, self.track.init)? {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let found = bytes.get(start..).and_then(|rest| rest.get(..read.size as usize));
            let found = found.ok_or_else(|| unreadable(&path, Reason::Shape("a sample beyond the file's end")))?;
            samples.push(Sample { read, opens: samples.is_empty(), bytes: found.to_vec() });
        }
        self.next += 1;
        self.loaded = samples.into_iter().peekable();
        Ok(())
    }
}
