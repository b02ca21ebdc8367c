//! A report and its curves as an encode could have made them: scores that follow scenes, chunks that were encoded again
//! and one that misses, sizes that follow what is in the picture. The same every time.

use vtp_engine::ladder::Search;
use vtp_engine::quality::{Cause, Outcome, Summary, Target, VISIBLE};
use vtp_stitcher::{ChunkReport, JoinReport, Pictures, RenditionReport};

use crate::curves::{self, Curve, Curves, Point, SegmentSize};
use crate::report::{self, Audio, PlanSummary, Proof, Report, Source, Timing};

const FPS: f64 = 60.0;

/// The shape of what was encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene {
    pub(super) duration_s: f64,
    pub(super) chunks: u32,
    pub(super) segments_a_chunk: u32,
    /// Measured frames of each rendition.
    pub(super) points: u32,
}

/// Name, columns, rows, average rate in bits a second, points that it loses to its cap in busy scenes.
const LADDER: [(&str, u32, u32, f64, f64); 3] = [
    ("hd", 1920, 1080, 4_100_000.0, 3.0),
    ("standard", 1280, 720, 2_050_000.0, 4.5),
    ("mobile", 854, 480, 690_000.0, 7.5),
];

impl Scene {
    /// A minute at 60 fps in 8 chunks.
    pub(super) const MINUTE: Self = Self { duration_s: 60.0, chunks: 8, segments_a_chunk: 2, points: 370 };

    /// Two hours in 450 chunks.
    pub(super) const TWO_HOURS: Self = Self { duration_s: 7200.0, chunks: 450, segments_a_chunk: 4, points: 12_000 };

    /// The report and the curves.
    pub(super) fn build(self) -> (Report, Curves) {
        let (renditions, curves) = LADDER.into_iter().zip(1..).map(|(rung, seed)| self.rendition(rung, seed)).unzip();
        let frames = (self.duration_s * FPS) as u32;
        let proof = Proof {
            frames_source: frames.into(),
            frames_out: frames.into(),
            av_offset_start_ms: Some(0.0),
            av_offset_end_ms: Some(-0.2),
            ok: true,
        };
        let stages =
            [("index_wall_s", 0.21), ("encode_wall_s", 96.4), ("encode_cpu_s", 151.0), ("measure_cpu_s", 28.6)];
        let report = Report {
            hls_ts: None,
            choices: Vec::new(),
            version: report::VERSION,
            source: Source {
                bytes: (self.duration_s * 1_900_000.0) as u64,
                duration_s: self.duration_s,
                frames,
                width: 1920,
                height: 1080,
                fps: FPS,
                codec: "h264".to_owned(),
            },
            plan: PlanSummary { chunks: self.chunks as usize, reason: None },
            target: Some(Target { mean: 93.0, floor: 80.0, save: false }),
            renditions,
            audio: vec![Audio {
                name: "audio-1".to_owned(),
                codec: "mp4a.40.2".to_owned(),
                language: Some("en".to_owned()),
                channels: 2,
                sample_rate: 48_000,
                samples: (self.duration_s * 48_000.0) as u64,
                bytes: (self.duration_s * 16_000.0) as u64,
                bandwidth: 131_000,
                loudness: None,
            }],
            subtitles: Vec::new(),
            captions: Vec::new(),
            pictures: Pictures::default(),
            files: Vec::new(),
            encryption: None,
            job: None,
            proof,
            timing: Timing {
                wall_s: 98.2,
                cpu_s: 187.4,
                reused: None,
                stages: stages.into_iter().map(|(name, seconds)| (name.to_owned(), seconds)).collect(),
            },
            warnings: vec!["stream 2 (subtitles) is left out".to_owned()],
        };
        (report, Curves { version: curves::VERSION, renditions: curves })
    }

    fn rendition(self, rung: (&str, u32, u32, f64, f64), seed: u32) -> (RenditionReport, Curve) {
        let (name, width, height, rate, loss) = rung;
        let points = |size_loss: f64| -> Vec<Point> {
            let time = |place| f64::from(place) / f64::from(self.points) * self.duration_s;
            (0..self.points).map(|place| self.point(time(place), loss, size_loss, place * 7 + seed)).collect()
        };
        let (fidelity, vmaf) = (points(0.0), points((1080.0 - f64::from(height)) / 90.0));
        let segments = self.segments(rate, seed);
        let chunks: Vec<_> = (0..self.chunks).map(|index| self.chunk(index, &fidelity, &segments)).collect();
        let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let peak = segments.iter().map(|it| it.bytes as f64 * 8.0 / it.duration_s).fold(0.0, f64::max);
        let report = RenditionReport {
            name: name.to_owned(),
            codec: "avc1.64002A".to_owned(),
            width,
            height,
            frames: (self.duration_s * FPS) as u32,
            bytes,
            bandwidth: peak as u64,
            average_bandwidth: (bytes as f64 * 8.0 / self.duration_s) as u64,
            cap_overflow_bits: Some(-120_000),
            fidelity: summary(&fidelity),
            vmaf: summary(&vmaf),
            joins: steps(&chunks),
            chunks,
        };
        (report, Curve { name: name.to_owned(), fidelity, vmaf, segments })
    }

    /// How busy the picture is, 0 to 1: scenes of some seconds, cut hard.
    fn busy(self, time: f64) -> f64 {
        let scene = (time / 6.3).floor();
        let drift = (time * 0.9).sin() * 0.12;
        (noise(scene as u32 * 31 + 5) * 0.85 + 0.1 + drift).clamp(0.0, 1.0)
    }

    fn point(self, time: f64, loss: f64, size_loss: f64, seed: u32) -> Point {
        let busy = self.busy(time);
        let score = 98.6 - loss * busy - size_loss * (0.6 + 0.8 * busy) - noise(seed).powi(4) * 4.0;
        Point((time * 1000.0).round() / 1000.0, (score * 1000.0).round() / 1000.0)
    }

    fn segments(self, rate: f64, seed: u32) -> Vec<SegmentSize> {
        let count = self.chunks * self.segments_a_chunk;
        let duration_s = self.duration_s / f64::from(count);
        let segment = |place: u32| {
            let start_s = f64::from(place) * duration_s;
            let share = 0.45 + 1.0 * self.busy(start_s + duration_s / 2.0) + 0.15 * noise(place * 13 + seed);
            SegmentSize { start_s, duration_s, bytes: (rate * share * duration_s / 8.0) as u64 }
        };
        (0..count).map(segment).collect()
    }

    fn chunk(self, index: u32, fidelity: &[Point], segments: &[SegmentSize]) -> ChunkReport {
        let duration_s = self.duration_s / f64::from(self.chunks);
        let start_s = f64::from(index) * duration_s;
        let inside = |point: &&Point| (start_s..start_s + duration_s).contains(&point.0);
        let scores = summary(&fidelity.iter().filter(inside).copied().collect::<Vec<_>>());
        let mean = scores.map_or(100.0, |scores| scores.mean);
        let (attempts, outcome) = match mean {
            mean if mean < 92.8 => (3, Outcome::Capped),
            mean if mean < 94.2 => (3, Outcome::Met),
            mean if mean < 95.4 => (2, Outcome::Met),
            _ => (1, Outcome::Met),
        };
        let from = (index * self.segments_a_chunk) as usize;
        ChunkReport {
            index,
            start_s,
            frames: (duration_s * FPS) as u32,
            bytes: segments[from..from + self.segments_a_chunk as usize].iter().map(|segment| segment.bytes).sum(),
            attempts,
            encoder: "libx264".to_owned(),
            crf: Some(23.0 - 1.7 * (attempts - 1) as f32),
            search: Search::Preset,
            fidelity: scores,
            vmaf: scores,
            met_target: Some(outcome == Outcome::Met),
            outcome: Some(outcome),
        }
    }
}

/// A step between chunks whose means are far apart, of each kind in turn.
fn steps(chunks: &[ChunkReport]) -> Vec<JoinReport> {
    let kinds = [(Cause::Content, false), (Cause::Encoding, true), (Cause::Encoding, false)];
    let step = |pair: &[ChunkReport]| Some((pair[1].fidelity?.mean - pair[0].fidelity?.mean) * 3.0);
    let steps = chunks.windows(2).filter_map(|pair| Some((&pair[1], step(pair)?)));
    let visible = steps.filter(|(_, step)| step.abs() >= VISIBLE).zip(kinds.into_iter().cycle());
    let report = |((after, step), (cause, repaired)): ((&ChunkReport, f64), _)| JoinReport {
        at_s: after.start_s,
        chunk: after.index,
        step,
        cause,
        repaired,
    };
    visible.map(report).collect()
}

fn summary(points: &[Point]) -> Option<Summary> {
    Summary::of(points.iter().map(|point| (point.1, 1.0)))
}

/// A number from 0 to 1 that looks like chance.
fn noise(seed: u32) -> f64 {
    let mixed = (seed ^ 0x9e37_79b9).wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
    f64::from(mixed ^ (mixed >> 16)) / f64::from(u32::MAX)
}
