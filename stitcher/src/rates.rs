//! What a rendition asks of a network: peak and average segment bit rates, and the buffer a rate needs. Pure.

/// One segment's weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight {
    /// Size of its file in bytes.
    pub bytes: u64,
    /// Duration in seconds, as the playlist tells it.
    pub seconds: f64,
}

/// Durations are compared within a microsecond, which is what playlists are written to.
const SLACK_S: f64 = 1e-6;

/// The peak segment bit rate (RFC 8216bis 4.4.6.2): the largest rate of any run of segments that lasts from half to
/// one and a half target durations. The average where no run does.
pub fn peak(segments: &[Weight], target_s: f64) -> f64 {
    let best = (0..segments.len()).map(|first| peak_from(&segments[first..], target_s)).fold(0.0, f64::max);
    if best > 0.0 { best } else { average(segments) }
}

fn peak_from(segments: &[Weight], target_s: f64) -> f64 {
    let (mut bits, mut seconds, mut best) = (0.0, 0.0, 0.0_f64);
    for segment in segments {
        bits += 8.0 * segment.bytes as f64;
        seconds += segment.seconds;
        if seconds > 1.5 * target_s + SLACK_S {
            break;
        }
        if seconds >= 0.5 * target_s - SLACK_S {
            best = best.max(bits / seconds);
        }
    }
    best
}

/// The average segment bit rate: all bits over all seconds; 0 for none.
pub fn average(segments: &[Weight]) -> f64 {
    let seconds: f64 = segments.iter().map(|segment| segment.seconds).sum();
    let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    if seconds > 0.0 { 8.0 * bytes as f64 / seconds } else { 0.0 }
}

/// A rate as manifests tell it: whole bits a second, rounded up.
pub fn whole(rate: f64) -> u64 {
    // A float becomes an integer by saturating; rates are far below 2^53.
    rate.ceil().max(1.0) as u64
}

/// The buffer that a channel of constant rate needs so that it never starves playback, whatever segment it starts at
/// (`@bandwidth` and `@minBufferTime`, ISO/IEC 23009-1 5.3.5.2). Samples are told in decode order.
#[derive(Clone, Debug)]
pub struct BufferModel {
    rate: f64,
    timescale: f64,
    sent: f64,
    least: f64,
    worst: f64,
}

impl BufferModel {
    /// A channel of `rate` bits a second, for media times of `timescale` units a second.
    pub fn new(rate: u64, timescale: u32) -> Self {
        Self { rate: rate as f64, timescale: f64::from(timescale), sent: 0.0, least: f64::INFINITY, worst: 0.0 }
    }

    /// A segment starts: its first decode time, and its bytes that are no samples.
    pub fn segment(&mut self, decode_time: u64, head_bytes: u64) {
        self.least = self.least.min(self.sent - self.played(decode_time));
        self.sent += 8.0 * head_bytes as f64;
    }

    /// The next sample of the segment.
    pub fn sample(&mut self, decode_time: u64, bytes: u32) {
        self.sent += 8.0 * f64::from(bytes);
        self.worst = self.worst.max(self.sent - self.played(decode_time) - self.least);
    }

    /// Seconds the channel must have been sending before playback starts.
    pub fn needed_s(&self) -> f64 {
        self.worst / self.rate
    }

    fn played(&self, decode_time: u64) -> f64 {
        self.rate / self.timescale * decode_time as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weights(of: &[(u64, f64)]) -> Vec<Weight> {
        of.iter().map(|&(bytes, seconds)| Weight { bytes, seconds }).collect()
    }

    #[test]
    fn a_short_heavy_segment_counts_with_its_neighbours_only() {
        let segments = weights(&[(1000, 4.0), (4000, 1.0), (1000, 4.0)]);
        assert_eq!(peak(&segments, 4.0), 8.0 * 5000.0 / 5.0);
        assert_eq!(average(&segments), 8.0 * 6000.0 / 9.0);
    }

    #[test]
    fn what_is_too_short_for_any_window_peaks_at_its_average() {
        assert_eq!(peak(&weights(&[(1000, 1.0)]), 4.0), 8000.0);
        assert_eq!(peak(&[], 4.0), 0.0);
    }

    #[test]
    fn a_constant_rate_needs_the_first_segments_first_sample() {
        let mut model = BufferModel::new(8000, 10);
        for n in 0..100_u64 {
            if n % 10 == 0 {
                model.segment(n, 0);
            }
            model.sample(n, 100);
        }
        assert!((model.needed_s() - 0.1).abs() < 1e-9, "{}", model.needed_s());
    }

    proptest! {
        #[test]
        fn the_peak_is_never_below_the_average_of_equal_segments(bytes in prop::collection::vec(1_u64..1_000_000, 1..30)) {
            let segments: Vec<_> = bytes.iter().map(|&bytes| Weight { bytes, seconds: 4.0 }).collect();
            prop_assert!(peak(&segments, 4.0) >= average(&segments) * (1.0 - 1e-12));
        }
    }
}
