//! What is asked for besides a ladder, and whether it can be had.

use vtp_engine::ladder::AudioCodec;

use crate::archive::ArchiveSpec;
use crate::boxes::codec::audio_name;
use crate::layout::OutputLayout;
use crate::remux::{self, Container};
use crate::seal::{Scheme, Seal};
use crate::transport;

/// What is asked for besides the ladder of a layout.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// What the output is sealed with once it is proven.
    pub seal: Option<Seal>,
    /// Whether playlists are written, and kept up to date, of what is there before all is: EVENT playlists, which
    /// [`Stitcher::finish`](crate::Stitcher::finish) replaces.
    pub play_early: bool,
    /// The containers in each of which a whole file is written beside the ladder, once it is proven.
    pub files: Vec<Container>,
    /// What FFmpeg calls the source's pixel format, where transport streams are written beside the segments, of what old
    /// devices can play.
    pub streams: Option<String>,
    /// The archive that is written beside the ladder. Chunks then have to bring its rendition, too.
    pub archive: Option<ArchiveSpec>,
}

/// Why something can't be had besides a ladder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A whole file.
    #[error(transparent)]
    File(#[from] remux::Refusal),
    /// Transport streams.
    #[error(transparent)]
    Streams(#[from] transport::Refusal),
    /// What is told early would be clear, and sealed later.
    #[error("what is encrypted can't be played early; leave out --play-early or --encrypt")]
    Early,
}

impl Extras {
    /// All of it can be had with the ladder of `layout`.
    pub(crate) fn check(&self, layout: &OutputLayout) -> Result<(), Refusal> {
        if self.seal.is_some() && self.play_early {
            return Err(Refusal::Early);
        }
        if self.seal.is_some() && !(self.files.is_empty() && self.archive.is_none()) {
            return Err(remux::Refusal::Sealed.into());
        }
        self.check_files(layout)?;
        match self.streamed(layout) {
            None => Ok(()),
            Some(streamed) => self.check_streams(layout, &streamed),
        }
    }

    fn check_files(&self, layout: &OutputLayout) -> Result<(), Refusal> {
        let tracks = layout.audio.iter().enumerate();
        let codecs: Vec<(usize, String)> = tracks
            .filter_map(|(i, it)| Some((it.version_of.unwrap_or(i), audio_name(it.codec, &it.config).ok()?)))
            .collect();
        let versions: Vec<(usize, &str)> = codecs.iter().map(|(of, codec)| (*of, codec.as_str())).collect();
        for container in &self.files {
            container.check(&layout.renditions, layout.video.rotation, &versions)?;
        }
        Ok(())
    }

    fn check_streams(&self, layout: &OutputLayout, streamed: &[bool]) -> Result<(), Refusal> {
        let tracks = layout.audio.iter().enumerate();
        let codecs: Vec<(usize, AudioCodec)> =
            tracks.map(|(place, track)| (track.version_of.unwrap_or(place), track.codec)).collect();
        let is_sealed_by_samples = self.seal.as_ref().is_some_and(|seal| seal.scheme == Scheme::Cbcs);
        Ok(transport::check(streamed, &codecs, is_sealed_by_samples)?)
    }

    /// Which renditions are also to be in transport streams, if there are to be such.
    pub(crate) fn streamed(&self, layout: &OutputLayout) -> Option<Vec<bool>> {
        let pixel_format = self.streams.as_deref()?;
        let takes = |rendition| transport::takes(rendition, layout.video.rotation, pixel_format);
        Some(layout.renditions.iter().map(takes).collect())
    }
}
