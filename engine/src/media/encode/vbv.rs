//! The rate cap of separately encoded chunks, such that it holds when they are joined. Pure.
//!
//! Think of the decoder's buffer as a bucket of size B that every picture pours its bits into and that leaks at the
//! rate R; it must not overflow. A chunk does not know how full its forerunner leaves the bucket, so it takes it to be
//! filled to [`JOIN`], and must not leave more behind. An encoder that were told just that would begin with a poor IDR
//! picture; it is told of a bucket that is almost empty, and whatever of this head start it really uses is paid back
//! within the chunk: its rate is lowered so far that the true level is back at [`JOIN`] in the end. A chunk that the
//! cap hardly touches uses nothing and pays nothing.

use crate::ladder::{Method, VideoCodec};
use crate::units::{BitRate, Ratio};

/// How full the bucket may be where chunks meet. x264 plans ahead for a bucket that is half full at most: measured
/// under a binding cap, it leaves it at 0.43 to 0.47 (480, 720 and 1080 lines, chunks of 2 to 8 s).
const JOIN: f64 = 0.45;

/// The encoder's bucket, as a share of the true one. The true level is above the encoder's by the head start (0.31 B
/// at most), so it overflows only if an encoder fills its own to more than three quarters, where x264 plans for half.
const BUCKET: f64 = 0.9;

/// How full an encoder takes its bucket to be when it begins.
const BEGIN: f64 = 0.15;

/// The largest share of its rate that a chunk gives for its head start.
const MOST_PAID: f64 = 0.2;

/// x264 looks some 40 frames ahead: a chunk that is not much longer is planned before its first picture comes out,
/// so it pays for its head start from its first frame on. So do those of encoders that can't be told of another rate while
/// they work, all but x264.
const LEAST_STEERED: u32 = 60;

/// Where a chunk stands among its fellows, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChunkShape {
    /// Whether it is the source's first.
    pub first: bool,
    /// Whether it is the source's last.
    pub last: bool,
    /// Number of frames.
    pub frames: u32,
    /// How long they are shown, in seconds.
    pub seconds: f64,
    /// Frames of the longest segment in it.
    pub longest_segment: u32,
}

/// The rate cap of one chunk. It is told of every coded picture, and tells how fast the encoder's buffer may fill
/// from there on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChunkCap {
    /// Size of the true bucket in bits.
    bucket: f64,
    /// What leaks out of it a frame, in bits. (x264 takes all frames to last as long.)
    leak: f64,
    /// How full the encoder takes its own bucket to be at the beginning, 0 to 1.
    begin: f64,
    /// How full the true bucket is, in bits, if the forerunner left it filled to [`JOIN`].
    level: f64,
    frames_left: u32,
    /// What is paid back a frame from the beginning, in bits.
    paid_at_least: f64,
    /// The last chunk leaves the bucket to nobody.
    pays: bool,
}

impl ChunkCap {
    /// The cap of the method, if it has one, for a chunk.
    pub fn new(method: &Method, chunk: ChunkShape) -> Option<Self> {
        let Method::Capped { codec, max_rate, buffer_bits, .. } = method else { return None };
        let (rate, bucket) = (max_rate.0 as f64, *buffer_bits as f64);
        let frames = f64::from(chunk.frames.max(1));
        let payable = MOST_PAID * rate * chunk.seconds;
        let begin = if chunk.first { BEGIN } else { BEGIN.max((JOIN * bucket - payable) / (BUCKET * bucket)) };
        let head_start = JOIN * bucket - begin * BUCKET * bucket;
        let pays = !chunk.last;
        let steered = chunk.first || *codec == VideoCodec::H264 && chunk.frames >= LEAST_STEERED;
        Some(Self {
            bucket,
            leak: rate * chunk.seconds / frames,
            begin,
            level: if chunk.first { begin * BUCKET * bucket } else { JOIN * bucket },
            frames_left: chunk.frames,
            paid_at_least: if pays && !steered { head_start / frames } else { 0.0 },
            pays,
        })
    }

    /// Size of the encoder's buffer in bits.
    pub fn buffer_bits(&self) -> u64 {
        (BUCKET * self.bucket) as u64
    }

    /// How full of bits the decoder's buffer is when the chunk begins, as the encoder sees it, in bits.
    pub fn begins_with_bits(&self) -> u64 {
        ((1.0 - self.begin) * BUCKET * self.bucket) as u64
    }

    /// The rate at which the encoder's buffer may fill from now on, for an encoder that takes every frame to last
    /// 1 / `frame_rate`.
    pub fn max_rate(&self, frame_rate: Ratio) -> BitRate {
        let above = (self.level - JOIN * self.bucket).max(0.0);
        let paid = (above / f64::from(self.frames_left.max(1))).min(MOST_PAID * self.leak).max(self.paid_at_least);
        let a_frame = if self.pays { self.leak - paid } else { self.leak };
        BitRate((a_frame * frame_rate.as_f64()) as u64)
    }

    /// Counts a coded picture of so many bits.
    pub fn count(&mut self, bits: u64) {
        self.level = (self.level + bits as f64 - self.leak).max(0.0);
        self.frames_left = self.frames_left.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FPS: f64 = 25.0;

    fn fps() -> Ratio {
        Ratio::new(25, 1).unwrap()
    }

    fn method(rate: u64, buffer_bits: u64) -> Method {
        Method::h264(23.0, BitRate(rate), buffer_bits, "medium")
    }

    fn shape(frames: u32) -> ChunkShape {
        let seconds = f64::from(frames) / FPS;
        ChunkShape { first: false, last: false, frames, seconds, longest_segment: frames }
    }

    /// Bits of the pictures of an encoder that fills its bucket as each wish in `wishes` asks for, and to no more
    /// than half.
    fn half_filling_chunk(mut cap: ChunkCap, wishes: &[f64]) -> Vec<f64> {
        let size = cap.buffer_bits() as f64;
        let mut level = size - cap.begins_with_bits() as f64;
        wishes
            .iter()
            .map(|wish| {
                level = (level - cap.max_rate(fps()).0 as f64 / FPS).max(0.0);
                let pour = (wish * 0.5 * size - level).max(0.0).floor();
                level += pour;
                cap.count(pour as u64);
                pour
            })
            .collect()
    }

    proptest! {
        #[test]
        fn chunks_of_an_encoder_that_fills_half_its_bucket_hardly_ever_overflow_the_true_one(
            chunks in proptest::collection::vec(proptest::collection::vec(0.0..1.0_f64, LEAST_STEERED as usize..250), 1..12),
            greed in 0.0..1.0_f64,
            rate in 100_000_u64..30_000_000,
            buffer_ms in 500_u64..2000,
        ) {
            let bucket = (rate * buffer_ms / 1000) as f64;
            let mut level = 0.0_f64;
            for (i, wishes) in chunks.iter().enumerate() {
                let shape = ChunkShape { first: i == 0, ..shape(wishes.len() as u32) };
                let cap = ChunkCap::new(&method(rate, bucket as u64), shape).unwrap();
                let wishes: Vec<f64> = wishes.iter().map(|wish| wish.max(greed)).collect();
                for pour in half_filling_chunk(cap, &wishes) {
                    level = (level - rate as f64 / FPS).max(0.0) + pour;
                    // Chunks whose last pictures want all there is can't pay back what they take: of hundreds of thousands
                    // of cases one was 6 % over, one 0.25 %. (The stitcher pours what was made into the true bucket, and
                    // tells.)
                    prop_assert!(level <= 1.10 * bucket, "chunk {i}: {level} > {bucket}");
                }
            }
        }

        #[test]
        fn no_chunk_is_told_a_higher_rate_than_the_cap_or_much_less(
            bits in proptest::collection::vec(0_u64..2_000_000, 1..200),
            rate in 100_000_u64..30_000_000,
        ) {
            let mut cap = ChunkCap::new(&method(rate, 2 * rate), shape(bits.len() as u32)).unwrap();
            for bits in bits {
                let told = cap.max_rate(fps()).0 as f64;
                prop_assert!(told <= rate as f64 && told >= rate as f64 * (1.0 - MOST_PAID) - 1.0, "{told} of {rate}");
                cap.count(bits);
            }
        }
    }

    #[test]
    fn a_chunk_that_keeps_below_its_rate_pays_nothing() {
        let mut cap = ChunkCap::new(&method(1_000_000, 2_000_000), shape(100)).unwrap();
        for _ in 0..100 {
            assert_eq!(cap.max_rate(fps()), BitRate(1_000_000));
            cap.count(39_000);
        }
    }

    #[test]
    fn what_a_chunk_pours_above_its_rate_is_paid_back_by_its_end() {
        let mut cap = ChunkCap::new(&method(1_000_000, 2_000_000), shape(100)).unwrap();
        cap.count(400_000);
        for _ in 1..100 {
            assert!(cap.max_rate(fps()) < BitRate(1_000_000));
            cap.count(cap.max_rate(fps()).0 / 25);
        }
        assert!((cap.level - JOIN * cap.bucket).abs() < 1000.0, "{cap:?}");
    }

    #[test]
    fn the_last_chunk_leaves_the_bucket_as_it_likes_and_a_short_one_pays_from_its_first_frame_on() {
        let method = method(1_000_000, 2_000_000);
        let told = |shape| ChunkCap::new(&method, shape).unwrap().max_rate(fps());
        assert!(told(shape(50)) < BitRate(1_000_000));
        assert_eq!(told(ChunkShape { last: true, ..shape(50) }), BitRate(1_000_000));
        assert_eq!(told(ChunkShape { first: true, ..shape(50) }), BitRate(1_000_000));
    }

    #[test]
    fn where_frames_are_sparser_than_the_nominal_rate_each_gets_more_bits() {
        let sparse = ChunkShape { seconds: 8.0, ..shape(100) };
        let cap = ChunkCap::new(&method(1_000_000, 2_000_000), sparse).unwrap();
        assert_eq!(cap.max_rate(fps()), BitRate(2_000_000));
    }
}
