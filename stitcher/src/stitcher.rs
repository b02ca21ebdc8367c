//! The stitcher: chunks in, in any order; segments out as they become contiguous; manifests at the end.
//!
//! ```text
//!            add_chunk (any order)                 finish
//! gathering ───────────────────────► publishing ──────────► proved ─► published
//!      ▲  waits for the next chunk  │      │ every chunk and audio track is there
//!      └────────────────────────────┘      ▼
//!                                      refused: nothing names the segments
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vtp_engine::chunk::EncodedChunk;
use vtp_engine::index::Index;
use vtp_engine::ladder::Rendition;
use vtp_engine::plan::ChunkPlan;
use vtp_engine::units::ChunkIndex;

use crate::archive::{Archive, ArchiveSound};
use crate::audio::{AudioWriter, Cuts};
use crate::early::{self, Early};
use crate::extras::Extras;
use crate::files::{Folder, at, discard, write_bytes};
use crate::layout::{Durability, OutputLayout};
use crate::listing::{MASTER, PLAYLIST};
use crate::pictures::Gallery;
use crate::remux::Container;
use crate::seal::Seal;
use crate::subtitles::{self, FinishedSubtitles, Ruler};
use crate::video::{Delivered, VideoTrack};
use crate::{Error, hls};
mod publish;

/// Owns the output folder of one job.
#[derive(Debug)]
pub struct Stitcher {
    dir: PathBuf,
    layout: Arc<OutputLayout>,
    index: Arc<Index>,
    videos: Vec<VideoTrack>,
    gallery: Gallery,
    seal: Option<Seal>,
    early: Option<Early>,
    /// The whole files that are to stand beside the ladder.
    containers: Vec<Container>,
    /// Which renditions are also to be in transport streams, if there are to be such.
    streamed: Option<Vec<bool>>,
    /// The archive that is to stand there.
    archive: Option<Archive>,
    waiting: BTreeMap<ChunkIndex, EncodedChunk>,
    next: usize,
}

/// What became of a chunk that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is taken; its spool files are the stitcher's now.
    Accepted,
    /// That chunk was there already; nothing was done, and its spool files are still the caller's.
    Duplicate,
}

impl Stitcher {
    /// Starts an output in `dir`, which is created if need be. What is in it already is not looked at.
    pub fn new(dir: &Path, layout: OutputLayout, index: Arc<Index>, extras: Extras) -> Result<Self, Error> {
        layout.check(&index)?;
        extras.check(&layout)?;
        let clock = layout.clock(&index);
        let create = |rendition: &Rendition| VideoTrack::create(dir, rendition.clone(), &layout, clock);
        let videos = layout.renditions.iter().map(create).collect::<Result<_, _>>()?;
        let gallery = Gallery::create(dir, &layout.stills, layout.durability)?;
        Ok(Self {
            dir: dir.to_owned(),
            videos,
            gallery,
            early: extras.play_early.then(|| Early::of(&layout, &index)),
            streamed: extras.streamed(&layout),
            seal: extras.seal,
            containers: extras.files,
            archive: extras.archive.map(Archive::new),
            layout: Arc::new(layout),
            index,
            waiting: BTreeMap::new(),
            next: 0,
        })
    }

    /// The names of the renditions that the transport streams don't have, where there are to be such.
    pub fn not_streamed(&self) -> Vec<String> {
        let streamed = self.streamed.iter().flatten();
        let left = self.layout.renditions.iter().zip(streamed).filter(|(_, is_streamed)| !**is_streamed);
        left.map(|(rendition, _)| rendition.name.clone()).collect()
    }

    /// Whether there are playlists already, whatever is in them.
    pub fn is_playable(&self) -> bool {
        self.early.as_ref().is_some_and(|early| early.is_playable)
    }

    /// Who takes the sound of a track of the archive. They may go to another thread.
    pub fn archive_sound(&self, track: usize) -> Result<ArchiveSound, Error> {
        let archive = self.archive.as_ref().ok_or_else(|| Error::Layout("there is no archive".to_owned()))?;
        archive.sound(track)
    }

    /// The writer of an audio track of the layout. It may go to another thread.
    pub fn audio_writer(&self, track: usize) -> Result<AudioWriter, Error> {
        let (cuts, _, timescale) = self.cuts()?;
        let writer = AudioWriter::create(&self.dir, &self.layout, track, (cuts, timescale))?;
        Ok(match self.early.as_ref().and_then(|early| early.heard.get(track)) {
            Some(heard) => writer.told_to(heard.clone()),
            None => writer,
        })
    }

    /// Where sound and subtitles are cut, when video ends, and the units a second of both.
    fn cuts(&self) -> Result<(Cuts, u64, u32), Error> {
        let clock = self.layout.clock(&self.index);
        let time = |frame: u32| {
            let outside = || Error::Layout(format!("frame {frame} has no time in the output"));
            clock.frame_time(&self.index, frame).ok_or_else(outside)
        };
        let starts =
            self.layout.plan.segments.iter().map(|frames| time(frames.start)).collect::<Result<Vec<_>, _>>()?;
        let end = time(self.index.frame_count())?;
        let cuts = Cuts::new(&starts, end, clock.timescale, self.layout.target_segment_s);
        Ok((cuts, end, clock.timescale))
    }

    /// Writes all subtitles.
    fn subtitles(&self, ruler: &Ruler) -> Result<Vec<FinishedSubtitles>, Error> {
        let tracks = self.layout.subtitle_folders().into_iter().zip(&self.layout.subtitles);
        let write =
            |(name, track): (String, _)| subtitles::write(&self.dir, &name, track, ruler, self.layout.durability);
        tracks.map(write).collect()
    }

    /// Takes a chunk, in any order, and publishes the segments of all chunks that are contiguous now. Its spool files
    /// are deleted once its segments are as durable as the layout asks. After an error the stitcher is of no use.
    pub fn add_chunk(&mut self, chunk: EncodedChunk) -> Result<Delivery, Error> {
        let place = chunk.chunk.0 as usize;
        if place >= self.layout.plan.chunks.len() {
            return Err(Error::UnknownChunk(chunk.chunk));
        }
        if place < self.next || self.waiting.contains_key(&chunk.chunk) {
            return Ok(Delivery::Duplicate);
        }
        self.check_renditions(&chunk, place)?;
        self.waiting.insert(chunk.chunk, chunk);
        while let Some(plan) = self.due() {
            let Some(chunk) = self.waiting.remove(&plan.index) else { break };
            self.append(&plan, &chunk)?;
            self.next += 1;
        }
        self.tell_early()?;
        Ok(Delivery::Accepted)
    }

    /// Writes playlists of what is there, if that is asked for: media playlists first.
    fn tell_early(&mut self) -> Result<(), Error> {
        let Some(early) = &self.early else { return Ok(()) };
        let (cuts, end, timescale) = self.cuts()?;
        let shown =
            self.due().and_then(|chunk| self.layout.clock(&self.index).frame_time(&self.index, chunk.frames.start));
        let until = shown.map_or(f64::INFINITY, |shown| shown as f64 / f64::from(timescale));
        let heard = early.heard(&self.layout.audio, until).filter(|_| self.next > 0);
        let Some(heard) = heard else { return Ok(()) };
        let presentation = self.presentation(&heard, &[], &Ruler::new(&cuts, end, timescale))?;
        let (target_s, is_playable) = (early.target_s, early.is_playable);
        for listing in presentation.listings() {
            let mut playlist = early::media(listing, target_s);
            hls::date(&mut playlist, &presentation, listing.start_s());
            self.tell(&listing.folder, PLAYLIST, |bytes| playlist.write_to(bytes))?;
        }
        if !is_playable {
            let master = early::master(&presentation, &self.layout.renditions);
            self.tell("", MASTER, |bytes| master.write_to(bytes))?;
        }
        if let Some(early) = &mut self.early {
            early.is_playable = true;
        }
        Ok(())
    }

    fn tell(
        &self,
        folder: &str,
        name: &str,
        write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let path = self.dir.join(folder);
        let text = hls::text(write).map_err(at(&path))?;
        let folder = Folder::create(path, Durability::Buffered)?;
        let path = folder.file(name);
        folder.publish(name, |file| write_bytes(file, &path, &text))
    }

    /// Takes back what was told too early.
    fn withdraw(dir: &Path, folders: &[String]) {
        let playlists = folders.iter().map(|folder| dir.join(folder).join(PLAYLIST));
        for path in std::iter::once(dir.join(MASTER)).chain(playlists).filter(|path| path.exists()) {
            discard(&path);
        }
    }

    /// How many chunks are published, from the first on.
    pub fn published_chunks(&self) -> usize {
        self.next
    }

    fn due(&self) -> Option<ChunkPlan> {
        self.layout.plan.chunks.get(self.next).cloned()
    }

    fn check_renditions(&self, chunk: &EncodedChunk, place: usize) -> Result<(), Error> {
        let mut got: Vec<_> = chunk.renditions.iter().map(|encoded| encoded.rendition.clone()).collect();
        let pictures = self.gallery.due(&self.layout.plan.chunks[place]).into_iter().map(|it| it.name);
        let archive = self.archive.iter().map(|archive| archive.rendition().to_owned());
        let videos = self.videos.iter().map(|video| video.rendition.name.clone());
        let mut due: Vec<_> = videos.chain(pictures).chain(archive).collect();
        got.sort_unstable();
        due.sort_unstable();
        if got == due { Ok(()) } else { Err(Error::Renditions { chunk: chunk.chunk, got, due }) }
    }

    fn append(&mut self, plan: &ChunkPlan, chunk: &EncodedChunk) -> Result<(), Error> {
        for video in &mut self.videos {
            let mine = chunk.renditions.iter().find(|encoded| encoded.rendition == video.rendition.name);
            if let Some(encoded) = mine {
                video.append(Delivered { plan, attempt: chunk.attempt, encoded }, &self.layout, &self.index)?;
            }
        }
        if let Some(archive) = &mut self.archive {
            let mine = chunk.renditions.iter().find(|encoded| encoded.rendition == archive.rendition());
            mine.map_or(Ok(()), |encoded| archive.append(plan, encoded, &self.index))?;
        }
        self.gallery.append(plan, chunk, &self.index)
    }
}
