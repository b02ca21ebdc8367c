//! `ffmpeg` and `ffprobe` as makers of clips and as independent readers.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Scene;

/// A decoded frame, or a packet, as `ffmpeg` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// When it is shown, in ticks of 90 kHz.
    pub(crate) at: i64,
    /// Bytes in it.
    pub(crate) size: u64,
    /// MD5 of these bytes.
    pub(crate) md5: String,
}

impl Scene {
    /// Runs `ffmpeg` here with the words of `line`, which are split at blanks. It has to go well.
    pub(crate) fn ffmpeg(&self, line: &str) -> String {
        let quiet = ["-nostdin", "-v", "error", "-y"];
        self.tool("ffmpeg", &[&quiet, &line.split_whitespace().collect::<Vec<_>>()[..]].concat()).0
    }

    /// The same; returns what its filters have to say.
    pub(crate) fn ffmpeg_log(&self, line: &str) -> String {
        let words = ["-nostdin", "-nostats", "-hide_banner"];
        self.tool("ffmpeg", &[&words, &line.split_whitespace().collect::<Vec<_>>()[..]].concat()).1
    }

    /// Runs a tool; returns its stdout and its stderr.
    fn tool(&self, name: &str, words: &[&str]) -> (String, String) {
        let output = Command::new(name).args(words).current_dir(&self.folder).output();
        let output = output.unwrap_or_else(|error| panic!("the tests need FFmpeg's command {name}: {error}"));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name} {words:?}: {stderr}");
        (String::from_utf8(output.stdout).unwrap(), stderr)
    }

    /// What `ffprobe` shows of a file here with the words of `line`.
    pub(crate) fn ffprobe(&self, line: &str) -> Value {
        let quiet = ["-v", "error", "-of", "json"];
        let words = [&quiet, &line.split_whitespace().collect::<Vec<_>>()[..]].concat();
        serde_json::from_str(&self.tool("ffprobe", &words).0).unwrap()
    }

    /// The decoded frames of the first video stream: as they are stored, not turned, at the times they are shown.
    pub(crate) fn frames(&self, file: &str) -> Vec<Frame> {
        let how = "-map 0:v:0 -fps_mode passthrough -c:v rawvideo -enc_time_base 1/90000 -f framemd5 -";
        listing(&self.ffmpeg(&format!("-noautorotate -i {file} {how}")))
    }

    /// The packets of the first video stream.
    pub(crate) fn packets(&self, file: &str) -> Vec<Frame> {
        listing(&self.ffmpeg(&format!("-i {file} -map 0:v:0 -c copy -f framemd5 -")))
    }

    /// Width, height and number of decoded frames of each video stream, largest first. The sound is left out, for
    /// FFmpeg 5.1 stops reading an MPD where the shortest of the streams it reads ends.
    pub(crate) fn pictures(&self, file: &str) -> Vec<(u64, u64, u64)> {
        let entries = "-select_streams v -count_frames -show_entries stream=width,height,nb_read_frames";
        let shown = self.ffprobe(&format!("{entries} {file}"));
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap());
        let streams = shown["streams"].as_array().unwrap().iter();
        let mut found: Vec<_> =
            streams.map(|s| (number(&s["width"]), number(&s["height"]), number(&s["nb_read_frames"]))).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    }

    /// The number of decoded samples of the first audio stream.
    pub(crate) fn samples(&self, file: &str) -> u64 {
        let heard = self.ffmpeg(&format!("-i {file} -map 0:a:0 -c:a pcm_s16le -f framemd5 -"));
        let rows = heard.lines().filter(|line| !line.starts_with('#'));
        rows.map(|row| row.split(',').nth(3).unwrap().trim().parse::<u64>().unwrap()).sum()
    }
}

/// The rows of a framemd5 listing in the order they are shown.
fn listing(text: &str) -> Vec<Frame> {
    let time_base = text.lines().find_map(|line| line.strip_prefix("#tb 0: ")).unwrap();
    let (num, den) = time_base.split_once('/').unwrap();
    let (num, den): (i64, i64) = (num.parse().unwrap(), den.parse().unwrap());
    let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let at = cells[2].parse::<i64>().unwrap() * 90_000 * num / den;
        Frame { at, size: cells[4].parse().unwrap(), md5: cells[5].to_owned() }
    });
    let mut frames: Vec<Frame> = rows.collect();
    frames.sort_by_key(|frame| frame.at);
    frames
}

/// Turns the first track of an MP4 file by a quarter, by the matrix of its header (ISO/IEC 14496-12, 8.3.2).
pub(crate) fn turn_by_90_degrees(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let header = bytes.windows(4).position(|four| four == b"tkhd").unwrap();
    // Behind the type and, in version 0, 40 bytes of other members.
    let matrix: [u32; 9] = [0, 0x1_0000, 0, 0xffff_0000, 0, 0, 0, 0, 0x4000_0000];
    for (place, value) in bytes[header + 44..].chunks_exact_mut(4).zip(matrix) {
        place.copy_from_slice(&value.to_be_bytes());
    }
    std::fs::write(file, bytes).unwrap();
}
