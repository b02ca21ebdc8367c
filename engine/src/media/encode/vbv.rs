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

/// How full a chunk leaves the buffer. x264 plans ahead for one that is half full: measured under a binding cap, it
/// ends a chunk at 0.53 to 0.57 (480, 720 and 1080 lines, chunks of 2 to 8 s), and fuller where the cap hardly binds.
const END: f64 = 0.55;

/// How full a chunk takes the buffer to be when it begins, unless it is the first.
const BEGIN: f64 = 0.75;

/// How full the first chunk takes it to be, as one run over the whole source would.
const FIRST: f64 = 0.95;

/// The largest share of its rate that a chunk gives for its head start.
const MOST_PAID: f64 = 0.2;

/// What to tell the encoder of a chunk of `seconds` so that the joined chunks obey (`max_rate`, `buffer_bits`).
///
/// Think of the buffer as a bucket of size B that every picture pours its bits into and that leaks at the rate R;
/// it must not overflow. An encoder that leaks at R', begins with its bucket of size C filled to `1 - f` (a decoder
/// buffer filled to `f`) and ends with it filled to `1 - e` pours out at most `R' T + (f - e) C` bits in `T` seconds.
/// With `R' = R - (f - e) C / T` that is `R T`: the head start that lets a chunk begin with a good IDR picture is paid
/// back within the chunk, and the joined stream's bucket does not rise from join to join. It is filled to `(1 - e) C`
/// at most where chunks meet, and to `(1 - e + f) C` at most between; `C = B / (1 - e + f)` makes that B.
///
/// The first chunk finds the bucket empty and pays nothing. How much faster the head start may be paid back is
/// limited, so a chunk of less than a second or two begins with less of one.
pub fn vbv_for_chunk(max_rate: BitRate, buffer_bits: u64, seconds: f64, first: bool) -> Vbv {
    let (rate, buffer) = (max_rate.0 as f64, buffer_bits as f64 / (1.0 - END + BEGIN));
    let share = |value: f64| value as f32;
    if first {
        return Vbv { max_rate, buffer_bits: buffer.floor() as u64, init: share(FIRST) };
    }
    let begin = BEGIN.min(END + MOST_PAID * rate * seconds / buffer);
    let paid = (begin - END) * buffer / seconds;
    let max_rate = BitRate((rate - paid).floor() as u64);
    Vbv { max_rate, buffer_bits: buffer.floor() as u64, init: share(begin) }
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

    /// Bits of a chunk's pictures that obey `vbv` and leave at least [`END`] of its buffer filled at the end: as
    /// many as each wish in `wishes` asks for, as far as they fit.
    fn obedient_chunk(wishes: &[f64], vbv: Vbv, fps: f64) -> Vec<f64> {
        let (size, leak) = (vbv.buffer_bits as f64, vbv.max_rate.0 as f64 / fps);
        let mut level = size * f64::from(1.0 - vbv.init);
        let allowed_at_end = size * (1.0 - END);
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
                let seconds = wishes.len() as f64 / fps;
                let vbv = vbv_for_chunk(BitRate(rate), buffer, seconds, i == 0);
                let pours = obedient_chunk(wishes, vbv, fps);
                let (end, highest) = peak(&pours, rate as f64 / fps, level);
                // The share at the beginning is rounded to single precision.
                prop_assert!(highest <= buffer as f64 * 1.000_001, "chunk {i}: {highest} > {buffer}");
                level = end;
            }
        }
    }
}
