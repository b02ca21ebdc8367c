//! What is asked of an audio track, and what is told of it.

use serde::{Deserialize, Serialize};

use crate::index::TimeShift;
use crate::ladder::AudioCodec;
use crate::loudness::Loudness;
use crate::pcm::Moment;
use crate::source::AudioInfo;

/// Takes the access units of one track.
pub(super) type UnitSink<'a, E> = dyn FnMut(&[u8]) -> Result<(), E> + 'a;

/// One track to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AudioRequest {
    /// The stream.
    pub info: AudioInfo,
    /// Corrections of its timestamps, in the order of their packets.
    pub shifts: Vec<TimeShift>,
    /// How it is made.
    pub mode: AudioMode,
    /// What it is encoded with; AC-3 and E-AC-3 are only passed on.
    pub codec: AudioCodec,
    /// In what.
    pub speakers: Speakers,
    /// How loud a track that is encoded is made, in LUFS (EBU R 128); `None` is as loud as it is.
    pub loudness: Option<f64>,
    /// Where the picture ends. A track that ends before it by more than [`MOST_MISSING_S`] goes on in silence up to there, for
    /// players stall where a track has ended. `None` is a track that ends where it does.
    pub until: Option<Moment>,
}

/// So many seconds before the picture sound may end without silence behind it: so near to its end it is kept to the sample.
pub const MOST_MISSING_S: u64 = 10;

/// The end of the picture as a track counts it.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Samples from the origin on; 0 where it does not matter.
    due: u64,
    rate: u32,
}

impl End {
    /// At `rate`, of an output that begins at `origin`.
    pub(super) fn new(request: &AudioRequest, origin: Moment, rate: u32) -> Self {
        // A float becomes an integer by saturating; samples of a lifetime are far below 2^53.
        let samples = |until: Moment| ((until.seconds() - origin.seconds()) * f64::from(rate)).round() as u64;
        Self { due: request.until.map_or(0, samples), rate }
    }

    /// Samples of silence that belong behind so many. Sound that hardly ends earlier is left as it is.
    pub(super) fn missing(self, samples: u64) -> u64 {
        let missing = self.due.saturating_sub(samples);
        if missing > u64::from(self.rate) * MOST_MISSING_S { missing } else { 0 }
    }
}

/// What a track that is encoded is heard on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speakers {
    /// One or two: more channels are mixed down.
    #[default]
    Stereo,
    /// Five and a bass, from a source with at least as many.
    Surround,
    /// On whatever the source is for: its own channels, as they are.
    Own,
}

impl Speakers {
    /// The number of channels of such a track from a source with so many.
    pub fn channels(self, source: u16) -> u16 {
        match self {
            Self::Stereo => source.clamp(1, 2),
            Self::Surround => 6,
            Self::Own => source,
        }
    }
}

/// How a track is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AudioMode {
    /// Decoded and encoded.
    Encode,
    /// Its access units passed on, where they are of the codec asked for and such as players expect; encoded as AAC otherwise.
    CopyIfPossible,
}

/// What the packager must know of a track before its first access unit. Every access unit holds
/// [`AudioCodec::frame`] samples (of FLAC the last one may hold fewer).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioTrackConfig {
    /// What it is encoded with.
    pub codec: AudioCodec,
    /// Samples a second.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u16,
    /// Samples at the start of the first access unit that are not to be heard; the next one is heard at the
    /// output's time 0.
    pub priming: u32,
    /// AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1), the payload of `dOps` (Opus in ISOBMFF 4.3.2), `dac3` or `dec3` (ETSI TS
    /// 102 366 F.4, F.6), or blocks of metadata (RFC 9639 8).
    pub config: Vec<u8>,
    /// Whether the source's own access units are passed on.
    pub copied: bool,
    /// Why they are not, where [`AudioMode::CopyIfPossible`] was asked for: a clause such as `it is ac3, not AAC-LC`.
    pub encoded_because: Option<String>,
}

/// What became of a track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioOutcome {
    /// Samples to be heard, silence included, priming and final padding not; 0 if nothing could be decoded.
    pub samples: u64,
    /// When the source's first sample that is heard was to be, by the source's own times: seconds from the origin.
    pub start_s: f64,
    /// Where it was put: samples of the output before it. Negative where it lies in the priming, of what is passed on.
    pub start_sample: i64,
    /// When the source's last sample ends, likewise.
    pub end_s: f64,
    /// Seconds of silence put in, before the first sample, in gaps, and behind the last sample.
    pub inserted_silence_s: f64,
    /// Samples of silence put in behind the last one, up to the end of the picture.
    pub silence_after: u64,
    /// Seconds left out because they lie before the origin or overlap what came before.
    pub dropped_s: f64,
    /// Packets and frames that the decoder complained of.
    pub damaged: u32,
    /// How often the sound's times jumped to another clock, so that its place is not known from there on.
    pub slips: u32,
    /// How it was made as loud as asked, if that was asked for.
    pub loudness: Option<Loudness>,
    /// Of lossless sound, what it is (see [`AudioTrackConfig::config`]) now that all is known.
    pub kept: Option<KeptSound>,
}

/// What is known of lossless sound at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSound {
    /// Blocks of metadata (RFC 9639 8), with the number of samples and their MD5.
    pub config: Vec<u8>,
    /// Whether the source stores samples with more bits than were kept.
    pub is_rounded: bool,
}
