//! What workers can do, and tasks need.

use serde::{Deserialize, Serialize};

use crate::ladder::VideoCodec;

/// One thing that a worker can do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Skill {
    /// Encodes on the processor.
    Cpu,
    /// Encodes on an NVIDIA GPU.
    Nvenc,
    /// Encodes H.264.
    H264,
    /// Encodes H.265.
    Hevc,
    /// Encodes VP9.
    Vp9,
    /// Encodes AV1.
    Av1,
    /// Looks into sources.
    Split,
    /// Makes a video's ladder of its chunks.
    Stitch,
}

impl Skill {
    const ALL: [Self; 8] =
        [Self::Cpu, Self::Nvenc, Self::H264, Self::Hevc, Self::Vp9, Self::Av1, Self::Split, Self::Stitch];

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl From<VideoCodec> for Skill {
    fn from(codec: VideoCodec) -> Self {
        match codec {
            VideoCodec::H264 => Self::H264,
            VideoCodec::Hevc => Self::Hevc,
            VideoCodec::Vp9 => Self::Vp9,
            VideoCodec::Av1 => Self::Av1,
        }
    }
}

/// A set of skills. A worker is one slot, so all that it has hold at once: a machine that encodes AV1 on its processor
/// and H.264 on its GPU is two kinds of workers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Skill>", into = "Vec<Skill>")]
pub struct Skills(u16);

impl Skills {
    /// None.
    pub const NONE: Self = Self(0);

    /// What needs one of these is a whole video's, made in one place over a long time: never twice at a time, and it outlives
    /// many workers.
    pub(super) const SOLE: Self = Self::of(Skill::Stitch);

    /// This one alone.
    pub const fn of(skill: Skill) -> Self {
        Self(skill.bit())
    }

    /// These, and `skill`.
    #[must_use]
    pub fn with(self, skill: Skill) -> Self {
        Self(self.0 | skill.bit())
    }

    /// These, but not `skill`.
    #[must_use]
    pub fn without(self, skill: Skill) -> Self {
        Self(self.0 & !skill.bit())
    }

    /// Whether whoever has these can do what needs `needs`.
    pub fn cover(self, needs: Self) -> bool {
        needs.0 & !self.0 == 0
    }

    /// Whether any skill is in both.
    pub fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Skill> {
        Skill::ALL.into_iter().filter(move |skill| self.0 & skill.bit() != 0)
    }

    /// How many there are.
    pub(super) fn count(self) -> u32 {
        self.0.count_ones()
    }
}

impl FromIterator<Skill> for Skills {
    fn from_iter<I: IntoIterator<Item = Skill>>(skills: I) -> Self {
        skills.into_iter().fold(Self::NONE, Self::with)
    }
}

impl From<Vec<Skill>> for Skills {
    fn from(skills: Vec<Skill>) -> Self {
        skills.into_iter().collect()
    }
}

impl From<Skills> for Vec<Skill> {
    fn from(skills: Skills) -> Self {
        skills.iter().collect()
    }
}
