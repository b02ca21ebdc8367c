//! `vtp probe`: step: show what a source is. In: a video. Out: its streams, frames and cut points. Never:
//! decodes it, unless its packets alone don't tell its frames.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use clap::Args;
use serde::Serialize;
use vtp_engine::index::{CutClass, FrameList, Index};
use vtp_engine::source::{AudioInfo, SourceInfo, SubtitleInfo, VideoInfo};
use vtp_engine::units::Ratio;

use crate::exit::Failure;
use crate::limits::LimitArguments;
use crate::place::{self, Place};
use crate::report::{channel, duration_s, source_warnings};
use crate::text;
use crate::{Outcome, print};

/// Show what a source is: streams, frames, and where it can be cut.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The video
    #[arg(value_parser = place::parser())]
    input: Place,

    #[command(flatten)]
    limits: LimitArguments,

    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// What `vtp probe --json` prints.
#[derive(Debug, Serialize)]
struct Probe<'a> {
    version: u32,
    source: &'a SourceInfo,
    duration_s: f64,
    frames: u32,
    frame_list: FrameList,
    packets: usize,
    cuts: Cuts,
    warnings: Vec<String>,
}

/// Where decoding may start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Cuts {
    closed: usize,
    open: usize,
    /// The longest run of packets from one cut point to the next.
    longest_gop_packets: usize,
}

impl Cuts {
    fn of(index: &Index) -> Self {
        let count = |class| index.packets.iter().filter(|packet| packet.cut == class).count();
        let gops = index.packets.chunk_by(|_, next| next.cut == CutClass::None);
        Self {
            closed: count(CutClass::Closed),
            open: count(CutClass::Open),
            longest_gop_packets: gops.map(<[_]>::len).max().unwrap_or(0),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Input`] if the source is unusable.
pub fn run(arguments: &Arguments) -> Outcome {
    require_video(&arguments.input)?;
    let (_, source) = arguments.limits.children()?.index(&arguments.input, &AtomicBool::new(false))?;
    print(&if arguments.json { json(&source.info, &source.index)? } else { render(&source.info, &source.index) })
}

/// Refuses a path at which there is no file. What is in a store is asked for when it is opened.
///
/// # Errors
/// [`Failure::Usage`].
pub(crate) fn require_video(place: &Place) -> Outcome {
    place.path().map_or(Ok(()), require_file)
}

/// Refuses a path at which there is no file.
///
/// # Errors
/// [`Failure::Usage`].
pub(crate) fn require_file(path: &Path) -> Outcome {
    require(path, "a video")
}

/// The same of a file of subtitles.
///
/// # Errors
/// [`Failure::Usage`].
pub(crate) fn require_subtitles(path: &Path) -> Outcome {
    require(path, "a file of subtitles")
}

fn require(path: &Path, wanted: &str) -> Outcome {
    let refuse = |what: &str| Err(Failure::Usage(format!("{} {what}; give the path of {wanted}", path.display())));
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(metadata) if metadata.is_dir() => refuse("is a folder"),
        Ok(_) => refuse("is no regular file"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => refuse("is not there"),
        Err(error) => refuse(&format!("cannot be read ({error})")),
    }
}

/// The source as JSON, version 1.
///
/// # Errors
/// [`Failure::Internal`] if it cannot be serialised.
pub fn json(info: &SourceInfo, index: &Index) -> Result<String, Failure> {
    let probe = Probe {
        version: 1,
        source: info,
        duration_s: duration_s(info, index),
        frames: index.frame_count(),
        frame_list: index.frame_list,
        packets: index.packets.len(),
        cuts: Cuts::of(index),
        warnings: source_warnings(info, index),
    };
    let text = serde_json::to_string_pretty(&probe).map_err(|error| Failure::Internal(error.into()))?;
    Ok(text + "\n")
}

/// The source for a person.
pub fn render(info: &SourceInfo, index: &Index) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut row = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<10} {value}");
    };
    let duration = text::span(duration_s(info, index));
    row("container", format!("{}, {}, {duration}", info.container, text::bytes(info.bytes)));
    row("video", video(&info.video));
    info.audio.iter().for_each(|stream| row("audio", audio(stream)));
    info.subtitles.iter().for_each(|stream| row("subtitles", subtitles(stream)));
    if !info.captions.is_empty() {
        let channels: Vec<String> = info.captions.iter().map(channel).collect();
        row("captions", format!("{} in the video", channels.join(", ")));
    }
    row("frames", frames(index));
    row("cuts", cuts(Cuts::of(index)));
    source_warnings(info, index).into_iter().for_each(|warning| row("warning", warning));
    out
}

fn video(video: &VideoInfo) -> String {
    let mut parts = vec![
        format!("#{} {}", video.stream, video.codec),
        video.size.to_string(),
        format!("{} fps", text::rate(video.frame_rate.as_f64())),
        video.pixel_format.clone(),
    ];
    if video.sample_aspect != Ratio::ONE {
        parts.push(format!("samples {}:{}", video.sample_aspect.num(), video.sample_aspect.den()));
    }
    if video.rotation.mirrored {
        parts.push("mirrored".to_owned());
    }
    if video.rotation.quarter_turns > 0 {
        parts.push(format!("turned by {}°", 90 * u32::from(video.rotation.quarter_turns)));
    }
    if video.interlaced {
        parts.push("interlaced".to_owned());
    }
    parts.join(", ")
}

fn audio(audio: &AudioInfo) -> String {
    let mut parts = vec![
        format!("#{} {}", audio.stream, audio.codec),
        text::plural(audio.channels.into(), "channel"),
        format!("{} Hz", audio.sample_rate),
    ];
    parts.extend(audio.language.clone().filter(|language| language != "und"));
    parts.extend(audio.title.as_ref().map(|title| format!("{title:?}")));
    if audio.default {
        parts.push("default".to_owned());
    }
    parts.join(", ")
}

fn subtitles(track: &SubtitleInfo) -> String {
    let mut parts = vec![format!("#{} {}", track.stream, track.codec), text::plural(track.cues as u64, "cue")];
    parts.extend(track.language.clone().filter(|language| language != "und"));
    parts.extend(track.title.as_ref().map(|title| format!("{title:?}")));
    let told = [(track.default, "default"), (track.forced, "forced"), (track.hearing_impaired, "sdh")];
    parts.extend(told.iter().filter(|(is, _)| *is).map(|(_, word)| (*word).to_owned()));
    parts.join(", ")
}

fn frames(index: &Index) -> String {
    let from = match index.frame_list {
        FrameList::Packets => "as the packets tell",
        FrameList::Census => "found by decoding once, as the packets don't tell",
    };
    let packets = text::plural(index.packets.len() as u64, "packet");
    format!("{} in {packets}, {from}", text::count(index.frame_count().into()))
}

fn cuts(cuts: Cuts) -> String {
    format!(
        "{} closed, {} open, at most {} apart",
        text::count(cuts.closed as u64),
        text::count(cuts.open as u64),
        text::plural(cuts.longest_gop_packets as u64, "packet"),
    )
}

#[cfg(test)]
mod tests {
    use vtp_engine::index::PacketEntry;

    use super::*;
    use crate::report::tests::{index, info};

    fn with_packets(cuts: &[CutClass]) -> Index {
        let packet = |&cut| PacketEntry { pts: None, dts: None, size: 1, crc: 0, cut };
        Index { packets: cuts.iter().map(packet).collect(), ..index() }
    }

    #[test]
    fn cut_points_are_counted_and_the_longest_gop_is_found() {
        use CutClass::{Closed, None, Open};
        let cuts = Cuts::of(&with_packets(&[Closed, None, None, Open, Closed, None]));
        assert_eq!(cuts, Cuts { closed: 2, open: 1, longest_gop_packets: 3 });
        assert_eq!(Cuts::of(&with_packets(&[])).longest_gop_packets, 0);
    }

    #[test]
    fn a_person_reads_what_the_source_is() {
        let expected = "\
container  mov,mp4, 5.0 kB, 0.2 s
video      #0 h264, 1280x720, 25 fps, yuv420p
captions   CC1 in the video
frames     4 in 2 packets, as the packets tell
cuts       1 closed, 0 open, at most 2 packets apart
warning    stream 2 (subtitles) is left out
warning    one packet is damaged
warning    timestamps jump at 0.040 s; everything after it was shifted by -2.500 s
";
        assert_eq!(render(&info(), &with_packets(&[CutClass::Closed, CutClass::None])), expected);
    }

    #[test]
    fn the_json_form_has_a_version_and_the_same_facts() {
        let text = json(&info(), &with_packets(&[CutClass::Closed])).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["version"], &value["frames"], &value["cuts"]["closed"]), (&1.into(), &4.into(), &1.into()));
        assert_eq!(value["source"]["video"]["codec"], "h264");
    }

    #[test]
    fn a_missing_input_is_a_usage_error_that_says_so() {
        let failure = require_file(Path::new("no/such/file.mp4")).unwrap_err();
        assert_eq!(failure.code(), 2);
        assert!(failure.message().is_some_and(|message| message.contains("no/such/file.mp4 is not there")));
    }
}
