//! Clips for the audio tests: synthesised by the `ffmpeg` on PATH, or real ones from the shared collection.

#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use vtp_engine::index::TimeShift;
use vtp_engine::ladder::AudioCodec;
use vtp_engine::media::audio::{
    AudioDecoder, AudioMode, AudioOutcome, AudioRequest, AudioTask, AudioTrackConfig, Sound, Speakers,
};
use vtp_engine::media::demux::{Demuxer, KnownContainer, Medium, SourceFile, StreamFacts};
use vtp_engine::media::{self, Error};
use vtp_engine::pcm::Moment;
use vtp_engine::source::AudioInfo;
use vtp_engine::units::TimeBase;

/// Runs `ffmpeg` with `args` (separated by blanks) and returns the path of what it wrote to `name` in `dir`.
pub(crate) fn synthesise(dir: &Path, name: &str, args: &str) -> PathBuf {
    let path = dir.join(name);
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-y", "-v", "error"])
        .args(args.split_whitespace())
        .arg(&path)
        .status()
        .expect("the tests need ffmpeg on PATH");
    assert!(status.success(), "ffmpeg {args} failed");
    path
}

/// A real clip of the shared collection; `None`, said aloud, where the collection is not installed.
pub(crate) fn clip(name: &str) -> Option<PathBuf> {
    let beside = |folder: &Path| folder.join("shared/media").join(name);
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(beside).find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: there is no shared/media/{name} beside the workspace");
    }
    found
}

/// The container's audio streams.
pub(crate) fn audio_streams(demuxer: &Demuxer) -> Vec<StreamFacts> {
    demuxer.streams().into_iter().filter(|stream| stream.medium == Medium::Audio).collect()
}

/// What the index will know of every audio stream of the clip at `path`.
pub(crate) fn audio_infos(path: &Path) -> Vec<AudioInfo> {
    let streams = audio_streams(&Demuxer::open(path).unwrap());
    streams.into_iter().map(|stream| audio_info(path, stream)).collect()
}

fn audio_info(path: &Path, stream: StreamFacts) -> AudioInfo {
    let mut demuxer = Demuxer::open(path).unwrap();
    demuxer.keep_only(&[stream.index]);
    let mut decoder = AudioDecoder::new(&demuxer.parameters(stream.index).unwrap(), stream.time_base).unwrap();
    let mut start = None;
    while let (None, Some(packet)) = (start, demuxer.read().unwrap()) {
        if packet.stream() == stream.index {
            let mut sink = |sound: Sound| -> Result<(), Error> {
                start = start.or(sound.pts());
                Ok(())
            };
            decoder.send(packet, &mut sink).unwrap();
        }
    }
    AudioInfo {
        stream: stream.index,
        codec: stream.codec,
        is_aac_lc: stream.is_aac_lc,
        sample_rate: stream.sample_rate,
        channels: stream.channels,
        language: stream.language,
        title: stream.title,
        default: stream.default,
        purpose: stream.purpose,
        time_base: stream.time_base,
        start: start.expect("some sound has a time"),
    }
}

/// A finished track, decoded again.
pub(crate) struct Track {
    pub(crate) config: AudioTrackConfig,
    pub(crate) outcome: AudioOutcome,
    pub(crate) units: Vec<Vec<u8>>,
    /// Mono samples from the output's time 0 on.
    pub(crate) pcm: Vec<f32>,
}

/// Seconds at which each click begins: sound after at least a tenth of a second without.
fn clicks_in(pcm: &[f32], rate: u32) -> Vec<f64> {
    let (mut found, mut loud_at) = (Vec::new(), -1.0);
    for (i, _) in pcm.iter().enumerate().filter(|(_, sample)| sample.abs() > 0.1) {
        let at = i as f64 / f64::from(rate);
        if at - loud_at > 0.1 {
            found.push(at);
        }
        loud_at = at;
    }
    found
}

/// Where ffmpeg hears the clicks of stream `number` of the clip at `path`, in seconds of the clip's own time.
fn clicks_heard_by_ffmpeg(path: &Path, number: usize) -> Vec<f64> {
    let filter = "pan=mono|c0=c0,aresample=48000:async=1:min_hard_comp=0.01:first_pts=0";
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "error", "-copyts", "-i"])
        .arg(path)
        .args(["-map", &format!("0:a:{number}"), "-af", filter, "-f", "f32le", "-"])
        .output()
        .unwrap();
    clicks_in(&floats(&output.stdout), 48_000)
}

impl Track {
    pub(crate) fn assert_clicks(&self, due: &[f64]) {
        let found = clicks_in(&self.pcm, self.config.sample_rate);
        let near = found.len() == due.len() && found.iter().zip(due).all(|(a, b)| (a - b).abs() < 0.002);
        assert!(near, "clicks at {found:?} instead of {due:?}");
    }

    /// Asserts that the clicks are where ffmpeg hears those of stream `number` of `source`; how many there are.
    pub(crate) fn assert_clicks_as_in(&self, source: &Path, number: usize) -> usize {
        let due = clicks_heard_by_ffmpeg(source, number);
        self.assert_clicks(&due);
        due.len()
    }

    /// Asserts that it was put to where its container tells it to be, which it is told of by two ways.
    pub(crate) fn assert_begins_as_declared(&self) {
        let put = self.outcome.start_sample as f64 / f64::from(self.config.sample_rate);
        assert!((put - self.outcome.start_s).abs() < 0.0011, "put to {put} s: {:?}", self.outcome);
    }

    pub(crate) fn assert_samples(&self, seconds: f64) {
        let due = seconds * f64::from(self.config.sample_rate);
        let (told, heard) = (self.outcome.samples as f64, self.pcm.len() as f64);
        assert!((told - due).abs() <= 1024.0, "{told} samples told instead of {due}");
        assert!(heard >= told && heard < told + 1024.0, "{heard} samples heard, {told} told");
    }
}

/// Seconds from `from` to `to` that are half a second past the full one: where `CLICKS` clicks.
pub(crate) fn half_seconds(from: u32, to: u32) -> Vec<f64> {
    (from..to).map(|second| f64::from(second) + 0.5).collect()
}

/// An expression for `aevalsrc`: 4 ms of 1 kHz half a second past every full second.
pub(crate) const CLICKS: &str = "between(mod(t\\,1)\\,0.5\\,0.504)*0.8*cos(2*PI*1000*t)";

/// Makes all audio tracks of the clip at `path` for an output that begins at `origin_ms`.
pub(crate) fn make(path: &Path, origin_ms: i64, shifts: &[TimeShift]) -> Vec<Track> {
    make_as(AudioMode::Encode, path, origin_ms, shifts)
}

/// The container in the file at `path`, after it was opened once.
pub(crate) fn known(path: &Path) -> KnownContainer {
    let file = SourceFile::open(path).unwrap();
    let streams = Demuxer::open_file(&file).unwrap().all_parameters();
    KnownContainer::new(file, streams)
}

/// As [`make`], the way `mode` says.
pub(crate) fn make_as(mode: AudioMode, path: &Path, origin_ms: i64, shifts: &[TimeShift]) -> Vec<Track> {
    make_until(mode, path, (origin_ms, None), shifts)
}

/// As [`make_as`], with pictures that end at the second time.
pub(crate) fn make_until(
    mode: AudioMode,
    path: &Path,
    (origin_ms, end_ms): (i64, Option<i64>),
    shifts: &[TimeShift],
) -> Vec<Track> {
    media::silence_log();
    let moment = |ticks| Moment { ticks, time_base: TimeBase::per_second(1000).unwrap() };
    let request = |info| AudioRequest {
        info,
        shifts: shifts.to_vec(),
        mode,
        codec: AudioCodec::Aac,
        speakers: Speakers::Stereo,
        loudness: None,
        until: end_ms.map(moment),
    };
    let requests: Vec<AudioRequest> = audio_infos(path).into_iter().map(request).collect();
    let task = AudioTask::open(&known(path), &requests, moment(origin_ms)).unwrap();
    let configs = task.configs();
    let mut units = vec![Vec::new(); configs.len()];
    let mut sink = |track: usize, unit: &[u8]| -> Result<(), Error> {
        units[track].push(unit.to_vec());
        Ok(())
    };
    let outcomes = task.run(&AtomicBool::new(false), &mut |_| {}, &mut sink).unwrap().expect("it is not cancelled");
    (configs.into_iter().zip(outcomes).zip(units))
        .map(|((config, outcome), units)| Track { pcm: decode_units(&config, &units), config, outcome, units })
        .collect()
}

/// Decodes access units by the `ffmpeg` on PATH and cuts their priming away.
fn decode_units(config: &AudioTrackConfig, units: &[Vec<u8>]) -> Vec<f32> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.aac");
    std::fs::write(&path, units.iter().flat_map(|unit| with_adts(config, unit)).collect::<Vec<u8>>()).unwrap();
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "error", "-i"])
        .arg(&path)
        .args(["-af", "pan=mono|c0=c0", "-f", "f32le", "-"])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    floats(&output.stdout).split_off(config.priming as usize)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// The access unit behind an ADTS header (ISO/IEC 14496-3, 1.A.3) that says what the AudioSpecificConfig says.
fn with_adts(config: &AudioTrackConfig, unit: &[u8]) -> Vec<u8> {
    let (a, b) = (config.config[0], config.config[1]);
    let (profile, index, channels) = (a >> 3, (a & 7) << 1 | b >> 7, b >> 3 & 15);
    let length = unit.len() + 7;
    let mut out = vec![0xFF, 0xF1, (profile - 1) << 6 | index << 2 | channels >> 2];
    out.push((channels & 3) << 6 | (length >> 11) as u8);
    out.push((length >> 3) as u8);
    out.push((length << 5) as u8 | 0x1F);
    out.push(0xFC);
    out.extend_from_slice(unit);
    out
}

/// When ffmpeg hears the first and the last sample of the first audio stream of `path`, in the clip's own seconds.
pub(crate) fn span_heard_by_ffmpeg(path: &Path) -> (f64, f64) {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "quiet", "-copyts", "-i"])
        .arg(path)
        .args(["-map", "0:a:0", "-ac", "1", "-c:a", "pcm_s16le", "-f", "framecrc", "-"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let number = |text: &str| text.trim().parse::<f64>().unwrap();
    let rate = text.lines().find_map(|line| line.strip_prefix("#tb 0: 1/")).map(number).unwrap();
    let runs = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        (number(fields[2]), number(fields[4]) / 2.0)
    });
    let runs: Vec<(f64, f64)> = runs.collect();
    let (last, length) = runs[runs.len() - 1];
    (runs[0].0 / rate, (last + length) / rate)
}
