//! Whether a stream obeys a video buffering verifier as a whole, chunk joins included. Pure.
//!
//! A decoder's buffer of `buffer_bits` fills at no more than `max_rate` and gives each picture up at its decode time.
//! It can be kept from running dry if and only if no run of pictures, first to last, needs more than the full buffer
//! and what arrives between the first's and the last's decode time. Encoders guarantee that for each chunk alone.

use vtp_engine::units::BitRate;

/// A coded picture: what the buffer gives up, and how long until the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Size in bits.
    pub bits: u64,
    /// Time until the next picture's decode time, in ticks.
    pub duration: u32,
}

/// The run of pictures that asks most of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worst {
    /// By how many bits the run exceeds buffer and rate, rounded up; negative is what is left.
    pub overflow_bits: i64,
    /// The last picture of the run, counted from 0 in decode order.
    pub at: usize,
}

/// The worst run of `pictures` (in decode order, durations in 1/`timescale` seconds) for a buffer of `buffer_bits`
/// that fills at `max_rate`; `None` where there are no pictures.
pub fn worst(
    pictures: impl IntoIterator<Item = Picture>,
    timescale: u32,
    max_rate: BitRate,
    buffer_bits: u64,
) -> Option<Worst> {
    let scale = i128::from(timescale);
    let (mut level, mut peak) = (0_i128, None);
    for (at, picture) in pictures.into_iter().enumerate() {
        level += i128::from(picture.bits) * scale;
        if peak.is_none_or(|(most, _)| level > most) {
            peak = Some((level, at));
        }
        level = (level - i128::from(max_rate.0) * i128::from(picture.duration)).max(0);
    }
    peak.map(|(most, at)| {
        let over = most - i128::from(buffer_bits) * scale;
        let bits = -(-over).div_euclid(scale.max(1));
        Worst { overflow_bits: i64::try_from(bits).unwrap_or(if bits < 0 { i64::MIN } else { i64::MAX }), at }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, run by run.
    fn by_definition(pictures: &[Picture], timescale: u32, rate: u64, buffer: u64) -> Option<i64> {
        let runs = (0..pictures.len()).flat_map(|i| (i..pictures.len()).map(move |j| (i, j)));
        let over = runs.map(|(i, j)| {
            let bits: i128 = pictures[i..=j].iter().map(|p| i128::from(p.bits)).sum();
            let time: i128 = pictures[i..j].iter().map(|p| i128::from(p.duration)).sum();
            let scaled = (bits - i128::from(buffer)) * i128::from(timescale) - i128::from(rate) * time;
            (scaled + i128::from(timescale) - 1).div_euclid(i128::from(timescale)) as i64
        });
        over.max()
    }

    proptest! {
        #[test]
        fn the_worst_run_is_that_of_the_definition(
            pictures in prop::collection::vec((0_u64..5000, 0_u32..2000), 0..40),
            timescale in 1_u32..2000, rate in 0_u64..20_000, buffer in 0_u64..10_000,
        ) {
            let pictures: Vec<_> =
                pictures.into_iter().map(|(bits, duration)| Picture { bits, duration }).collect();
            let found = worst(pictures.iter().copied(), timescale, BitRate(rate), buffer);
            prop_assert_eq!(found.map(|w| w.overflow_bits), by_definition(&pictures, timescale, rate, buffer));
        }
    }

    #[test]
    fn two_full_buffers_back_to_back_overflow_where_they_join() {
        let chunk = [Picture { bits: 1000, duration: 1 }, Picture { bits: 10, duration: 1 }];
        let one = worst(chunk, 10, BitRate(1000), 1000).unwrap();
        assert_eq!(one.overflow_bits, 0);
        let joined = worst([chunk, chunk].concat(), 10, BitRate(1000), 1000).unwrap();
        assert_eq!(joined, Worst { overflow_bits: 810, at: 2 });
    }
}
