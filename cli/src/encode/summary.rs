//! What a person reads at the end of `vtp encode` and of `vtp report`. Pure: a report in, text out.

use std::fmt::Write as _;
use std::path::Path;

use vtp_stitcher::{FileReport, Pictures, StreamsReport, SubtitleReport};

use crate::records;
use crate::report::{Audio, Loudness, Proof, Report, Scheme, Timing};
use crate::text::{self, Align, Table};

/// The summary of a run whose output is in `folder`.
pub fn render(report: &Report, folder: &Path) -> String {
    with_page(report, folder, &folder.join(records::PAGE))
}

/// The same of one whose page is elsewhere. `folder` may be an address.
pub fn with_page(report: &Report, folder: &Path, page: &Path) -> String {
    let mut out = renditions(report).render("");
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    report.audio.iter().for_each(|track| line(audio(track)));
    report.subtitles.iter().for_each(|track| line(subtitles(track)));
    if !report.captions.is_empty() {
        line(format!("captions in the video: {}", report.captions.join(", ")));
    }
    pictures(&report.pictures).into_iter().for_each(&mut line);
    report.files.iter().for_each(|it| line(file(it)));
    report.hls_ts.iter().for_each(|it| line(streams(it)));
    let sealed =
        report.encryption.as_ref().map(|it| format!("encrypted: {}, key {} from {}", it.scheme, it.key_id, it.key_uri));
    sealed.into_iter().for_each(&mut line);
    line(String::new());
    line(proof(&report.proof));
    line(timing(&report.timing, report.source.duration_s));
    report.choices.iter().for_each(|choice| line(format!("smart: {}", choice.sentence(&report.choices))));
    report.plan.reason.iter().for_each(|reason| line(format!("note: {reason}")));
    report.warnings.iter().for_each(|warning| line(format!("warning: {warning}")));
    line(format!("play: {}", folder.join("master.m3u8").display()));
    if report.encryption.as_ref().is_none_or(|it| it.scheme != Scheme::Aes128) {
        line(format!("      {}", folder.join("manifest.mpd").display()));
    }
    line(format!("page: {}", page.display()));
    out
}

fn renditions(report: &Report) -> Table {
    let mut table = Table::new(&[
        ("rendition", Align::Left),
        ("size", Align::Right),
        ("frames", Align::Right),
        ("bytes", Align::Right),
        ("average", Align::Right),
        ("peak", Align::Right),
        ("fidelity", Align::Right),
        ("vmaf", Align::Right),
        ("codec", Align::Left),
    ]);
    for rendition in &report.renditions {
        table.row([
            rendition.name.clone(),
            format!("{}x{}", rendition.width, rendition.height),
            text::count(rendition.frames.into()),
            text::bytes(rendition.bytes),
            text::bit_rate(rendition.average_bandwidth),
            text::bit_rate(rendition.bandwidth),
            rendition.fidelity.map_or("-".to_owned(), |it| format!("{:.1}, p1 {:.1}", it.mean, it.p1)),
            rendition.vmaf.map_or("-".to_owned(), |it| format!("{:.1}", it.mean)),
            rendition.codec.clone(),
        ]);
    }
    table
}

fn audio(track: &Audio) -> String {
    let language = track.language.as_deref().map_or(String::new(), |language| format!(" {language}"));
    format!(
        "{}{language}: {}, {}, {} Hz, {}, {}",
        track.name,
        track.codec,
        text::plural(track.channels.into(), "channel"),
        track.sample_rate,
        text::span(track.samples as f64 / f64::from(track.sample_rate)),
        text::bytes(track.bytes),
    ) + &track.loudness.as_ref().map_or(String::new(), loudness)
}

fn loudness(of: &Loudness) -> String {
    match of.measured_lufs {
        None => "; silent".to_owned(),
        Some(lufs) => {
            let reached = text::tenths(lufs + of.gain_db);
            format!("; {:.1} LUFS {:+.1} dB, {reached:.1} LUFS", text::tenths(lufs), text::tenths(of.gain_db))
        }
    }
}

fn subtitles(track: &SubtitleReport) -> String {
    let language = if track.language == "und" { String::new() } else { format!(" {}", track.language) };
    let cues = text::plural(track.cues, "cue");
    let told = [(track.default, ", default"), (track.forced, ", forced")];
    let told: String = told.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    format!("{}{language}: {:?}, {cues}, {}{told}", track.name, track.title, text::bytes(track.bytes))
}

fn file(file: &FileReport) -> String {
    let tracks: Vec<&str> =
        std::iter::once(&file.video).chain(&file.audio).chain(&file.subtitles).map(String::as_str).collect();
    format!("{}: {}, {}", file.name, tracks.join(" + "), text::bytes(file.bytes))
}

fn streams(streams: &StreamsReport) -> String {
    let tracks: Vec<&str> = streams.renditions.iter().chain(&streams.audio).map(String::as_str).collect();
    format!("{}: {}, {}", streams.file, tracks.join(" + "), text::bytes(streams.bytes))
}

/// `None` without pictures.
fn pictures(pictures: &Pictures) -> Option<String> {
    let thumbnails = pictures
        .thumbnails
        .as_ref()
        .map(|it| format!("{}, one in {}", text::plural(it.count.into(), "thumbnail"), text::span(it.interval_s)));
    let made: Vec<String> = pictures.poster.iter().map(|it| it.file.clone()).chain(thumbnails).collect();
    (!made.is_empty()).then(|| format!("pictures: {}", made.join(", ")))
}

fn proof(proof: &Proof) -> String {
    let verdict = if proof.ok { "proven" } else { "NOT PROVEN" };
    let mut text = format!(
        "{verdict}: {} in, {} out of every rendition",
        text::plural(proof.frames_source, "frame"),
        text::count(proof.frames_out),
    );
    if let (Some(start), Some(end)) = (proof.av_offset_start_ms, proof.av_offset_end_ms) {
        // Writing to a string cannot fail.
        let (start, end) = (text::tenths(start), text::tenths(end));
        let _ = write!(text, "\n        sound against picture {start:+.1} ms at the start, {end:+.1} ms at the end");
    }
    text
}

fn timing(timing: &Timing, duration_s: f64) -> String {
    let mut text = format!("took {}, {} of CPU", text::span(timing.wall_s), text::span(timing.cpu_s));
    if timing.wall_s > 0.0 {
        let _ = write!(text, ", {:.2}x real time", duration_s / timing.wall_s);
    }
    if let Some(reused @ 1..) = timing.reused {
        let _ = write!(text, "; {} from the cache", text::plural(reused, "encoding"));
    }
    text
}

#[cfg(test)]
mod tests {
    use vtp_engine::ladder::smart::Verdict;

    use super::*;
    use crate::report::Choice;

    #[test]
    fn a_summary_tells_what_was_made_what_was_proven_and_where_to_look() {
        let expected = "\
rendition      size  frames  bytes    average       peak       fidelity  vmaf  codec
standard   1280x720       4  260 B  13.0 kb/s  26.0 kb/s  94.5, p1 88.0  94.5  avc1.64001f
audio-0 en: mp4a.40.2, 2 channels, 48000 Hz, 0.2 s, 400 B
subtitles-de de: \"German\", 3 cues, 321 B, default
captions in the video: CC1
pictures: poster.jpg, 1 thumbnail, one in 2.0 s
video.mp4: standard + audio-0 + subtitles-de, 660 B
master-ts.m3u8: standard + audio-0, 752 B

proven: 4 frames in, 4 out of every rendition
        sound against picture +0.0 ms at the start, -0.2 ms at the end
took 0.5 s, 0.9 s of CPU, 0.32x real time; 1 encoding from the cache
note: short
warning: stream 2 (subtitles) is left out
warning: one packet is damaged
warning: timestamps jump at 0.040 s; everything after it was shifted by -2.500 s
warning: the last one
play: out/master.m3u8
      out/manifest.mpd
page: out/report.html
";
        assert_eq!(render(&crate::report::tests::report(), Path::new("out")), expected);
    }

    #[test]
    fn a_ladder_that_was_tried_tells_what_became_of_each_rung() {
        let mut report = crate::report::tests::report();
        let choice = |name: &str, bit_rate, vmaf, verdict| Choice {
            name: name.to_owned(),
            width: 1280,
            height: 720,
            bit_rate,
            fidelity: 97.04,
            vmaf,
            verdict,
        };
        report.choices = vec![
            choice("hd", 4_000_000, 95.0, Verdict::LeftOut { instead: "standard".to_owned() }),
            choice("standard", 1_500_000, 94.0, Verdict::Lowered { crf: 25.5 }),
            choice("mobile", 700_000, 80.0, Verdict::Kept),
        ];
        let expected = "\
smart: hd is left out: standard is enough (VMAF 94.0 at 1.5 Mb/s against 95.0 at 4.0 Mb/s)
smart: standard is made at a rate factor of 25.5: in the trial its fidelity was 97.0, more than is asked for
smart: mobile is kept: VMAF 80.0 at 700 kb/s
";
        let summary = render(&report, Path::new("out"));
        assert!(summary.contains(expected), "{summary}");
    }

    #[test]
    fn a_track_that_was_made_louder_says_by_how_much() {
        let mut report = crate::report::tests::report();
        let loudness = Loudness {
            target_lufs: -16.0,
            measured_lufs: Some(-23.04),
            true_peak_dbtp: Some(-9.0),
            gain_db: 7.04,
            missed_because: None,
        };
        report.audio[0].loudness = Some(loudness.clone());
        assert!(render(&report, Path::new("out")).contains("400 B; -23.0 LUFS +7.0 dB, -16.0 LUFS"));
        report.audio[0].loudness = Some(Loudness { measured_lufs: None, gain_db: 0.0, ..loudness });
        assert!(render(&report, Path::new("out")).contains("400 B; silent"));
    }

    #[test]
    fn a_silent_source_has_no_word_about_sound() {
        let mut report = crate::report::tests::report();
        report.audio.clear();
        (report.proof.av_offset_start_ms, report.proof.av_offset_end_ms) = (None, None);
        assert!(!render(&report, Path::new("out")).contains("sound"));
    }
}
