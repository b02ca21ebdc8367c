//! The forms in which encoders take samples, and how floats become them.

use ffmpeg_next::{ChannelLayout, format};

/// What lossless sound is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) channels: u16,
    /// Which they are.
    pub(super) layout: ChannelLayout,
    /// Bits a sample, 16 or 24.
    pub(super) bits: u8,
}

/// How an encoder takes samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Those of one channel beside each other.
    Planes,
    /// All channels of one moment beside each other.
    Floats,
    /// The same in whole numbers of so many bits.
    Integers(u8),
}

impl Form {
    /// What libavutil calls it.
    pub(super) fn sample_format(self) -> format::Sample {
        use format::sample::Type::{Packed, Planar};
        match self {
            Self::Planes => format::Sample::F32(Planar),
            Self::Floats => format::Sample::F32(Packed),
            Self::Integers(..=16) => format::Sample::I16(Packed),
            Self::Integers(_) => format::Sample::I32(Packed),
        }
    }
}

/// Puts the samples of one channel, of so many, into the places that are theirs.
pub(super) fn pack<const N: usize>(
    data: &mut [u8],
    (channel, channels): (usize, usize),
    samples: impl Iterator<Item = [u8; N]>,
) {
    let own = data.chunks_exact_mut(N).skip(channel).step_by(channels);
    own.zip(samples).for_each(|(to, sample)| to.copy_from_slice(&sample));
}

/// The nearest whole number of so many bits, at most 24, to a sample.
pub(super) fn whole(sample: f32, bits: u8) -> i32 {
    let one = (1_i32 << (bits - 1)) as f32;
    (sample * one).round().clamp(-one, one - 1.0) as i32
}
