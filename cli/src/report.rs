//! `report.json`, version 1: what was made of what, and the proof. Pure; writes no file.
//!
//! Readers skip members they don't know; a member that changes its meaning raises the version.

use std::fmt;

use serde::{Deserialize, Serialize};
use vtp_engine::bitstream::captions::Channel;
use vtp_engine::index::Index;
use vtp_engine::ladder::smart::{Trial, Verdict};
use vtp_engine::plan::Plan;
use vtp_engine::quality::Target;
use vtp_engine::source::SourceInfo;
use vtp_engine::units::{FrameIndex, Size};
use vtp_stitcher::seal::{self, Seal};
use vtp_stitcher::{FileReport, Pictures, RenditionReport, StreamsReport, SubtitleReport};

use crate::text;

/// Version of the format.
pub const VERSION: u32 = 1;

/// The whole report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// What was encoded.
    pub source: Source,
    /// How it was cut.
    pub plan: PlanSummary,
    /// What was asked of the quality of every chunk; `None` if it was not measured.
    pub target: Option<Target>,
    /// What a trial of the rungs found, where the ladder was left to one; else empty.
    pub choices: Vec<Choice>,
    /// What it became, in the ladder's order.
    pub renditions: Vec<RenditionReport>,
    /// Its audio tracks.
    pub audio: Vec<Audio>,
    /// Its tracks of subtitles.
    #[serde(default)]
    pub subtitles: Vec<SubtitleReport>,
    /// The captions that its pictures carry, such as `CC1`.
    #[serde(default)]
    pub captions: Vec<String>,
    /// Thumbnails and poster.
    #[serde(default)]
    pub pictures: Pictures,
    /// The whole files beside the ladder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileReport>,
    /// The transport streams for old devices, if there are some.
    #[serde(default)]
    pub hls_ts: Option<StreamsReport>,
    /// How it is encrypted, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// The number of the job that it was made in, where a fleet made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// That nothing was lost.
    pub proof: Proof,
    /// What it took.
    pub timing: Timing,
    /// What a user should know, in sentences.
    pub warnings: Vec<String>,
}

/// How an output is encrypted. The key is told nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// What is encrypted.
    pub scheme: Scheme,
    /// What players call the key.
    pub key_id: String,
    /// Where they get it.
    pub key_uri: String,
}

impl Encryption {
    /// What is to be told of a seal.
    pub fn of(seal: &Seal) -> Self {
        let scheme = match seal.scheme {
            seal::Scheme::Cbcs => Scheme::Cbcs,
            seal::Scheme::Aes128 => Scheme::Aes128,
        };
        Self { scheme, key_id: seal.key_uuid(), key_uri: seal.key_uri.clone() }
    }
}

/// What of an output is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// Samples.
    #[serde(rename = "cbcs")]
    Cbcs,
    /// Whole segments; there is no MPD of them.
    #[serde(rename = "aes-128")]
    Aes128,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cbcs => "cbcs",
            Self::Aes128 => "aes-128",
        })
    }
}

/// The source as it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Size of the file.
    pub bytes: u64,
    /// From the first frame's start to the last one's end.
    pub duration_s: f64,
    /// Number of frames.
    pub frames: u32,
    /// Columns of the coded picture, before rotation.
    pub width: u32,
    /// Rows of the coded picture, before rotation.
    pub height: u32,
    /// Nominal frames a second.
    pub fps: f64,
    /// FFmpeg's name of the video codec.
    pub codec: String,
}

/// The plan in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// Number of chunks.
    pub chunks: usize,
    /// Why the plan is less parallel than it could be, if it is.
    pub reason: Option<String>,
}

/// A rung that was tried on a few segments, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The rung's name.
    pub name: String,
    /// Columns of its picture.
    pub width: u32,
    /// Rows of its picture.
    pub height: u32,
    /// Bits a second in the trial.
    pub bit_rate: u64,
    /// Mean fidelity in the trial.
    pub fidelity: f64,
    /// Mean VMAF, as it is shown, in the trial.
    pub vmaf: f64,
    /// What became of it.
    pub verdict: Verdict,
}

impl Choice {
    /// What became of `trial`.
    pub fn new(trial: &Trial, verdict: Verdict) -> Self {
        let Size { width, height } = trial.rendition.size;
        Self {
            name: trial.rendition.name.clone(),
            width,
            height,
            bit_rate: trial.bit_rate.round() as u64,
            fidelity: trial.fidelity,
            vmaf: trial.vmaf,
            verdict,
        }
    }

    /// What became of the rung and why, in a sentence. `all` are the rungs that were tried.
    pub fn sentence(&self, all: &[Self]) -> String {
        let Self { name, vmaf, fidelity, .. } = self;
        let rate = text::bit_rate(self.bit_rate);
        match &self.verdict {
            Verdict::Kept => format!("{name} is kept: VMAF {vmaf:.1} at {rate}"),
            Verdict::Lowered { crf } => format!(
                "{name} is made at a rate factor of {crf}: in the trial its fidelity was {fidelity:.1}, more than is asked for"
            ),
            Verdict::LeftOut { instead } => {
                let other = all.iter().find(|it| it.name == *instead);
                let figures = other.map_or(String::new(), |it| {
                    format!(" (VMAF {:.1} at {} against {vmaf:.1} at {rate})", it.vmaf, text::bit_rate(it.bit_rate))
                });
                format!("{name} is left out: {instead} is enough{figures}")
            }
        }
    }
}

/// One audio track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audio {
    /// Its folder and its name in the manifests.
    pub name: String,
    /// As in CODECS (RFC 6381), such as `mp4a.40.2`.
    pub codec: String,
    /// Language (RFC 5646), if the source tells it.
    pub language: Option<String>,
    /// Number of channels.
    pub channels: u16,
    /// Samples a second.
    pub sample_rate: u32,
    /// Samples that play, priming and padding not counted.
    pub samples: u64,
    /// Size of all media segments.
    pub bytes: u64,
    /// Peak segment rate in bits per second.
    pub bandwidth: u64,
    /// How it was made as loud as asked, if that was asked for.
    #[serde(default)]
    pub loudness: Option<Loudness>,
}

/// How loud a track was, and what it was changed by. All of it is told of the sound before it was encoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loudness {
    /// What was asked for, in LUFS.
    pub target_lufs: f64,
    /// Its integrated loudness (ITU-R BS.1770-4) in LUFS; `None` for silence, which is left alone.
    pub measured_lufs: Option<f64>,
    /// Its true peak in dBTP; `None` if there is nothing but zeros.
    pub true_peak_dbtp: Option<f64>,
    /// The gain of every sample of it, in dB.
    pub gain_db: f64,
    /// Why it is not as loud as asked, if it is not.
    pub missed_because: Option<String>,
}

/// Conservation: every frame of the source is in every rendition, and sound stays with picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Frames of the source.
    pub frames_source: u64,
    /// Frames of each rendition; all have as many.
    pub frames_out: u64,
    /// By how much later than in the source audio starts against video; `None` without audio.
    pub av_offset_start_ms: Option<f64>,
    /// The same at the end.
    pub av_offset_end_ms: Option<f64>,
    /// Whether all of it holds. A report with `false` is never published.
    pub ok: bool,
}

/// What the run took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// From start to end on the clock.
    pub wall_s: f64,
    /// CPU seconds of the whole process.
    pub cpu_s: f64,
    /// Wall or CPU seconds of each stage, as its name says (`index_wall_s`, `encode_cpu_s`).
    pub stages: std::collections::BTreeMap<String, f64>,
    /// Encodings (one rendition of one chunk each) that an earlier run had made and the cache had kept; `None` without a
    /// cache.
    #[serde(default)]
    pub reused: Option<u64>,
}

/// Everything that a report is made from.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// The probed source.
    pub info: &'a SourceInfo,
    /// Its index.
    pub index: &'a Index,
    /// Its plan.
    pub plan: &'a Plan,
    /// What was asked of the quality of every chunk.
    pub target: Option<Target>,
    /// What a trial of the rungs found.
    pub choices: Vec<Choice>,
    /// The ladder as it was packaged.
    pub renditions: Vec<RenditionReport>,
    /// The audio tracks as they were packaged.
    pub audio: Vec<Audio>,
    /// The tracks of subtitles as they were packaged.
    pub subtitles: Vec<SubtitleReport>,
    /// The captions that the pictures carry.
    pub captions: Vec<Channel>,
    /// The pictures as they were published.
    pub pictures: Pictures,
    /// The whole files as they were published.
    pub files: Vec<FileReport>,
    /// The transport streams as they were published.
    pub hls_ts: Option<StreamsReport>,
    /// How all of it is encrypted.
    pub encryption: Option<Encryption>,
    /// The number of the fleet's job.
    pub job: Option<u64>,
    /// The proof.
    pub proof: Proof,
    /// What it took.
    pub timing: Timing,
    /// Warnings besides those of source and index.
    pub warnings: Vec<String>,
}

/// The report.
pub fn build(parts: Parts<'_>) -> Report {
    let Parts { info, index, plan, target, choices, renditions, audio, subtitles, captions, pictures, .. } = parts;
    let Parts { files, hls_ts, encryption, job, proof, timing, warnings, .. } = parts;
    Report {
        version: VERSION,
        source: source(info, index),
        plan: PlanSummary { chunks: plan.chunks.len(), reason: plan.reason.clone() },
        choices,
        target,
        renditions,
        audio,
        subtitles,
        captions: captions.iter().map(channel).collect(),
        pictures,
        files,
        hls_ts,
        encryption,
        job: job.map(|job| job.to_string()),
        proof,
        timing,
        warnings: source_warnings(info, index).into_iter().chain(warnings).collect(),
    }
}

/// What players call captions inside the video.
pub(crate) fn channel(channel: &Channel) -> String {
    match channel {
        Channel::Cea608(number) => format!("CC{number}"),
        Channel::Cea708(number) => format!("SERVICE{number}"),
    }
}

fn source(info: &SourceInfo, index: &Index) -> Source {
    Source {
        bytes: info.bytes,
        duration_s: duration_s(info, index),
        frames: index.frame_count(),
        width: info.video.size.width,
        height: info.video.size.height,
        fps: info.video.frame_rate.as_f64(),
        codec: info.video.codec.clone(),
    }
}

/// Seconds from the first frame's start to the last one's end.
pub fn duration_s(info: &SourceInfo, index: &Index) -> f64 {
    info.video.time_base.seconds(index.end() - index.pts(FrameIndex(0)))
}

/// What a user should know about the source: streams left out, timestamps healed, the index's own warnings.
pub fn source_warnings(info: &SourceInfo, index: &Index) -> Vec<String> {
    let heals = index.heals.iter().map(|heal| {
        let (at, by) = (heal.at_s, heal.shift_s);
        format!("timestamps jump at {at:.3} s; everything after it was shifted by {by:+.3} s")
    });
    info.left_out.iter().chain(&index.warnings).cloned().chain(heals).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use vtp_engine::index::{FrameEntry, Heal};
    use vtp_engine::ladder::Search;
    use vtp_engine::plan::ChunkPlan;
    use vtp_engine::quality::{Cause, Outcome, Summary};
    use vtp_engine::source::{Color, HdrMetadata, Rotation, VideoInfo};
    use vtp_engine::units::{ChunkIndex, PacketIndex, Ratio, Size, TimeBase};
    use vtp_stitcher::pictures::{PosterReport, ThumbnailsReport};
    use vtp_stitcher::{ChunkReport, JoinReport};

    use super::*;

    pub(crate) fn info() -> SourceInfo {
        let time_base = TimeBase(Ratio::new(1, 25).unwrap());
        SourceInfo {
            bytes: 5000,
            container: "mov,mp4".to_owned(),
            video: VideoInfo {
                stream: 0,
                codec: "h264".to_owned(),
                time_base,
                size: Size { width: 1280, height: 720 },
                sample_aspect: Ratio::ONE,
                picture_aspect: None,
                rotation: Rotation::default(),
                pixel_format: "yuv420p".to_owned(),
                color: Color::UNSPECIFIED,
                hdr: HdrMetadata::default(),
                interlaced: false,
                top_field_first: None,
                frame_rate: Ratio::new(25, 1).unwrap(),
            },
            audio: Vec::new(),
            subtitles: Vec::new(),
            captions: vec![Channel::Cea608(1)],
            left_out: vec!["stream 2 (subtitles) is left out".to_owned()],
        }
    }

    /// Four frames a tick apart, from tick 10 on.
    pub(crate) fn index() -> Index {
        let frames = (0..4).map(|n| FrameEntry { packet: PacketIndex(n), pts: 10 + i64::from(n) });
        Index {
            heals: vec![Heal { at_s: 0.04, shift_s: -2.5 }],
            warnings: vec!["one packet is damaged".to_owned()],
            ..Index::of(Vec::new(), frames.collect(), 1)
        }
    }

    pub(crate) fn plan() -> Plan {
        let chunk = |index: u32| ChunkPlan {
            index: ChunkIndex(index),
            frames: 2 * index..2 * index + 2,
            segments: index..index + 1,
            packets: 2 * index..2 * index + 2,
            cost: 2.0,
        };
        Plan { segments: vec![0..2, 2..4], chunks: vec![chunk(0), chunk(1)], reason: Some("short".to_owned()) }
    }

    fn scores() -> Summary {
        Summary { mean: 94.5, harmonic_mean: 94.25, p1: 88.0, min: 87.5, measured: 2 }
    }

    fn chunk(index: u32, attempts: u32) -> ChunkReport {
        let start_s = f64::from(index) * 0.08;
        ChunkReport {
            index,
            start_s,
            frames: 2,
            bytes: 120,
            attempts,
            encoder: "libx264".to_owned(),
            crf: Some(23.0),
            search: Search::Preset,
            fidelity: Some(scores()),
            vmaf: Some(scores()),
            met_target: Some(true),
            outcome: Some(Outcome::Met),
        }
    }

    pub(crate) fn report() -> Report {
        build(Parts {
            info: &info(),
            index: &index(),
            plan: &plan(),
            target: Some(Target { mean: 93.0, floor: 80.0, save: false }),
            choices: Vec::new(),
            renditions: vec![RenditionReport {
                name: "standard".to_owned(),
                codec: "avc1.64001f".to_owned(),
                width: 1280,
                height: 720,
                frames: 4,
                bytes: 260,
                bandwidth: 26_000,
                average_bandwidth: 13_000,
                cap_overflow_bits: Some(-1500),
                fidelity: Some(scores()),
                vmaf: Some(scores()),
                chunks: vec![chunk(0, 1), chunk(1, 2)],
                joins: vec![JoinReport { at_s: 0.08, chunk: 1, step: 7.5, cause: Cause::Encoding, repaired: true }],
            }],
            audio: vec![Audio {
                name: "audio-0".to_owned(),
                codec: "mp4a.40.2".to_owned(),
                language: Some("en".to_owned()),
                channels: 2,
                sample_rate: 48_000,
                samples: 7680,
                bytes: 400,
                bandwidth: 20_000,
                loudness: None,
            }],
            subtitles: vec![SubtitleReport {
                name: "subtitles-de".to_owned(),
                title: "German".to_owned(),
                language: "de".to_owned(),
                default: true,
                forced: false,
                cues: 3,
                bytes: 321,
            }],
            captions: vec![Channel::Cea608(1)],
            files: vec![FileReport {
                name: "video.mp4".to_owned(),
                container: "mp4".to_owned(),
                video: "standard".to_owned(),
                audio: vec!["audio-0".to_owned()],
                subtitles: vec!["subtitles-de".to_owned()],
                bytes: 660,
            }],
            hls_ts: Some(StreamsReport {
                file: "master-ts.m3u8".to_owned(),
                renditions: vec!["standard".to_owned()],
                audio: vec!["audio-0".to_owned()],
                bytes: 752,
            }),
            encryption: None,
            job: None,
            pictures: Pictures {
                poster: Some(PosterReport {
                    file: "poster.jpg".to_owned(),
                    width: 1280,
                    height: 720,
                    bytes: 150,
                    at_s: 0.08,
                }),
                thumbnails: Some(ThumbnailsReport {
                    file: "thumbnails/thumbnails.vtt".to_owned(),
                    interval_s: 2.0,
                    count: 1,
                    width: 284,
                    height: 160,
                    sheets: 1,
                    bytes: 90,
                }),
            },
            proof: Proof {
                frames_source: 4,
                frames_out: 4,
                av_offset_start_ms: Some(0.0),
                av_offset_end_ms: Some(-0.2),
                ok: true,
            },
            timing: Timing {
                wall_s: 0.5,
                cpu_s: 0.9,
                stages: [("encode_cpu_s".to_owned(), 0.8)].into(),
                reused: Some(1),
            },
            warnings: vec!["the last one".to_owned()],
        })
    }

    #[test]
    fn warnings_of_source_index_and_run_come_together() {
        let expected = [
            "stream 2 (subtitles) is left out",
            "one packet is damaged",
            "timestamps jump at 0.040 s; everything after it was shifted by -2.500 s",
            "the last one",
        ];
        assert_eq!(report().warnings, expected);
    }

    #[test]
    fn the_format_is_that_of_the_golden_file() {
        let text = serde_json::to_string_pretty(&report()).unwrap() + "\n";
        assert_eq!(text, include_str!("../tests/golden/report-v1.json"));
    }

    #[test]
    fn what_is_encrypted_has_the_name_that_readers_know() {
        for (scheme, name) in [(Scheme::Cbcs, "cbcs"), (Scheme::Aes128, "aes-128")] {
            assert_eq!((serde_json::to_value(scheme).unwrap(), scheme.to_string()), (name.into(), name.to_owned()));
        }
    }

    #[test]
    fn a_report_from_before_joins_subtitles_and_pictures_is_read_as_well() {
        let mut older: serde_json::Value =
            serde_json::from_str(include_str!("../tests/golden/report-v1.json")).unwrap();
        older["renditions"][0].as_object_mut().unwrap().remove("joins").unwrap();
        for member in ["subtitles", "captions", "pictures", "files", "hls_ts"] {
            older.as_object_mut().unwrap().remove(member).unwrap();
        }
        let read = serde_json::from_value::<Report>(older).unwrap();
        assert_eq!(
            (&read.renditions[0].joins[..], &read.subtitles[..], &read.captions[..]),
            (&[][..], &[][..], &[][..])
        );
        assert_eq!(read.pictures, Pictures::default());
        assert!(read.files.is_empty() && read.hls_ts.is_none());
    }

    #[test]
    fn a_report_is_read_back_as_it_was_written() {
        let read: Report = serde_json::from_str(include_str!("../tests/golden/report-v1.json")).unwrap();
        assert_eq!(read, report());
    }
}
