//! The ladder's promises, over named sources and over random ones.

use proptest::prelude::*;

use super::*;
use crate::source::{Color, HdrMetadata, Rotation, SourceInfo, VideoInfo};
use crate::units::TimeBase;

fn source(width: u32, height: u32, sample_aspect: (u32, u32), quarter_turns: u8) -> SourceInfo {
    let video = VideoInfo {
        stream: 0,
        codec: "h264".to_owned(),
        time_base: TimeBase::per_second(90_000).unwrap(),
        size: Size { width, height },
        sample_aspect: Ratio::new(sample_aspect.0, sample_aspect.1).unwrap(),
        picture_aspect: None,
        rotation: Rotation { quarter_turns, mirrored: false },
        pixel_format: "yuv420p".to_owned(),
        color: Color::UNSPECIFIED,
        hdr: HdrMetadata::default(),
        interlaced: false,
        top_field_first: None,
        frame_rate: Ratio::new(25, 1).unwrap(),
    };
    let (audio, subtitles, captions, left_out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    SourceInfo { bytes: 1, container: "mov".to_owned(), video, audio, subtitles, captions, left_out }
}

fn square(width: u32, height: u32) -> SourceInfo {
    source(width, height, (1, 1), 0)
}

fn auto(source: &SourceInfo) -> Ladder {
    ladder(&LadderRequest::Auto, source, &LadderOptions::default()).unwrap()
}

fn named(names: &str, source: &SourceInfo) -> Result<Ladder, Error> {
    ladder(&names.parse().unwrap(), source, &LadderOptions::default())
}

fn names(ladder: &Ladder) -> Vec<&str> {
    ladder.renditions.iter().map(|r| r.name.as_str()).collect()
}

fn sizes(ladder: &Ladder) -> Vec<String> {
    ladder.renditions.iter().map(|r| r.size.to_string()).collect()
}

fn cap(rendition: &Rendition) -> u64 {
    match rendition.method {
        Method::Capped { max_rate, .. } => max_rate.0,
        Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => {
            panic!("{} has no cap", rendition.name)
        }
    }
}

#[test]
fn auto_takes_every_rung_at_or_below_the_source() {
    let hd = auto(&square(1920, 1080));
    assert_eq!(names(&hd), ["hd", "standard", "mobile"]);
    assert_eq!(sizes(&hd), ["1920x1080", "1280x720", "854x480"]);
    assert_eq!(hd.renditions.iter().map(cap).collect::<Vec<_>>(), [5_000_000, 2_500_000, 800_000]);
}

#[test]
fn auto_adds_the_sources_own_height_between_below_and_above_the_rungs() {
    assert_eq!(names(&auto(&square(2560, 1440))), ["1440p", "hd", "standard", "mobile"]);
    assert_eq!(names(&auto(&square(320, 240))), ["240p"]);
    assert_eq!(names(&auto(&square(7680, 4320))), ["4320p", "4k", "hd", "standard", "mobile"]);
}

#[test]
fn an_odd_source_loses_no_line_and_no_column() {
    assert_eq!(sizes(&auto(&square(161, 121))), ["162x122"]);
    let nearly_sd = auto(&square(639, 479));
    assert_eq!((names(&nearly_sd), sizes(&nearly_sd)), (vec!["mobile"], vec!["640x480".to_owned()]));
}

#[test]
fn anamorphic_and_turned_sources_are_measured_as_they_are_seen() {
    assert_eq!(display_size(&source(720, 576, (16, 15), 0).video), Size { width: 768, height: 576 });
    assert_eq!(sizes(&auto(&source(720, 576, (16, 11), 0))), ["1048x576", "872x480"]);
    assert_eq!(sizes(&auto(&source(1280, 720, (1, 1), 1))), ["720x1280", "608x1080", "406x720", "270x480"]);
    assert_eq!(sizes(&auto(&source(1280, 720, (1, 1), 2))), ["1280x720", "854x480"]);
}

#[test]
fn a_bend_by_rounding_is_signalled_once_it_shows() {
    let narrow = auto(&square(50, 1000));
    let lowest = narrow.renditions.last().unwrap();
    assert_eq!((lowest.name.as_str(), lowest.size), ("mobile", Size { width: 24, height: 480 }));
    assert_eq!(lowest.sample_aspect, Ratio::ONE);
    let bent = &named("mobile", &square(55, 1000)).unwrap().renditions[0];
    assert_eq!((bent.size.width, bent.sample_aspect), (26, Ratio::new(66, 65).unwrap()));
}

#[test]
fn slivers_are_left_out_where_a_larger_rung_exists() {
    let thread = auto(&square(16, 4000));
    assert_eq!(sizes(&thread), ["16x4000"]);
    assert_eq!(thread.warnings.len(), 4);
    assert_eq!(sizes(&auto(&square(4, 2))), ["4x2"]);
}

#[test]
fn a_rung_above_the_source_is_refused_with_what_is_possible() {
    let error = named("hd,mobile", &square(1280, 720)).unwrap_err();
    assert!(error.is_usage());
    let text = error.to_string();
    assert!(text.starts_with("hd is higher than the source, which is shown at 1280x720"), "{text}");
    assert!(text.ends_with("mobile, standard, archive, copy are possible, auto picks what fits"), "{text}");
}

#[test]
fn archive_and_copy_keep_the_pictures_as_they_are_stored() {
    let turned = source(720, 576, (16, 11), 1);
    let kept = named("copy,archive", &turned).unwrap();
    assert_eq!(names(&kept), ["archive", "copy"]);
    for rendition in &kept.renditions {
        assert_eq!((rendition.size, rendition.sample_aspect), (turned.video.size, turned.video.sample_aspect));
    }
    assert_eq!(kept.renditions[0].method, Method::Lossless { speed: "veryfast".to_owned() });
}

#[test]
fn archive_of_an_odd_size_is_refused_only_where_chroma_is_subsampled() {
    let made = |width, height, format: &str| {
        let mut odd = square(width, height);
        odd.video.pixel_format = format.to_owned();
        named("archive", &odd).map(|ladder| sizes(&ladder))
    };
    for format in ["yuv420p", "yuv420p10le", "nv12", "nv21"] {
        assert!(matches!(made(161, 120, format), Err(Error::OddArchive { .. })), "{format}");
        assert!(matches!(made(160, 121, format), Err(Error::OddArchive { .. })), "{format}");
    }
    for format in ["yuv422p", "yuv422p10le", "uyvy422", "yuyv422", "nv16"] {
        assert!(matches!(made(161, 120, format), Err(Error::OddArchive { .. })), "{format}");
        assert_eq!(made(160, 121, format).unwrap(), ["160x121"]);
    }
    for format in ["yuv444p", "gray", "gbrp"] {
        assert_eq!(made(161, 121, format).unwrap(), ["161x121"]);
    }
}

#[test]
fn a_rung_asked_for_twice_is_made_once_and_the_order_is_ours() {
    let twice = named("mobile, hd,mobile", &square(1920, 1080)).unwrap();
    assert_eq!(names(&twice), ["hd", "mobile"]);
}

#[test]
fn options_are_checked_and_carried() {
    let options = |crf: Option<f32>, speed: Option<&str>| LadderOptions {
        crf: crf.map_or(FactorRequest::Default, FactorRequest::One),
        speed: speed.map(str::to_owned),
        ..LadderOptions::default()
    };
    let make = |options| ladder(&LadderRequest::Auto, &square(854, 480), &options);
    assert_eq!(make(options(Some(0.5), None)), Err(Error::Crf { codec: VideoCodec::H264, crf: 0.5 }));
    assert!(matches!(make(options(Some(f32::NAN), None)), Err(Error::Crf { .. })));
    assert_eq!(make(options(None, Some("warp"))), Err(Error::Speed("warp".to_owned())));
    let made = make(options(Some(19.5), Some("slow"))).unwrap();
    let expected = Method::h264(19.5, BitRate(800_000), 1_600_000, "slow");
    assert_eq!(made.renditions[0].method, expected);
}

fn in_codecs(codecs: &[VideoCodec], source: &SourceInfo) -> Ladder {
    let options = LadderOptions { codecs: codecs.to_vec(), ..LadderOptions::default() };
    ladder(&LadderRequest::Auto, source, &options).unwrap()
}

fn hdr() -> SourceInfo {
    let mut source = square(1920, 1080);
    source.video.pixel_format = "yuv420p10le".to_owned();
    source.video.color = Color { primaries: 9, transfer: 16, matrix: 9, ..Color::UNSPECIFIED };
    source
}

/// Codec, depth and look of each rendition.
fn kinds(ladder: &Ladder) -> Vec<(VideoCodec, u8, Look)> {
    let kind = |rendition: &Rendition| match rendition.method {
        Method::Capped { codec, depth, look, .. } => (codec, depth, look),
        Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => {
            panic!("{} is not capped", rendition.name)
        }
    };
    ladder.renditions.iter().map(kind).collect()
}

#[test]
fn every_rung_is_made_with_every_codec_under_a_cap_of_its_own_and_the_first_has_the_plain_names() {
    let both = in_codecs(&[VideoCodec::H264, VideoCodec::Av1], &square(1280, 720));
    assert_eq!(names(&both), ["standard", "standard-av1", "mobile", "mobile-av1"]);
    assert_eq!(both.renditions.iter().map(cap).collect::<Vec<_>>(), [2_500_000, 1_625_000, 800_000, 520_000]);
    let named = LadderOptions { codecs: vec![VideoCodec::Hevc, VideoCodec::H264], ..LadderOptions::default() };
    let named = ladder(&"mobile".parse().unwrap(), &square(1280, 720), &named).unwrap();
    assert_eq!(names(&named), ["mobile", "mobile-h264"]);
}

#[test]
fn pictures_below_what_an_encoder_takes_are_refused_for_it_alone() {
    let of = |codec, width, height| {
        let options = LadderOptions { codecs: vec![codec], ..LadderOptions::default() };
        ladder(&LadderRequest::Auto, &square(width, height), &options).map(|ladder| ladder.renditions[0].size.width)
    };
    for codec in [VideoCodec::Hevc, VideoCodec::Av1] {
        assert_eq!(of(codec, 64, 64), Ok(64));
        for (width, height) in [(48, 100), (100, 48)] {
            let error = of(codec, width, height).unwrap_err();
            assert!(matches!(error, Error::TooSmall { least: 64, .. }), "{error}");
            assert!(error.to_string().contains(&format!("leave {codec} out")), "{error}");
        }
    }
    assert_eq!(of(VideoCodec::H264, 34, 34), Ok(34));
}

#[test]
fn a_high_dynamic_range_is_kept_in_ten_bits_and_mapped_where_there_are_eight() {
    use VideoCodec::{Av1, H264, Hevc, Vp9};
    let one = |codec, depth| {
        let options = LadderOptions { codecs: vec![codec], depth, ..LadderOptions::default() };
        kinds(&ladder(&"hd".parse().unwrap(), &hdr(), &options).unwrap())[0]
    };
    assert_eq!(one(H264, None), (H264, 8, Look::Sdr));
    for codec in [Hevc, Vp9, Av1] {
        assert_eq!(one(codec, None), (codec, 10, Look::Kept));
        assert_eq!(one(codec, Some(8)), (codec, 8, Look::Sdr));
    }
}

#[test]
fn ten_bits_stay_where_the_codecs_decoders_have_them_and_eight_are_eight() {
    use VideoCodec::{Av1, H264, Hevc, Vp9};
    let mut deep = square(1280, 720);
    deep.video.pixel_format = "p010le".to_owned();
    let depths = |source: &SourceInfo| -> Vec<u8> {
        kinds(&in_codecs(&[H264, Hevc, Vp9, Av1], source)).into_iter().take(4).map(|(_, depth, _)| depth).collect()
    };
    assert_eq!(depths(&deep), [8, 10, 8, 10]);
    for format in ["yuv420p", "nv12", "rgb565le", "bgr444be", "gbrp", "abé"] {
        deep.video.pixel_format = format.to_owned();
        assert_eq!(depths(&deep), [8, 8, 8, 8], "{format}");
    }
    let options = LadderOptions { depth: Some(10), ..LadderOptions::default() };
    let refused = ladder(&LadderRequest::Auto, &deep, &options).unwrap_err();
    assert_eq!(refused, Error::Depth { codec: H264, depth: 10 });
}

#[test]
fn rate_factors_are_on_the_scale_of_each_codec() {
    use VideoCodec::{Av1, H264};
    let with = |codecs: &[VideoCodec], crf: FactorRequest| {
        let options = LadderOptions { codecs: codecs.to_vec(), crf, ..LadderOptions::default() };
        ladder(&LadderRequest::Auto, &square(1280, 720), &options)
    };
    assert_eq!(with(&[H264, Av1], FactorRequest::One(20.0)), Err(Error::AmbiguousCrf));
    assert_eq!(with(&[Av1], FactorRequest::One(30.5)), Err(Error::Crf { codec: Av1, crf: 30.5 }));
    assert_eq!(with(&[H264], FactorRequest::One(55.0)), Err(Error::Crf { codec: H264, crf: 55.0 }));
    assert!(with(&[Av1], FactorRequest::One(55.0)).is_ok());
    let each = with(&[H264, Av1], FactorRequest::Each(vec![(Av1, 40.0)])).unwrap();
    let factor = |it: &Rendition| match it.method {
        Method::Capped { crf, .. } => crf,
        Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => 0.0,
    };
    let factors: Vec<f32> = each.renditions.iter().map(factor).collect();
    assert_eq!(factors, [23.0, 40.0, 23.0, 40.0]);
}

#[test]
fn a_rung_that_is_too_small_for_av1_is_left_out_of_it() {
    let small = in_codecs(&[VideoCodec::H264, VideoCodec::Av1], &square(96, 48));
    assert_eq!(names(&small), ["48p"]);
    assert!(small.warnings[0].contains("SVT-AV1 takes no picture below 64x64"), "{:?}", small.warnings);
}

#[test]
fn an_empty_request_and_unknown_names_are_refused() {
    let none = ladder(&LadderRequest::Presets(Vec::new()), &square(854, 480), &LadderOptions::default());
    assert_eq!(none, Err(Error::Empty));
    assert!("hd,uhd".parse::<LadderRequest>().is_err());
}

#[test]
fn pictures_beyond_the_highest_level_are_left_out_or_refused() {
    let bomb = auto(&square(16_384, 16_384));
    assert_eq!(names(&bomb), ["4k", "hd", "standard", "mobile"]);
    assert_eq!(bomb.warnings.len(), 1);
    assert!(matches!(named("archive", &square(16_386, 16)), Err(Error::TooLarge { .. })));
    let ribbon = ladder(&LadderRequest::Auto, &square(20_000, 100), &LadderOptions::default()).unwrap_err();
    assert!(!ribbon.is_usage());
}

#[test]
fn caps_between_the_presets_lie_between_their_caps() {
    let own = |width, height| cap(&auto(&square(width, height)).renditions[0]);
    assert!((800_000..2_500_000).contains(&own(960, 540)));
    assert!((5_000_000..25_000_000).contains(&own(2560, 1440)));
    assert!((100_000..800_000).contains(&own(320, 240)));
    assert!((25_000_000..100_000_000).contains(&own(7680, 4320)));
    assert_eq!(own(720, 1280), 5_000_000, "not below the rung under it");
}

proptest! {
    #[test]
    fn every_ladder_keeps_the_shape_and_never_upscales(
        width in 1u32..9000, height in 1u32..9000, num in 1u32..200, den in 1u32..200, turns in 0u8..4,
    ) {
        let source = source(width, height, (num, den), turns);
        let display = display_size(&source.video);
        let Ok(made) = ladder(&LadderRequest::Auto, &source, &LadderOptions::default()) else { return Ok(()) };
        prop_assert!(!made.renditions.is_empty());
        for pair in made.renditions.windows(2) {
            prop_assert!(pair[0].size.height > pair[1].size.height);
            prop_assert!(cap(&pair[0]) >= cap(&pair[1]));
        }
        for rung in &made.renditions {
            let Size { width, height } = rung.size;
            prop_assert!(width % 2 == 0 && height % 2 == 0 && width >= 2 && height >= 2);
            prop_assert!(width <= display.width + 2 && height <= display.height + 1);
            prop_assert!(rung.sample_aspect.num() <= 65_535 && rung.sample_aspect.den() <= 65_535);
            let shown = f64::from(width) * rung.sample_aspect.as_f64() / f64::from(height);
            let bend = shown / display_aspect(&source.video) - 1.0;
            prop_assert!(bend.abs() < 0.0051, "{} {} {bend}", rung.size, rung.sample_aspect);
        }
    }
}
