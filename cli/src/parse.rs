//! Arguments as words, turned into values: durations, numbers in a range, inputs named like options. Pure.

use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

use vtp_engine::ladder::codec::UnknownCodec;
use vtp_engine::ladder::{FactorRequest, VideoCodec};
use vtp_engine::stills::Every;
use vtp_stitcher::remux::Container;

/// A VMAF score.
///
/// # Errors
/// A sentence, for anything but a number from 0 to 100.
pub fn score(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|score| (0.0..=100.0).contains(score))
        .ok_or_else(|| "give a number from 0 to 100".to_owned())
}

/// A loudness in LUFS that programmes are made at.
///
/// # Errors
/// A sentence, for anything but a number from -40 to -5.
pub fn loudness(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|lufs| (-40.0..=-5.0).contains(lufs))
        .ok_or_else(|| "give a number from -40 to -5, such as -23 or -16".to_owned())
}

/// A file that can stand beside the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// What the ladder holds, in this container.
    Whole(Container),
    /// The frames and the sound as they are, in FFV1 and FLAC.
    Archive,
}

impl FromStr for FileKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "ffv1" => Ok(Self::Archive),
            name => name.parse().map(Self::Whole).map_err(|_| "not one of mp4, mov, mkv, webm and ffv1".to_owned()),
        }
    }
}

/// A number of things of which there is at least one.
///
/// # Errors
/// A sentence, for anything else.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| "give a whole number from 1".to_owned())
}

/// Seconds in `4s`, `500ms`, `1m`, `1.5h` or plain `4`.
///
/// # Errors
/// A sentence, if the text is no duration or not above zero.
pub fn duration_s(text: &str) -> Result<f64, String> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let scale = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit {unit:?}: write 500ms, 4s, 2m or 1h")),
    };
    match number.parse::<f64>().map(|value| value * scale) {
        Ok(seconds) if seconds > 0.0 && seconds.is_finite() => Ok(seconds),
        Ok(_) => Err("a duration must be above zero".to_owned()),
        Err(_) => Err("not a duration: write 500ms, 4s, 2m or 1h".to_owned()),
    }
}

/// A time that something may take, up to a day.
///
/// # Errors
/// A sentence, if the text is no such duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    Ok(Duration::from_secs_f64(in_range(duration_s(text)?, 0.001, 86_400.0)?))
}

/// Length of a segment in seconds: a duration of half a second to a minute.
///
/// # Errors
/// A sentence that names the range.
pub fn segment_s(text: &str) -> Result<f64, String> {
    in_range(duration_s(text)?, 0.5, 60.0)
}

/// Length of a chunk in seconds, at least half a second; `None` for `auto`.
///
/// # Errors
/// A sentence that names the range.
pub fn chunk_s(text: &str) -> Result<ChunkLength, String> {
    match text {
        "auto" => Ok(ChunkLength(None)),
        _ => Ok(ChunkLength(Some(in_range(duration_s(text)?, 0.5, 86_400.0)?))),
    }
}

/// The interval of thumbnails: a duration of half a second to an hour, `auto` or `off`.
///
/// # Errors
/// A sentence that names the range.
pub fn thumbnails(text: &str) -> Result<Every, String> {
    match text {
        "auto" => Ok(Every::Auto),
        "off" => Ok(Every::Never),
        _ => Ok(Every::Seconds(in_range(duration_s(text)?, 0.5, 3600.0)?)),
    }
}

/// Length of a chunk in seconds, or `None` for "let the plan choose".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChunkLength(pub Option<f64>);

fn in_range(seconds: f64, least: f64, most: f64) -> Result<f64, String> {
    if (least..=most).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!("{seconds} s is outside of {least} s to {most} s"))
    }
}

/// Constant rate factors: one, or one for each codec. That each is one of its codec's is for the ladder to see.
///
/// # Errors
/// A sentence that says how they are written.
pub fn factors(text: &str) -> Result<FactorRequest, String> {
    let number = |text: &str| {
        let number = text.parse::<f32>().ok().filter(|crf| (1.0..=63.0).contains(crf));
        number.ok_or_else(|| {
            "a constant rate factor is a number from 1 (best) to 51 (smallest), or to 63 in vp9 and av1; for several \
             codecs write h264=21,hevc=26"
                .to_owned()
        })
    };
    if !text.contains('=') {
        return number(text).map(FactorRequest::One);
    }
    let one = |part: &str| {
        let (codec, crf) = part.split_once('=').unwrap_or((part, ""));
        let codec: VideoCodec = codec.trim().parse().map_err(|error: UnknownCodec| error.to_string())?;
        Ok((codec, number(crf.trim())?))
    };
    text.split(',').map(one).collect::<Result<_, String>>().map(FactorRequest::Each)
}

/// A constant rate factor of x264.
///
/// # Errors
/// A sentence that names the range.
pub fn crf_of_x264(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|crf| (1.0..=51.0).contains(crf));
    number.ok_or_else(|| "a constant rate factor of x264 is a number from 1 (best) to 51 (smallest)".to_owned())
}

/// Bits a sample.
///
/// # Errors
/// A sentence that names those there are.
pub fn depth(text: &str) -> Result<u8, String> {
    match text {
        "8" => Ok(8),
        "10" => Ok(10),
        _ => Err("samples have 8 or 10 bits".to_owned()),
    }
}

/// Words of a command line in which those that start with a dash but name a file, and no option of `command`
/// or its subcommands, have `./` before them: `vtp encode -clip.mp4` means the file.
pub fn dashed_files(
    words: impl IntoIterator<Item = OsString>,
    command: &clap::Command,
    is_file: impl Fn(&OsString) -> bool,
) -> Vec<OsString> {
    let mark = |word: OsString| {
        let bytes = word.as_encoded_bytes();
        if !bytes.starts_with(b"-") || is_option(&word, command) || !is_file(&word) {
            return word;
        }
        let mut path = OsString::from("./");
        path.push(word);
        path
    };
    words.into_iter().map(mark).collect()
}

/// Whether a word is `--`, an option, or an option with its value attached.
fn is_option(word: &OsString, command: &clap::Command) -> bool {
    let text = word.to_string_lossy();
    let Some(name) = text.strip_prefix("--") else {
        let mut letters = text.chars().skip(1);
        return letters.next().is_some_and(|first| {
            letters.next().is_none() && any_option(command, &|option| option.get_short() == Some(first))
        });
    };
    let name = name.split('=').next().unwrap_or(name);
    name.is_empty() || any_option(command, &|option| option.get_long() == Some(name))
}

fn any_option(command: &clap::Command, matches: &dyn Fn(&clap::Arg) -> bool) -> bool {
    command.get_arguments().any(matches) || command.get_subcommands().any(|command| any_option(command, matches))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duration_is_finite_and_above_zero_in_seconds() {
        assert_eq!(duration_s("1.5m"), Ok(90.0));
        for text in ["0", "-1s", "inf", "nan", "1e308h", "1e-322ms"] {
            assert!(duration_s(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_is_read_with_and_without_its_unit() {
        for (text, seconds) in [("4s", 4.0), ("4", 4.0), ("500ms", 0.5), ("1m", 60.0), ("1.5", 1.5), ("2h", 7200.0)] {
            assert_eq!(duration_s(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "4 s", "4x", "-1s", "0", "nan", "inf", "1e999", "4s4s", "1:30"] {
            assert!(duration_s(text).is_err(), "{text}");
        }
    }

    #[test]
    fn at_least_one_is_no_zero() {
        assert_eq!(at_least_one("3"), Ok(3));
        for text in ["0", "-1", "1.5", "", "many"] {
            assert!(at_least_one(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_segment_of_an_hour_is_refused_with_the_range() {
        assert_eq!(segment_s("1h"), Err("3600 s is outside of 0.5 s to 60 s".to_owned()));
    }

    #[test]
    fn chunk_lengths_are_auto_or_a_duration() {
        assert_eq!(chunk_s("auto"), Ok(ChunkLength(None)));
        assert_eq!(chunk_s("30s"), Ok(ChunkLength(Some(30.0))));
        assert!(chunk_s("automatic").is_err());
    }

    #[test]
    fn rate_factors_are_one_for_all_or_one_for_each_codec_and_in_some_codecs_range() {
        assert_eq!(factors("23.5"), Ok(FactorRequest::One(23.5)));
        let each = vec![(VideoCodec::H264, 21.0), (VideoCodec::Av1, 40.0)];
        assert_eq!(factors("h264=21, av1=40"), Ok(FactorRequest::Each(each)));
        for text in ["-1", "0", "64", "nan", "low", "h264", "h264=", "divx=3", "h264=21,hevc"] {
            assert!(factors(text).is_err(), "{text}");
        }
    }

    fn command() -> clap::Command {
        let encode = clap::Command::new("encode")
            .arg(clap::Arg::new("input"))
            .arg(clap::Arg::new("out").long("out").short('o'))
            .arg(clap::Arg::new("force").long("force").action(clap::ArgAction::SetTrue));
        clap::Command::new("vtp").subcommand(encode)
    }

    #[test]
    fn a_file_whose_name_starts_with_a_dash_is_an_input() {
        let words = ["vtp", "encode", "-clip.mp4", "--clip.mp4", "--out", "-o", "--out=x", "--", "plain.mp4"];
        let marked = dashed_files(words.map(OsString::from), &command(), |_| true);
        let expected = ["vtp", "encode", "./-clip.mp4", "./--clip.mp4", "--out", "-o", "--out=x", "--", "plain.mp4"];
        assert_eq!(marked, expected);
    }

    #[test]
    fn a_mistyped_option_stays_one() {
        let words = ["vtp", "encode", "--lader", "hd", "-", "-x"].map(OsString::from);
        assert_eq!(dashed_files(words.clone(), &command(), |_| false), words);
    }

    proptest! {
        #[test]
        fn any_whole_number_of_milliseconds_is_read(ms in 1_u32..10_000_000) {
            let seconds = duration_s(&format!("{ms}ms")).unwrap();
            prop_assert!((seconds - f64::from(ms) / 1000.0).abs() < 1e-9);
        }
    }
}
