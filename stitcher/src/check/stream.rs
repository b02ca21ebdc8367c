//! What the rules judge: playlists and an MPD, and what was measured of the segments that they name. Values only.

use std::rc::Rc;

use super::boxes::{Fragments, Init, Media, Run, Track};
use super::mpd::Outline;
use super::playlist::{Encryption, Playlist};
use super::transport::{self, Transport};
use super::webvtt::WebVtt;

/// Why something that a manifest names was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// There is no such file.
    Missing,
    /// It has no bytes, or ends before the byte range.
    Short {
        /// Its size.
        bytes: u64,
    },
    /// It lies outside of the folder.
    Outside,
    /// It is somewhere else: a URL with a scheme, or with a path from a server's root.
    Elsewhere,
    /// It is not what it should be; why.
    Damaged(String),
    /// It can't be read here; why.
    Opaque(&'static str),
}

/// Something that a manifest names.
pub type Found<T> = Result<T, Absent>;

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Its HLS side.
    pub hls: Option<Hls>,
    /// Its DASH side.
    pub dash: Option<Dash>,
}

/// The HLS side.
#[derive(Clone, Debug)]
pub struct Hls {
    /// The multivariant playlist, unless a media playlist is looked at by itself.
    pub master: Option<Playlist>,
    /// Each media playlist once.
    pub renditions: Vec<Rendition>,
}

/// What a rendition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// EXT-X-STREAM-INF, or a media playlist by itself.
    Variant,
    /// EXT-X-MEDIA with TYPE=AUDIO.
    Audio,
    /// EXT-X-MEDIA with TYPE=VIDEO.
    Video,
    /// EXT-X-MEDIA with TYPE=SUBTITLES.
    Subtitles,
    /// EXT-X-I-FRAME-STREAM-INF.
    IFrames,
    /// EXT-X-IMAGE-STREAM-INF: thumbnails (the image media playlist specification, which players follow and no RFC has).
    Images,
}

/// A media playlist and what it names.
#[derive(Clone, Debug)]
pub struct Rendition {
    /// Its file, or the URI where there is none.
    pub name: String,
    /// What it is for.
    pub roles: Vec<Role>,
    /// Itself.
    pub media: Found<MediaPlaylist>,
}

/// A media playlist that was read.
#[derive(Clone, Debug)]
pub struct MediaPlaylist {
    /// Its lines.
    pub text: Playlist,
    /// Each EXT-X-MAP: its name, and what it leads to.
    pub inits: Vec<(String, Found<Rc<Init>>)>,
    /// Its segments.
    pub segments: Vec<Segment>,
}

/// A segment as a media playlist lists it.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its file and byte range.
    pub name: String,
    /// Line of its URI.
    pub line: usize,
    /// Its EXTINF, where there is one that can be read.
    pub seconds: Option<f64>,
    /// Whether EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// Whether it is a gap: nothing is there.
    pub gap: bool,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// Which of the EXT-X-MAPs it is under.
    pub init: Option<usize>,
    /// What is in it.
    pub contents: Found<Rc<Contents>>,
}

/// What is in a media segment.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Its size.
    pub bytes: u64,
    /// Its form.
    pub form: Form,
}

/// The form of a media segment.
#[derive(Clone, Debug)]
pub enum Form {
    /// Fragments of ISO BMFF.
    Fragments(Rc<Init>, Fragments),
    /// A transport stream.
    Transport(Transport),
    /// WebVTT.
    WebVtt(WebVtt),
    /// Audio frames by themselves, or something else that is not looked into.
    Other(&'static str),
}

/// Where the samples of a segment lie in time, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Decode time of the first; what an edit list takes out is taken out.
    pub start: f64,
    /// Decode time behind the last.
    pub end: f64,
    /// Duration of the shortest; of a transport stream the last distance of two.
    pub frame: f64,
    /// The longest distance of two in a transport stream, where the last one's duration is not told.
    pub longest: f64,
    /// How many there are.
    pub frames: usize,
    /// Whether the first is a key picture.
    pub key: Option<bool>,
}

impl Contents {
    /// The fragments' samples of the first track of this kind.
    pub fn run(&self, media: Media) -> Option<(&Track, &Run)> {
        let Form::Fragments(init, fragments) = &self.form else { return None };
        let track = init.tracks.iter().find(|track| track.media == media)?;
        Some((track, fragments.runs.iter().find(|run| run.track == track.id)?))
    }

    /// Where the samples of this kind lie in time.
    pub fn span(&self, media: Media) -> Option<Span> {
        if let Form::Transport(transport) = &self.form {
            let stream = transport.streams.iter().find(|stream| stream.media == media && stream.packets > 0)?;
            let (first, last) = stream.span?;
            let seconds = |ticks: u64| ticks as f64 / f64::from(transport::CLOCK);
            let length = u64::try_from(transport::between(first, last)).unwrap_or(0) + stream.step;
            return Some(Span {
                start: seconds(first),
                end: seconds(first + length),
                frame: seconds(stream.step),
                longest: seconds(stream.longest),
                frames: usize::try_from(stream.packets).unwrap_or(usize::MAX),
                key: stream.key,
            });
        }
        let (track, run) = self.run(media)?;
        // An edit list takes priming out of sound; of pictures it takes the reordering delay, which moves them all.
        let skipped = if media == Media::Audio { track.skipped } else { 0 };
        let seconds = |ticks: u64| ticks.saturating_sub(skipped) as f64 / f64::from(track.timescale);
        let frame = f64::from(run.shortest().unwrap_or(0)) / f64::from(track.timescale);
        Some(Span {
            start: seconds(run.start),
            end: seconds(run.end),
            frame,
            longest: frame,
            frames: run.samples.len(),
            // Flags are believed where the bitstream can't tell, but not against it.
            key: if track.entry.encrypted { Some(run.sync) } else { run.key.map(|key| key && run.sync) },
        })
    }

    /// What it holds, the leading kind first.
    pub fn leading(&self) -> Option<Media> {
        [Media::Video, Media::Audio, Media::Text].into_iter().find(|media| match &self.form {
            Form::Transport(_) => self.span(*media).is_some(),
            _ => self.run(*media).is_some(),
        })
    }
}

impl Rendition {
    /// Its playlist, where it was read.
    pub fn playlist(&self) -> Option<&MediaPlaylist> {
        self.media.as_ref().ok()
    }

    /// Whether it has this role.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

impl Segment {
    /// Whether it is a transport stream.
    pub fn is_transport(&self) -> bool {
        matches!(self.contents.as_ref().map(|contents| &contents.form), Ok(Form::Transport(_)))
    }
}

impl MediaPlaylist {
    /// How many seconds `span`, of the segment at `place`, lasts. In a transport stream only the next segment tells how long
    /// its last picture is shown; of that, `of` finds the span.
    pub fn lasts(&self, place: usize, span: Span, of: impl Fn(&Segment) -> Option<Span>) -> f64 {
        let is_transport = self.segments.get(place).is_some_and(Segment::is_transport);
        let next = self.segments.get(place + 1).filter(|next| is_transport && !next.discontinuity);
        match next.and_then(of) {
            Some(next) => transport::passed(span.start, next.start),
            None => span.end - span.start,
        }
    }

    /// Contents of the segments that were read.
    pub fn contents(&self) -> impl Iterator<Item = (&Segment, &Contents)> {
        self.segments.iter().filter_map(|segment| Some((segment, &**segment.contents.as_ref().ok()?)))
    }

    /// The first track of this kind in its initialization segments.
    pub fn track(&self, media: Media) -> Option<&Track> {
        let inits = self.inits.iter().filter_map(|(_, init)| init.as_ref().ok());
        inits.flat_map(|init| &init.tracks).find(|track| track.media == media)
    }

    /// Whether it holds this kind of media, as far as that was read.
    pub fn holds(&self, media: Media) -> bool {
        let in_transport = || {
            self.contents().any(|(_, contents)| match &contents.form {
                Form::Transport(transport) => transport.streams.iter().any(|stream| stream.media == media),
                _ => false,
            })
        };
        self.track(media).is_some() || in_transport()
    }

    /// RFC 6381 names of what it holds, as far as they were found.
    pub fn codecs(&self) -> Vec<String> {
        let inits = self.inits.iter().filter_map(|(_, init)| init.as_ref().ok());
        let mut names: Vec<String> =
            inits.flat_map(|init| &init.tracks).filter_map(|track| track.entry.codec.clone()).collect();
        for (_, contents) in self.contents() {
            if let Form::Transport(transport) = &contents.form {
                // A stream of which a segment has nothing, as one of I-frames has no sound, is in none.
                let there = transport.streams.iter().filter(|stream| stream.packets > 0 && !stream.codec.is_empty());
                names.extend(there.map(|stream| stream.codec.clone()));
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// Its target duration in seconds.
    pub fn target(&self) -> Option<f64> {
        self.text.number("EXT-X-TARGETDURATION").map(|seconds| seconds as f64)
    }

    /// The sum of its EXTINFs in seconds.
    pub fn seconds(&self) -> f64 {
        self.segments.iter().filter_map(|segment| segment.seconds).sum()
    }

    /// Whether nothing will be added to it.
    pub fn is_ended(&self) -> bool {
        self.text.has("EXT-X-ENDLIST")
    }
}

impl std::fmt::Display for Absent {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => write!(out, "there is no such file"),
            Self::Short { bytes } => write!(out, "its file has only {bytes} bytes"),
            Self::Outside => write!(out, "it lies outside of the folder"),
            Self::Elsewhere => write!(out, "it is on a server"),
            Self::Damaged(why) => write!(out, "{why}"),
            Self::Opaque(why) => write!(out, "{why}"),
        }
    }
}

/// An MPD.
#[derive(Clone, Debug)]
pub struct Dash {
    /// Its file.
    pub name: String,
    /// What it says, or why it can't be read.
    pub outline: Result<Outline, String>,
    /// What its Representations lead to, in their order.
    pub tracks: Vec<DashTrack>,
}

/// What a Representation leads to.
#[derive(Clone, Debug)]
pub struct DashTrack {
    /// Its initialization segment: its name, and what was found; `None` where it names none.
    pub init: Option<(String, Found<Rc<Init>>)>,
    /// Its segments.
    pub segments: Vec<DashSegment>,
}

/// A segment of a Representation.
#[derive(Clone, Debug)]
pub struct DashSegment {
    /// Its file and byte range.
    pub name: String,
    /// Start in units of the timescale, on the media timeline.
    pub start: u64,
    /// Duration in the same.
    pub ticks: u64,
    /// What is in it.
    pub contents: Found<Rc<Contents>>,
}
