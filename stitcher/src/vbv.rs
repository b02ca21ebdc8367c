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

/// A leaky bucket that pictures are poured into one after the other: the buffer, seen from the sender.
#[derive(Clone, Debug)]
pub struct Bucket {
    timescale: i128,
    max_rate: BitRate,
    buffer_bits: u64,
    pictures: usize,
    /// In bits times the timescale, as is the highest level so far, which is kept with the picture that made it.
    level: i128,
    peak: Option<(i128, usize)>,
}

impl Bucket {
    /// An empty bucket for a buffer of `buffer_bits` that fills at `max_rate`, and durations in 1/`timescale` seconds.
    pub fn new(timescale: u32, max_rate: BitRate, buffer_bits: u64) -> Self {
        Self { timescale: timescale.into(), max_rate, buffer_bits, pictures: 0, level: 0, peak: None }
    }

    /// Takes the next picture in decode order.
    pub fn pour(&mut self, picture: Picture) {
        self.level += i128::from(picture.bits) * self.timescale;
        if self.peak.is_none_or(|(most, _)| self.level > most) {
            self.peak = Some((self.level, self.pictures));
        }
        self.pictures += 1;
        self.level = (self.level - i128::from(self.max_rate.0) * i128::from(picture.duration)).max(0);
    }

    /// The worst run so far; `None` before the first picture.
    pub fn worst(&self) -> Option<Worst> {
        let (most, at) = self.peak?;
        let over = most - i128::from(self.buffer_bits) * self.timescale;
        let bits = -(-over).div_euclid(self.timescale.max(1));
        Some(Worst { overflow_bits: i64::try_from(bits).unwrap_or(if bits < 0 { i64::MIN } else { i64::MAX }), at })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn worst(pictures: &[Picture], timescale: u32, max_rate: BitRate, buffer_bits: u64) -> Option<Worst> {
        let mut bucket = Bucket::new(timescale, max_rate, buffer_bits);
        pictures.iter().for_each(|&picture| bucket.pour(picture));
        bucket.worst()
    }

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
            let found = worst(&pictures, timescale, BitRate(rate), buffer);
            prop_assert_eq!(found.map(|w| w.overflow_bits), by_definition(&pictures, timescale, rate, buffer));
        }
    }

    #[test]
    fn two_full_buffers_back_to_back_overflow_where_they_join() {
        let chunk = [Picture { bits: 1000, duration: 1 }, Picture { bits: 10, duration: 1 }];
        let one = worst(&chunk, 10, BitRate(1000), 1000).unwrap();
        assert_eq!(one.overflow_bits, 0);
        let joined = worst(&[chunk, chunk].concat(), 10, BitRate(1000), 1000).unwrap();
        assert_eq!(joined, Worst { overflow_bits: 810, at: 2 });
    }
}
