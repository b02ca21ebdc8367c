//! What the command line of `vtp encode` becomes.

use clap::Parser;
use vtp_engine::ladder::Preset;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn parse(words: &[&str]) -> Result<EncodeRequest, clap::Error> {
    Line::try_parse_from([&["encode"], words].concat())
        .map(|line| line.arguments.request(|| std::thread::available_parallelism().unwrap()).unwrap())
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let request = parse(&["in.mp4", "--out", "d"]).unwrap();
    let contract = EncodeRequest {
        input: "in.mp4".into(),
        ladder: LadderRequest::Auto,
        options: LadderOptions { codecs: vec![VideoCodec::H264], ..LadderOptions::default() },
        segment_s: 4.0,
        chunk_s: None,
        check: Some(Check { sampling: Sampling::DEFAULT, target: Target { mean: 93.0, floor: 80.0, save: false } }),
        thumbnails: Every::Auto,
        poster: true,
        subtitles: SubtitleArguments::default(),
        allow_damage: false,
        files: Vec::new(),
        hls_ts: false,
        archive: false,
        seal: None,
        play_early: false,
        surround: true,
        loudness: None,
        audio: vec![AudioChoice::Aac],
        workers: std::thread::available_parallelism().unwrap(),
    };
    assert_eq!(request, contract);
}

#[test]
fn every_option_reaches_the_request() {
    let words =
        "--ladder hd,copy --codec hevc,h264,hevc --depth 8 --speed fast --crf 20 --segment 2s --chunk 30s --workers 3";
    let words: Vec<&str> = words.split(' ').chain(["in.mp4", "--out", "d"]).collect();
    let request = parse(&words).unwrap();
    assert_eq!(request.ladder, LadderRequest::Presets(vec![Preset::Hd, Preset::Copy]));
    let options = LadderOptions {
        codecs: vec![VideoCodec::Hevc, VideoCodec::H264],
        crf: FactorRequest::One(20.0),
        depth: Some(8),
        speed: Some("fast".to_owned()),
    };
    assert_eq!(request.options, options);
    assert_eq!((request.segment_s, request.chunk_s), (2.0, Some(30.0)));
    assert_eq!(request.workers.get(), 3);
    let words = ["in.mp4", "--out", "d", "--quality", "90", "--floor", "70.5", "--save", "--measure-every", "1"];
    let check = Check { sampling: Sampling::FULL, target: Target { mean: 90.0, floor: 70.5, save: true } };
    assert_eq!(parse(&words).unwrap().check, Some(check));
    assert_eq!(parse(&["in.mp4", "--out", "d", "--no-measure"]).unwrap().check, None);
    let pictures = |words: &[&str]| {
        let request = parse(&[&["in.mp4", "--out", "d"], words].concat()).unwrap();
        (request.thumbnails, request.poster)
    };
    assert_eq!(pictures(&["--thumbnails", "1500ms"]), (Every::Seconds(1.5), true));
    assert_eq!(pictures(&["--thumbnails", "off"]), (Every::Never, true));
    let audio = |codecs| parse(&["in.mp4", "--out", "d", "--audio", codecs]).map(|it| it.audio);
    assert_eq!(audio("opus,aac,copy,opus").unwrap(), AudioChoice::ALL);
    assert_eq!(audio("opus").unwrap(), [AudioChoice::Opus]);
    assert!(audio("mp3").is_err());
    let loudness = |lufs| parse(&["in.mp4", "--out", "d", "--loudness", lufs]).map(|it| it.loudness);
    assert_eq!(loudness("-16").unwrap(), Some(-16.0));
    assert!(["16", "-70", "loud", "nan"].iter().all(|lufs| loudness(lufs).is_err()));
    assert_eq!(pictures(&["--no-pictures"]), (Every::Never, false));
    let files = parse(&["in.mp4", "--out", "d", "--files", "mkv,mp4", "--files", "mkv"]).unwrap().files;
    assert_eq!(files, [Container::Mp4, Container::Mkv]);
    assert!(parse(&["in.mp4", "--out", "d", "--hls-ts"]).unwrap().hls_ts);
    let request = parse(&["in.mp4", "--out", "d", "--files", "ffv1,mov"]).unwrap();
    assert_eq!((request.files, request.archive), (vec![Container::Mov], true));
    let words = ["in.mp4", "--out", "d", "--no-subtitles", "--subtitle", "de=a.srt", "--subtitle", "b.vtt"];
    let subtitles = parse(&words).unwrap().subtitles;
    assert_eq!((subtitles.no_subtitles, subtitles.files.len()), (true, 2));
    assert_eq!(subtitles.files[0].language.as_deref(), Some("de"));
}

#[test]
fn asking_for_quality_without_measuring_is_a_usage_error() {
    let error = parse(&["in.mp4", "--out", "d", "--no-measure", "--strict-quality"]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn names_with_percent_signs_and_colons_stay_as_they_are() {
    assert_eq!(parse(&["a%03d:b?.mp4", "--out", "d"]).unwrap().input, "a%03d:b?.mp4".into());
}

#[test]
fn a_mistyped_option_is_not_taken_for_an_input() {
    for words in [["--lader", "hd", "in.mp4", "--out", "d"], ["in.mp4", "--out", "d", "--lader", "hd"]] {
        let error = parse(&words).unwrap_err();
        assert!(error.to_string().contains("--lader"), "{error}");
    }
}

#[test]
fn values_outside_of_their_range_are_usage_errors() {
    for option in [
        ["--crf", "64"],
        ["--codec", "divx"],
        ["--depth", "9"],
        ["--segment", "0s"],
        ["--workers", "0"],
        ["--speed", "warp"],
        ["--chunk", "x"],
        ["--files", "avi"],
    ] {
        let error = parse(&["in.mp4", "--out", "d", option[0], option[1]]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn an_interrupted_fleet_may_have_damaged_only_what_it_was_to_replace_in_a_store() {
    let left = |out: &str, force: &[&str]| {
        let words = [&["encode", "in.mp4", "--out", out], force].concat();
        let arguments = Line::try_parse_from(words).unwrap().arguments;
        match arguments.doubted(Failure::Interrupted(Left::Nothing)) {
            Failure::Interrupted(left) => left,
            failure => panic!("{failure:?}"),
        }
    };
    assert_eq!(left("d", &["--force"]), Left::Nothing);
    assert_eq!(left("s3://films/a", &[]), Left::Nothing);
    assert_eq!(left("s3://films/a", &["--force"]), Left::Doubtful("s3://films/a".to_owned()));
}
