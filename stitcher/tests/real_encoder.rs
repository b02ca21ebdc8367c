//! Segments of a real encoder, read by a real player: x264 and AAC by the `ffmpeg` on PATH, which also reads them back.
//! Where there is none, the tests say so and check nothing.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use mp4_atom::{Any, Atom, Codec, ReadFrom};
use vtp_engine::chunk::Sample;
use vtp_engine::ladder::{AudioCodec, Method};
use vtp_engine::source::{AudioPurpose, Color, Rotation};
use vtp_engine::units::Ratio;
use vtp_stitcher::{AudioTrack, Extras, OutputLayout, Published, SourceSound, Stitcher};

const SEGMENT: usize = 50;
const RATE: u32 = 48_000;

/// 9 seconds of 30000/1001 a second with every seventh frame missing, and sound.
const SOURCE: [&str; 6] = [
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=320x240:rate=30000/1001:duration=9,select=mod(n\\,7)-3,settb=1/30000",
    "-f",
    "lavfi",
];
const SOUND: [&str; 2] = ["-i", "sine=frequency=440:beep_factor=4:sample_rate=48000:duration=9"];

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    ensure!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn no_ffmpeg() -> bool {
    let missing = ["ffmpeg", "ffprobe"].iter().any(|program| Command::new(program).arg("-version").output().is_err());
    if missing {
        eprintln!("NOT CHECKED: there is no ffmpeg or no ffprobe on PATH");
    }
    missing
}

/// A stream of an MP4 file: its decoder configuration and its packets in decode order.
struct Packets {
    config: Vec<u8>,
    samples: Vec<(Sample, Vec<u8>)>,
}

fn packets(path: &Path, stream: &str) -> Result<Packets> {
    let bytes = fs::read(path)?;
    let entries =
        ["-v", "error", "-select_streams", stream, "-show_entries", "packet=pts,size,pos,flags", "-of", "csv=p=0"];
    let listing = run("ffprobe", &[&entries[..], &[&path.to_string_lossy()]].concat())?;
    let samples = listing.lines().filter(|line| !line.is_empty()).map(|line| {
        let mut fields = line.split(',');
        let mut next = || fields.next().context("a packet with fields missing");
        let (pts, size, pos): (i64, u32, usize) = (next()?.parse()?, next()?.parse()?, next()?.parse()?);
        let sync = next()?.starts_with('K');
        Ok((Sample { pts, size, sync }, bytes[pos..pos + size as usize].to_vec()))
    });
    Ok(Packets { config: config(&bytes, stream)?, samples: samples.collect::<Result<_>>()? })
}

fn config(file: &[u8], stream: &str) -> Result<Vec<u8>> {
    let mut rest = file;
    let moov = loop {
        match Any::read_from(&mut rest)? {
            Any::Moov(moov) => break moov,
            _ => continue,
        }
    };
    let entries = moov.trak.iter().flat_map(|trak| &trak.mdia.minf.stbl.stsd.codecs);
    let mut found = entries.filter_map(|entry| match (entry, stream) {
        (Codec::Avc1(avc), "v:0") => {
            let mut record = Vec::new();
            avc.avcc.encode_body(&mut record).ok()?;
            Some(record)
        }
        (Codec::Mp4a(aac), "a:0") => Some(aac.esds.es_desc.dec_config.dec_specific.clone()?.raw),
        _ => None,
    });
    found.next_back().context("no such stream")
}

struct Job {
    folder: tempfile::TempDir,
    layout: OutputLayout,
    videos: Vec<Packets>,
    audio: Packets,
    index: Arc<vtp_engine::index::Index>,
}

/// Encodes the source to two sizes and stitches it in chunks of two segments, last chunk first.
impl Job {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let mut videos = Vec::new();
        for (name, size) in [("hd", "320:240"), ("mobile", "160:120")] {
            let file = path(&format!("{name}.mp4"));
            encode(&file, size)?;
            videos.push(packets(&file, "v:0")?);
        }
        let audio = packets(&path("hd.mp4"), "a:0")?;
        let mut times: Vec<i64> = videos[0].samples.iter().map(|(sample, _)| sample.pts).collect();
        times.sort_unstable();
        let starts: Vec<u32> = (0..times.len()).step_by(SEGMENT).map(|frame| frame as u32).collect();
        let plan = support::plan(&starts, times.len() as u32, 2);
        let track = AudioTrack {
            version_of: None,
            surround: false,
            codec: AudioCodec::Aac,
            purpose: AudioPurpose::Programme,
            language: Some("eng".to_owned()),
            title: None,
            default: true,
            sample_rate: RATE,
            channels: 1,
            priming: 1024,
            config: audio.config.clone(),
        };
        let renditions = vec![support::rendition("hd", 320, 240), support::rendition("mobile", 160, 120)];
        let mut layout = support::layout(renditions, vec![track], plan, (1, 30_000), times[0]);
        layout.video.made_color =
            Color { primaries: 1, transfer: 1, matrix: 1, full_range: Some(false), chroma_location: 0 };
        Ok(Self { folder, layout, videos, audio, index: Arc::new(support::index(&times)) })
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn stitch(&self) -> Result<Published> {
        let mut stitcher = Stitcher::new(&self.out(), self.layout.clone(), Arc::clone(&self.index), Extras::default())?;
        let chunks = &self.layout.plan.chunks;
        for chunk in chunks.iter().rev() {
            let frames = chunk.frames.start as usize..chunk.frames.end as usize;
            let own = self.layout.renditions.iter().zip(&self.videos).map(|(rendition, packets)| {
                (rendition.name.as_str(), packets.config.clone(), packets.samples[frames.clone()].to_vec())
            });
            stitcher.add_chunk(support::chunk(self.folder.path(), chunk.index.0, own.collect()))?;
        }
        let mut writer = stitcher.audio_writer(0)?;
        let writing = std::thread::spawn({
            let frames: Vec<_> = self.audio.samples.iter().map(|(_, bytes)| bytes.clone()).collect();
            move || {
                frames.iter().try_for_each(|frame| writer.frame(frame))?;
                writer.finish()
            }
        });
        let audio = writing.join().expect("the audio thread")?;
        let samples = u64::from(RATE) * 9;
        let start_s = self.layout.video.time_base.seconds(self.layout.video.origin);
        let sound = SourceSound { start_s, end_s: start_s + 9.0, start_sample: 0, silence_after: 0, samples };
        Ok(stitcher.finish(vec![audio], &[sound], &[])?)
    }

    /// A rendition as a player has it after appending everything.
    fn whole(&self, name: &str) -> Result<PathBuf> {
        let folder = self.out().join(name);
        let mut files: Vec<_> = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        files.retain(|path| path.extension().is_some_and(|kind| kind == "m4s"));
        files.sort();
        files.insert(0, folder.join("init.mp4"));
        let path = self.folder.path().join(format!("{name}-whole.mp4"));
        let parts = files.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
        fs::write(&path, parts.concat())?;
        Ok(path)
    }
}

fn encode(file: &Path, size: &str) -> Result<()> {
    let scale = format!("scale={size}");
    let x264 = [
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-bf",
        "3",
        "-x264-params",
        "keyint=250:min-keyint=1:scenecut=0:open-gop=0:bframes=3:b-adapt=0:stitchable=1:threads=1",
        "-force_key_frames",
        "expr:eq(mod(n,50),0)+eq(mod(n,50),30)",
    ];
    let tags = ["-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv"];
    let rest = [
        "-vf",
        &scale,
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1/30000",
        "-video_track_timescale",
        "30000",
        "-c:a",
        "aac",
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-y",
    ];
    let quiet = ["-v", "error"];
    let arguments = [&quiet[..], &SOURCE[..], &SOUND[..], &x264[..], &tags[..], &rest[..], &[&*file.to_string_lossy()]];
    run("ffmpeg", &arguments.concat()).map(drop)
}

fn probe(path: &Path, stream: &str, entries: &str) -> Result<String> {
    let arguments = ["-v", "error", "-select_streams", stream, "-show_entries", entries, "-of", "csv=p=0"];
    run("ffprobe", &[&arguments[..], &[&path.to_string_lossy()]].concat())
}

fn hashes(path: &Path) -> Result<Vec<String>> {
    let path = path.to_string_lossy();
    let text =
        run("ffmpeg", &["-v", "error", "-i", &path, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"])?;
    let hash = |line: &str| line.rsplit(',').next().map(|hash| hash.trim().to_owned());
    Ok(text.lines().filter(|line| !line.starts_with('#')).filter_map(hash).collect())
}

#[test]
fn every_frame_of_a_variable_rate_comes_back_at_its_time_with_its_picture() -> Result<()> {
    if no_ffmpeg() {
        return Ok(());
    }
    let job = Job::new()?;
    let published = job.stitch()?;
    ensure!(job.index.frames.len() > 4 * SEGMENT && published.proof.ok);
    let due: Vec<i64> = job.index.frames.iter().map(|frame| frame.pts - job.layout.video.origin).collect();
    for name in ["hd", "mobile"] {
        let whole = job.whole(name)?;
        let shown = probe(&whole, "v:0", "frame=pts")?;
        let shown = shown.lines().map(|line| line.trim_end_matches(',')).filter(|line| !line.is_empty());
        let shown: Vec<i64> = shown.map(str::parse).collect::<Result<_, _>>()?;
        assert_eq!(shown, due, "{name}");
        assert_eq!(hashes(&whole)?, hashes(&job.folder.path().join(format!("{name}.mp4")))?, "{name}");
    }
    Ok(())
}

/// What [`hashes`] tells of the one picture that stands in this range of a segment, behind the initialization segment.
fn hash_of_range(job: &Job, name: &str, segment: &m3u8_rs::MediaSegment) -> Result<Vec<String>> {
    let range = segment.byte_range.as_ref().context("no range")?;
    let start = range.offset.context("no offset")? as usize;
    let bytes = fs::read(job.out().join(name).join(&segment.uri))?;
    let alone = job.folder.path().join("alone.mp4");
    let own = bytes.get(start..start + range.length as usize).context("a range beyond its file")?;
    fs::write(&alone, [&fs::read(job.out().join(name).join("init.mp4"))?, own].concat())?;
    hashes(&alone)
}

#[test]
fn each_range_of_an_iframe_playlist_decodes_alone_to_exactly_its_picture() -> Result<()> {
    if no_ffmpeg() {
        return Ok(());
    }
    let job = Job::new()?;
    job.stitch()?;
    for name in ["hd", "mobile"] {
        let all = hashes(&job.whole(name)?)?;
        let text = fs::read(job.out().join(name).join("iframes.m3u8"))?;
        let playlist = m3u8_rs::parse_media_playlist_res(&text).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        ensure!(playlist.i_frames_only);
        let keys: Vec<usize> = (0..all.len()).filter(|frame| [0, 30].contains(&(frame % SEGMENT))).collect();
        assert_eq!(playlist.segments.len(), keys.len(), "{name}: those that open segments, and those inside");
        let seconds = |frame: usize| {
            let pts = job.index.frames.get(frame).map_or(job.index.end(), |frame| frame.pts);
            job.layout.video.time_base.seconds(pts)
        };
        let next = keys.iter().skip(1).copied().chain([all.len()]);
        for ((segment, &frame), next) in playlist.segments.iter().zip(&keys).zip(next) {
            assert_eq!(hash_of_range(&job, name, segment)?, [all[frame].as_str()], "{name}, frame {frame}");
            let due = seconds(next) - seconds(frame);
            ensure!((f64::from(segment.duration) - due).abs() < 2e-6, "{name}, frame {frame}: {}", segment.duration);
        }
    }
    Ok(())
}

#[test]
fn audio_comes_back_sample_for_sample_from_zero() -> Result<()> {
    if no_ffmpeg() {
        return Ok(());
    }
    let job = Job::new()?;
    job.stitch()?;
    let whole = job.whole("audio-en")?;
    let pcm = |path: &Path| {
        let out = job.folder.path().join("pcm");
        run(
            "ffmpeg",
            &["-v", "error", "-i", &path.to_string_lossy(), "-map", "0:a", "-f", "s16le", "-y", &out.to_string_lossy()],
        )?;
        Ok::<_, anyhow::Error>(fs::read(&out)?)
    };
    let (ours, theirs) = (pcm(&whole)?, pcm(&job.folder.path().join("hd.mp4"))?);
    // Of fragmented files ffmpeg tells the edit list by times below zero, and leaves it to the player to drop them.
    let ours = &ours[2 * 1024..];
    let exact = 2 * RATE as usize * 9;
    ensure!(ours.len() >= exact && ours.len() < exact + 2 * 1024, "{} bytes of {exact}", ours.len());
    ensure!(ours[..exact] == theirs[..exact], "the sound differs");
    let first = probe(&whole, "a:0", "packet=pts")?;
    assert_eq!(first.lines().next().map(|line| line.trim_end_matches(',')), Some("-1024"), "priming comes before 0");
    Ok(())
}

#[test]
fn both_manifests_open_in_a_player_and_play_every_frame() -> Result<()> {
    if no_ffmpeg() {
        return Ok(());
    }
    let job = Job::new()?;
    job.stitch()?;
    for manifest in ["hd/index.m3u8", "manifest.mpd"] {
        let packets = probe(&job.out().join(manifest), "v:0", "packet=pts")?;
        assert_eq!(packets.lines().count(), job.index.frames.len(), "{manifest}");
    }
    Ok(())
}

#[test]
fn shape_colour_and_rotation_are_told_in_the_boxes() -> Result<()> {
    if no_ffmpeg() {
        return Ok(());
    }
    let mut job = Job::new()?;
    job.layout.renditions[0].sample_aspect = Ratio::new(4, 3).context("a ratio")?;
    job.layout.renditions[0].method = Method::Lossless { speed: "medium".to_owned() };
    job.layout.video.rotation = Rotation { quarter_turns: 1, mirrored: false };
    job.stitch()?;
    let told = |name: &str| {
        let entries = "stream=sample_aspect_ratio,color_range,color_space:stream_side_data=rotation";
        probe(&job.whole(name)?, "v:0", entries)
    };
    let archive = told("hd")?;
    ensure!(archive.contains("4:3") && archive.contains("tv,bt709") && archive.contains("-90"), "{archive}");
    let encoded = told("mobile")?;
    ensure!(encoded.contains("1:1") && !encoded.contains("90"), "{encoded}");
    Ok(())
}
