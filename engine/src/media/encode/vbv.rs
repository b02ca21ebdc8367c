//! The rate cap of separately encoded chunks, such that it holds when they are joined. Pure.

use crate::units::BitRate;

/// What one chunk's encoder is told of the rate cap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vbv {
    /// Rate at which the buffer fills.
    pub max_rate: BitRate,
    /// Size of the buffer in bits.
    pub buffer_bits: u64,
    /// How full the buffer is taken to be when the chunk begins, 0 to 1.
    pub init: f32,
}

/// How full a chunk finds the buffer unless it is the first. x264 plans ahead for a buffer that is half full: under
/// a binding cap it ends a chunk at 0.54 to 0.57 (1080 and 480 lines, chunks of 2 to 8 s), so each chunk leaves what
/// the next one counts on.
const JOIN: f32 = 0.54;

/// How full the first chunk finds it.
const FIRST: f32 = 0.95;

/// Share of the buffer that the encoder may use. The rest absorbs a chunk that ends emptier than [`JOIN`].
const USED: f64 = 0.85;

/// What to tell the encoder of a chunk so that the joined chunks obey (`max_rate`, `buffer_bits`).
///
/// Think of the buffer as a bucket of size B that every picture pours its bits into and that leaks at the rate R;
/// it must not overflow. An encoder that begins with a bucket filled to `1 - f` (a decoder buffer filled to `f`) of
/// its size C and ends with one filled to `1 - e` has poured out `R T + (f - e) C` bits in `T` seconds. The joined
/// stream's bucket therefore ends a chunk at most `(f - e) C` higher than it began it, or where the encoder's own
/// ended, whichever is higher. With `f <= e` it never rises from join to join, stays below `(1 - e) C` there and
/// below `(1 - e + f) C` between: with `f = e` that is C. So no rate need be taken from the chunk to pay for its
/// beginning, as long as it ends with the buffer as full as the next one takes it to be. C is a little smaller than
/// B, so that a chunk may end with `e` down to 0.37 and still not overflow the bucket of the next.
///
/// The first chunk begins with the full buffer, as one run over the whole source would.
pub fn vbv_for_chunk(max_rate: BitRate, buffer_bits: u64, first: bool) -> Vbv {
    Vbv { max_rate, buffer_bits: (buffer_bits as f64 * USED).round() as u64, init: if first { FIRST } else { JOIN } }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The highest level of a bucket of a leaky rate, in bits, when `pours` are poured in one a tick.
    fn peak(pours: &[f64], leak: f64, begin: f64) -> (f64, f64) {
        let (mut level, mut peak) = (begin, begin);
        for pour in pours {
            level = (level - leak).max(0.0) + pour;
            peak = f64::max(peak, level);
        }
        (level, peak)
    }

    /// Bits of a chunk's pictures that obey `vbv` and leave at least [`JOIN`] of its buffer filled at the end: as
    /// many as each wish in `wishes` asks for, as far as they fit.
    fn obedient_chunk(wishes: &[f64], vbv: Vbv, fps: f64) -> Vec<f64> {
        let (size, leak) = (vbv.buffer_bits as f64, vbv.max_rate.0 as f64 / fps);
        let mut level = size * f64::from(1.0 - vbv.init);
        let allowed_at_end = size * f64::from(1.0 - JOIN);
        let frames = wishes.len();
        let mut pours = Vec::new();
        for (i, wish) in wishes.iter().enumerate() {
            level = (level - leak).max(0.0);
            let repayable = allowed_at_end + leak * (frames - 1 - i) as f64;
            let pour = (wish * size).min(size.min(repayable) - level).max(0.0);
            level += pour;
            pours.push(pour);
        }
        pours
    }

    proptest! {
        #[test]
        fn obedient_chunks_joined_never_overflow_the_buffer(
            chunks in proptest::collection::vec(proptest::collection::vec(0.0..1.0_f64, 1..120), 1..12),
            rate in 100_000_u64..30_000_000,
            buffer_ms in 500_u64..4000,
        ) {
            let (fps, buffer) = (25.0, rate * buffer_ms / 1000);
            let mut level = 0.0;
            for (i, wishes) in chunks.iter().enumerate() {
                let pours = obedient_chunk(wishes, vbv_for_chunk(BitRate(rate), buffer, i == 0), fps);
                let (end, highest) = peak(&pours, rate as f64 / fps, level);
                prop_assert!(highest <= buffer as f64, "chunk {i}: {highest} > {buffer}");
                level = end;
            }
        }
    }
}
