//! How much of a source is taken on before it is refused: what a hostile or broken file may cost. Pure values; whoever
//! reads the source holds them against what it finds, before it spends memory on it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The limits, each under the name that [`Limit`] has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Samples of luma in a picture.
    pub pixels: u64,
    /// Video packets, and so frames.
    pub frames: u64,
    /// Streams of a container.
    pub streams: u64,
    /// Bytes of titles, tags and codec headers of a container.
    pub metadata: u64,
    /// Seconds of presentation.
    pub duration: u64,
    /// Bytes that the list of a source's packets takes in memory, with what is noted of jumps in the times of all streams.
    pub index: u64,
    /// Cues of a track of subtitles.
    pub cues: u64,
    /// Bytes of text of one cue.
    pub cue: u64,
    /// Bytes that the subtitles of a source take in memory, or those of a file.
    pub subtitles: u64,
    /// Bytes of memory of a process that works on the source; 0 lets the size of its pictures decide.
    pub memory: u64,
    /// Seconds without a sign of life after which such a process counts as hung.
    pub silence: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::pixels`].
    Pixels,
    /// [`Limits::frames`].
    Frames,
    /// [`Limits::streams`].
    Streams,
    /// [`Limits::metadata`].
    Metadata,
    /// [`Limits::duration`].
    Duration,
    /// [`Limits::index`].
    Index,
    /// [`Limits::cues`].
    Cues,
    /// [`Limits::cue`].
    Cue,
    /// [`Limits::subtitles`].
    Subtitles,
    /// [`Limits::memory`].
    Memory,
    /// [`Limits::silence`].
    Silence,
}

impl Limit {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::Pixels,
        Self::Frames,
        Self::Streams,
        Self::Metadata,
        Self::Duration,
        Self::Index,
        Self::Cues,
        Self::Cue,
        Self::Subtitles,
        Self::Memory,
        Self::Silence,
    ];

    /// What it is called, and what it counts.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Pixels => ("pixels", "samples in a picture"),
            Self::Frames => ("frames", "frames of video"),
            Self::Streams => ("streams", "streams"),
            Self::Metadata => ("metadata", "bytes of tags and headers"),
            Self::Duration => ("duration", "seconds"),
            Self::Index => ("index", "bytes of index"),
            Self::Cues => ("cues", "cues of subtitles in a track"),
            Self::Cue => ("cue", "bytes of text in a cue of subtitles"),
            Self::Subtitles => ("subtitles", "bytes of subtitles"),
            Self::Memory => ("memory", "bytes of memory of a process"),
            Self::Silence => ("silence", "seconds without a sign of life"),
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        self.words().0
    }
}

impl Limits {
    /// Pictures of 8192 by 8192 samples, a day of 100 frames a second, half a gibibyte of index.
    pub const DEFAULT: Self = Self {
        pixels: 8192 * 8192,
        frames: 10_000_000,
        streams: 128,
        metadata: 16 << 20,
        duration: 24 * 3600,
        index: 512 << 20,
        cues: 100_000,
        cue: 16 << 10,
        subtitles: 16 << 20,
        memory: 0,
        silence: 120,
    };

    /// A process that works on pictures of `source` samples and encodes them to `renditions` samples in all may take so
    /// many bytes. Measured for one rendition of 1280x720 from a source of that size: 248 MiB at x264's medium, and 553 at
    /// placebo, whose lookahead is longest. Decoders keep up to 17 pictures, of up to 3 bytes a sample in 10 bits and 4:2:0.
    pub fn memory_for(&self, source: u64, renditions: u64) -> u64 {
        const BASE: u64 = 1 << 30;
        match self.memory {
            0 => BASE.saturating_add(source.saturating_mul(128)).saturating_add(renditions.saturating_mul(800)),
            set => set,
        }
    }

    /// # Errors
    /// [`Exceeded`] if `found` is more than is allowed.
    pub fn check(&self, of: Limit, found: u64) -> Result<(), Exceeded> {
        let limit = self.get(of);
        if found > limit { Err(Exceeded { of, found, limit }) } else { Ok(()) }
    }

    fn get(&self, of: Limit) -> u64 {
        let mut limits = *self;
        *limits.place(of)
    }

    fn place(&mut self, of: Limit) -> &mut u64 {
        match of {
            Limit::Pixels => &mut self.pixels,
            Limit::Frames => &mut self.frames,
            Limit::Streams => &mut self.streams,
            Limit::Metadata => &mut self.metadata,
            Limit::Duration => &mut self.duration,
            Limit::Index => &mut self.index,
            Limit::Cues => &mut self.cues,
            Limit::Cue => &mut self.cue,
            Limit::Subtitles => &mut self.subtitles,
            Limit::Memory => &mut self.memory,
            Limit::Silence => &mut self.silence,
        }
    }

    /// The same with the limit of `change`.
    #[must_use]
    pub fn with(mut self, change: &Change) -> Self {
        *self.place(change.of) = change.value;
        self
    }
}

/// A source that is too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    of: Limit,
    found: u64,
    limit: u64,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, found, limit } = self;
        let (name, what) = of.words();
        write!(
            f,
            "the source has {found} {what}, and {limit} are allowed here; if you trust it, allow more with --limit {name}={found}"
        )
    }
}

impl std::error::Error for Exceeded {}

/// One limit set to another value, as in `pixels=40000000` or `memory=2G`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    of: Limit,
    value: u64,
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Limit::ALL.map(Limit::name).join(", ");
        let (name, value) = text.split_once('=').ok_or_else(|| "write NAME=VALUE, as in pixels=40M".to_owned())?;
        let known = Limit::ALL.into_iter().find(|known| known.name() == name);
        let Some(of) = known else { return Err(format!("there is no limit {name:?}; there are {}", names())) };
        let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match &value[digits.len()..] {
            "" => 1,
            "k" | "K" => 1_000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            unit => return Err(format!("{unit:?} is none of K, M, G, KiB, MiB, GiB")),
        };
        let number: u64 = digits.parse().map_err(|_| format!("{value:?} is no whole number"))?;
        let value = number.checked_mul(factor).ok_or_else(|| format!("{value:?} is too large"))?;
        Ok(Self { of, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set_by_its_name_and_no_other() {
        for of in Limit::ALL {
            let limits = Limits::default().with(&format!("{}=7", of.name()).parse().unwrap());
            assert_eq!(limits.get(of), 7);
            assert_eq!(limits.check(of, 7), Ok(()));
            assert_eq!(limits.check(of, 8), Err(Exceeded { of, found: 8, limit: 7 }));
            let mut others = Limit::ALL.into_iter().filter(|other| *other != of);
            assert!(others.all(|other| limits.get(other) == Limits::default().get(other)));
        }
        assert!("pixel=7".parse::<Change>().unwrap_err().contains("there is no limit"));
    }

    #[test]
    fn values_may_have_units() {
        assert_eq!("memory=2GiB".parse(), Ok(Change { of: Limit::Memory, value: 2 << 30 }));
        assert_eq!("pixels=40M".parse(), Ok(Change { of: Limit::Pixels, value: 40_000_000 }));
        for wrong in ["pixels", "pixels=", "pixels=-1", "pixels=1x", "memory=99999999999GiB"] {
            assert!(wrong.parse::<Change>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_too_much_is_told_with_what_to_do() {
        let said = Limits::default().check(Limit::Streams, 200).unwrap_err().to_string();
        assert_eq!(
            said,
            "the source has 200 streams, and 128 are allowed here; if you trust it, allow more with --limit streams=200"
        );
    }
}
