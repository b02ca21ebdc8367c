//! The index of real clips against what FFmpeg's own decoder shows.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use proptest::prelude::*;
use vtp_engine::index::Index;
use vtp_engine::media;
use vtp_engine::media::demux::SourceFile;
use vtp_engine::plan::{PlanSettings, plan};
use vtp_splitter::{ChunkReader, Source};

use common::decode_range;

/// The clips of a set, if they are at hand.
fn clips(set: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/media").join(set);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("SKIPPED: no clips in {}", folder.display());
        return Vec::new();
    };
    let mut found: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.sort();
    found
}

/// Presentation times in seconds of all frames that the `ffmpeg` command decodes.
fn times_by_ffmpeg(path: &Path, stream: usize) -> Vec<f64> {
    let output = Command::new("ffmpeg")
        .args(["-v", "quiet", "-copyts", "-i"])
        .arg(Path::new("file:").with_file_name(format!("file:{}", path.display())))
        .args(["-map", &format!("0:{stream}"), "-vf", "scale=16:16", "-fps_mode", "passthrough"])
        .args(["-enc_time_base", "1:1000000", "-c:v", "rawvideo", "-f", "framecrc", "-"])
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| row.split(',').nth(2).unwrap().trim().parse::<f64>().unwrap() / 1e6).collect()
}

fn compare(path: &Path) -> Result<String, String> {
    let source = match Source::open(path) {
        Ok(source) => source,
        Err(error) if error.code().is_some() => return Ok(format!("refused: {error}")),
        Err(error) => return Err(error.to_string()),
    };
    let (base, frames) = (source.info.video.time_base, &source.index.frames);
    let due = times_by_ffmpeg(path, source.info.video.stream);
    if frames.len() != due.len() {
        return Err(format!("{} frames, ffmpeg shows {}; {:?}", frames.len(), due.len(), source.index.warnings));
    }
    let ours = |i: usize| base.seconds(frames[i].pts - frames[0].pts);
    if source.index.warnings.iter().any(|warning| warning.contains("without a time, or with one out of order")) {
        // FFmpeg's tools squeeze such frames together behind the latest time.
        return Ok(format!("{} frames; {:?}", due.len(), source.index.warnings));
    }
    let tolerance = (base.seconds(1) / 2.0).clamp(0.001, 0.02) + 1e-5;
    match (0..due.len()).find(|&i| (ours(i) - (due[i] - due[0])).abs() > tolerance) {
        Some(i) if source.index.heals.is_empty() => Err(format!(
            "frame {i} at {}, ffmpeg shows it at {}; {:?}",
            ours(i),
            due[i] - due[0],
            source.index.warnings
        )),
        _ => Ok(format!("{} frames, {:?}", due.len(), source.index.frame_list)),
    }
}

fn compare_all(set: &str) {
    vtp_engine::media::silence_log();
    let mut failures = Vec::new();
    for path in clips(set) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Six minutes of 1080 lines: the sweep takes it (`vtp bench sweep`).
        if name == "long_6min_1080p_static.mp4" {
            continue;
        }
        match compare(&path) {
            Ok(figure) => println!("ok    {name}: {figure}"),
            Err(problem) => {
                println!("FAIL  {name}: {problem}");
                failures.push(name);
            }
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn the_index_of_ordinary_clips_lists_the_frames_that_ffmpeg_shows() {
    compare_all("main");
}

#[test]
fn the_index_of_nasty_clips_lists_the_frames_that_ffmpeg_shows() {
    compare_all("torture");
}

/// A clip with the checksums of its pictures, decoded as a whole, by the packet they come from.
struct Whole {
    file: SourceFile,
    source: Source,
    index: Arc<Index>,
    pictures: HashMap<u32, u32>,
}

/// Every clip is opened and decoded as a whole once. `None` if it is not at hand.
fn whole(name: &'static str) -> Option<Arc<Whole>> {
    static WHOLES: Mutex<BTreeMap<&str, Arc<Whole>>> = Mutex::new(BTreeMap::new());
    let mut wholes = WHOLES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(whole) = wholes.get(name) {
        return Some(Arc::clone(whole));
    }
    let path = clips("torture").into_iter().find(|path| path.ends_with(name))?;
    let file = SourceFile::open(&path).unwrap();
    let source = Source::read(&file, &mut || {}).unwrap();
    let index = Arc::new(source.index.clone());
    let mut reader = ChunkReader::new(&file, &source, Arc::clone(&index)).unwrap();
    let pictures = decode_range(&mut reader, &source, 0..index.packets.len() as u32).into_iter().collect();
    let whole = Arc::new(Whole { file, source, index, pictures });
    wholes.insert(name, Arc::clone(&whole));
    Some(whole)
}

/// Open GOPs, edit lists, wraps, intra refresh, missing times, fields, ten bits: what makes chunks hard to cut.
const HARD_TO_CUT: [&str; 12] = [
    "d_h264_opengop_bpyramid.mp4",
    "d_hevc10_opengop_cra_rasl.mkv",
    "d_h264_vfr_dropped.mp4",
    "d_avi_asp_qpel_bframes.avi",
    "h264_444_opengop_editlist_1fps.mp4",
    "d_ts_pts_wrap.ts",
    "d_ts_h264_intra_refresh.ts",
    "d_mxf_mpeg2_422_interlaced.mxf",
    "mov_prores_hq_quicktime.mov",
    "vp9_opus_no_duration.webm",
    "h264_mbaff_es.h264",
    "h264_bpyramid_sar64x45.mp4",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoding_chunks_of_any_size_gives_the_pictures_that_decoding_the_whole_gives(
        clip in 0..HARD_TO_CUT.len(),
        length in 0.15..5.0_f64,
    ) {
        media::silence_log();
        let name = HARD_TO_CUT[clip];
        let Some(whole) = whole(name) else { return Ok(()) };
        let Whole { file, source, index, pictures } = &*whole;
        let settings = PlanSettings { segment_s: length, chunk_s: Some(length), copies_packets: false, context_frames: 0 };
        let plan = plan(index, source.info.video.time_base, &settings);
        let mut reader = ChunkReader::new(file, source, Arc::clone(index)).unwrap();
        // Backwards, so that every chunk has to seek.
        for chunk in plan.chunks.iter().rev() {
            let found: HashMap<u32, u32> =
                decode_range(&mut reader, source, chunk.packets.clone()).into_iter().collect();
            for frame in &index.frames[chunk.frames.start as usize..chunk.frames.end as usize] {
                let packet = frame.packet.0;
                prop_assert!(found.contains_key(&packet), "{}: no picture of packet {} from {:?}", name, packet, chunk);
                prop_assert_eq!(found.get(&packet), pictures.get(&packet), "{}: packet {} in {:?}", name, packet, chunk);
            }
        }
    }
}
