use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;

use super::*;
use crate::media::testing::{bytes, generate, moving, picture, size, video};

fn run(conditioner: &mut Conditioner, pictures: Vec<Picture>) -> Vec<(i64, Picture)> {
    let mut out = Vec::new();
    let mut sink = |ordinal, picture| -> Result<(), Error> {
        out.push((ordinal, picture));
        Ok(())
    };
    for (ordinal, picture) in pictures.into_iter().enumerate() {
        conditioner.send(ordinal as i64 * 3, picture, &mut sink).unwrap();
    }
    conditioner.finish(&mut sink).unwrap();
    out
}

fn assert_numbered(out: &[(i64, Picture)], count: usize) {
    let ordinals: Vec<_> = out.iter().map(|(ordinal, _)| *ordinal).collect();
    assert_eq!(ordinals, (0..count as i64).map(|n| n * 3).collect::<Vec<_>>());
}

fn interlaced(n: usize) -> Picture {
    let mut picture = picture(size(64, 48), Pixel::YUV420P, &|_, row, _| if row % 2 == 0 { 200 } else { n as u8 });
    // SAFETY: the frame is valid and owned by the picture.
    unsafe {
        let raw = &mut *picture.frame_mut().as_mut_ptr();
        (raw.interlaced_frame, raw.top_field_first) = (1, 1);
    }
    picture
}

fn progressive(n: usize) -> Picture {
    moving(size(64, 48), Pixel::YUV420P, n)
}

#[test]
fn a_picture_that_needs_nothing_passes_uncopied() {
    let pictures: Vec<_> = (0..3).map(progressive).collect();
    let places: Vec<_> = pictures.iter().map(|p| p.frame().data(0).as_ptr()).collect();
    let out = run(&mut Conditioner::new(&video(size(64, 48), "yuv420p")), pictures);
    assert_numbered(&out, 3);
    assert_eq!(out.iter().map(|(_, p)| p.frame().data(0).as_ptr()).collect::<Vec<_>>(), places);
}

#[test]
fn as_many_pictures_come_out_as_went_in_where_interlaced_and_progressive_alternate() {
    for pattern in [&[true; 7][..], &[false, false, true, true, false, true], &[false, true], &[true]] {
        let pictures =
            pattern.iter().enumerate().map(|(n, &fields)| if fields { interlaced(n) } else { progressive(n) });
        let out = run(&mut Conditioner::new(&video(size(64, 48), "yuv420p")), pictures.collect());
        assert_numbered(&out, pattern.len());
        for (n, &fields) in pattern.iter().enumerate() {
            assert!(!fields || !out[n].1.is_interlaced(), "picture {n} of {pattern:?} is deinterlaced");
            assert!(fields || bytes(&out[n].1) == bytes(&progressive(n)), "picture {n} of {pattern:?} is untouched");
        }
    }
}

#[test]
fn the_deinterlacer_sees_the_progressive_picture_before_its_first() {
    let late = run(
        &mut Conditioner::new(&video(size(64, 48), "yuv420p")),
        vec![progressive(0), progressive(1), interlaced(2), interlaced(3), interlaced(4)],
    );
    let mut from_the_start = Conditioner::new(&video(size(64, 48), "yuv420p"));
    from_the_start.interlaced = true;
    let whole =
        run(&mut from_the_start, vec![progressive(0), progressive(1), interlaced(2), interlaced(3), interlaced(4)]);
    for (late, whole) in late.iter().zip(&whole) {
        assert_eq!(bytes(&late.1), bytes(&whole.1), "picture {}", late.0);
    }
}

/// A picture of four quarters: 10 20 above 30 40.
fn quarters() -> Picture {
    picture(size(64, 48), Pixel::YUV420P, &|plane, row, column| match (plane, row < 24, column < 32) {
        (0, true, true) => 10,
        (0, true, false) => 20,
        (0, false, true) => 30,
        (0, false, false) => 40,
        _ => 128,
    })
}

fn corners(picture: &Picture) -> [u8; 4] {
    let (data, stride) = (picture.frame().data(0), picture.frame().stride(0));
    let (right, bottom) = (picture.size().width as usize - 1, picture.size().height as usize - 1);
    [data[0], data[right], data[bottom * stride], data[bottom * stride + right]]
}

#[test]
fn pictures_are_mirrored_first_and_then_turned_clockwise() {
    let cases = [
        (false, 0, [10, 20, 30, 40]),
        (false, 1, [30, 10, 40, 20]),
        (false, 2, [40, 30, 20, 10]),
        (false, 3, [20, 40, 10, 30]),
        (true, 0, [20, 10, 40, 30]),
        (true, 1, [40, 20, 30, 10]),
        (true, 2, [30, 40, 10, 20]),
        (true, 3, [10, 30, 20, 40]),
    ];
    for (mirrored, quarter_turns, expected) in cases {
        let mut source = video(size(64, 48), "yuv420p");
        source.rotation = Rotation { quarter_turns, mirrored };
        let out = run(&mut Conditioner::new(&source), vec![quarters(), quarters()]);
        assert_numbered(&out, 2);
        assert_eq!(corners(&out[1].1), expected, "{:?}", source.rotation);
        let turned = if source.rotation.swaps_axes() { size(48, 64) } else { size(64, 48) };
        assert_eq!(out[1].1.size(), turned);
    }
}

#[test]
fn a_picture_of_another_size_is_fitted_into_the_first_with_black_bars() {
    let white = |size| picture(size, Pixel::YUV420P, &|plane, _, _| if plane == 0 { 235 } else { 128 });
    let pictures = vec![white(size(64, 48)), white(size(64, 24)), white(size(16, 48)), white(size(64, 48))];
    let out = run(&mut Conditioner::new(&video(size(64, 48), "yuv420p")), pictures);
    assert_numbered(&out, 4);
    assert!(out.iter().all(|(_, picture)| picture.size() == size(64, 48)));
    let column = |n: usize, x: usize, y: usize| out[n].1.frame().data(0)[y * out[n].1.frame().stride(0) + x];
    assert_eq!((column(1, 32, 2), column(1, 32, 24), column(1, 32, 46)), (16, 235, 16));
    assert_eq!((column(2, 2, 24), column(2, 32, 24), column(2, 62, 24)), (16, 235, 16));
    assert_eq!(column(3, 2, 2), 235);
}

#[test]
fn a_picture_is_fitted_into_a_first_one_of_odd_size() {
    let pictures = vec![
        picture(size(63, 47), Pixel::YUV420P, &|_, _, _| 90),
        picture(size(64, 36), Pixel::YUV420P, &|_, _, _| 90),
        picture(size(128, 200), Pixel::YUV420P, &|_, _, _| 90),
    ];
    let out = run(&mut Conditioner::new(&video(size(63, 47), "yuv420p")), pictures);
    assert_numbered(&out, 3);
    assert_eq!(out.iter().map(|(_, it)| it.size()).collect::<Vec<_>>(), [size(63, 47), size(62, 46), size(62, 46)]);
}

/// Green of BT.709, in its own numbers and in those of BT.601.
#[test]
fn a_picture_of_another_matrix_is_converted_to_the_first() {
    let of = |matrix: u8, yuv: [u8; 3]| {
        let mut picture = picture(size(64, 48), Pixel::YUV420P, &|plane, _, _| yuv[plane]);
        let space =
            if matrix == 1 { ffi::AVColorSpace::AVCOL_SPC_BT709 } else { ffi::AVColorSpace::AVCOL_SPC_SMPTE170M };
        // SAFETY: the frame is valid and owned by the picture.
        unsafe { (*picture.frame_mut().as_mut_ptr()).colorspace = space };
        picture
    };
    let mut source = video(size(64, 48), "yuv420p");
    source.color = Color { full_range: Some(false), ..Color::BT709 };
    let green = |matrix: u8| of(matrix, if matrix == 1 { [173, 42, 26] } else { [145, 54, 34] });
    let out = run(&mut Conditioner::new(&source), vec![green(1), green(6), green(1)]);
    assert_numbered(&out, 3);
    for (ordinal, picture) in &out {
        let shown = [0, 1, 2].map(|plane| picture.frame().data(plane)[0]);
        let near = shown.iter().zip([173, 42, 26]).all(|(shown, due)| shown.abs_diff(due) <= 2);
        assert!(near, "{ordinal}: {shown:?}");
    }
}

#[test]
fn a_picture_of_another_dynamic_range_is_refused_and_one_that_says_nothing_is_not() {
    let of = |transfer| {
        let mut picture = progressive(0);
        // SAFETY: the frame is valid and owned by the picture.
        unsafe { (*picture.frame_mut().as_mut_ptr()).color_trc = transfer };
        picture
    };
    use ffi::AVColorTransferCharacteristic::{
        AVCOL_TRC_BT709, AVCOL_TRC_BT2020_10, AVCOL_TRC_SMPTE2084, AVCOL_TRC_UNSPECIFIED,
    };
    let mut source = video(size(64, 48), "yuv420p");
    source.color.transfer = 16;
    let mut conditioner = Conditioner::new(&source);
    let mut send = |transfer| conditioner.send(0, of(transfer), &mut |_, _| Ok::<_, Error>(()));
    assert!(send(AVCOL_TRC_SMPTE2084).is_ok() && send(AVCOL_TRC_UNSPECIFIED).is_ok());
    let error = send(AVCOL_TRC_BT709).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("changes from HDR (PQ) to SDR"), "{error}");
    // Decoding from the middle, the message that says hybrid log-gamma may not have come yet.
    source.color.transfer = 18;
    let mut conditioner = Conditioner::new(&source);
    assert!(conditioner.send(0, of(AVCOL_TRC_BT2020_10), &mut |_, _| Ok::<_, Error>(())).is_ok());
}

#[test]
fn fitting_keeps_the_shape_of_anamorphic_pictures() {
    let pal_wide = Ratio::new(64, 45).unwrap();
    assert_eq!(fit(size(1280, 720), 1.0, size(720, 576), pal_wide), size(720, 576));
    assert_eq!(fit(size(720, 576), pal_wide.as_f64(), size(1280, 720), Ratio::ONE), size(1280, 720));
    assert_eq!(fit(size(640, 480), 1.0, size(1280, 720), Ratio::ONE), size(960, 720));
    assert_eq!(fit(size(16, 4000), 1.0, size(640, 360), Ratio::ONE), size(2, 360));
}

#[test]
fn a_picture_whose_samples_change_shape_is_fitted_into_the_first_shape() {
    let (narrow, wide) = (Ratio::new(16, 15).unwrap(), Ratio::new(64, 45).unwrap());
    let white = |aspect: Option<Ratio>| {
        let mut white = picture(size(720, 576), Pixel::YUV420P, &|plane, _, _| if plane == 0 { 235 } else { 128 });
        if let Some(aspect) = aspect {
            white.set_sample_aspect(aspect);
        }
        white
    };
    let bars = |container: Ratio, first: Option<Ratio>, shown: Option<Ratio>| {
        let mut source = video(size(720, 576), "yuv420p");
        (source.sample_aspect, source.picture_aspect) = (container, first);
        let out = run(&mut Conditioner::new(&source), vec![white(first), white(shown)]);
        let frame = out[1].1.frame();
        let at = |x: usize, y: usize| frame.data(0)[y * frame.stride(0) + x] == 16;
        assert_eq!(out[1].1.size(), size(720, 576));
        [at(40, 288), at(360, 40), at(360, 288)]
    };
    assert_eq!(bars(narrow, Some(narrow), Some(wide)), [false, true, false], "above and below");
    assert_eq!(bars(wide, Some(wide), Some(narrow)), [true, false, false], "left and right");
    assert_eq!(bars(Ratio::ONE, Some(narrow), Some(wide)), [false, true, false], "the container's word counts");
    for (first, shown) in [(Some(narrow), Some(narrow)), (Some(narrow), None), (None, Some(wide)), (None, None)] {
        assert_eq!(bars(wide, first, shown), [false; 3]);
    }
}

#[test]
fn a_full_range_picture_keeps_its_range_through_the_filters() {
    let mut source = video(size(64, 48), "yuv420p");
    source.rotation.quarter_turns = 1;
    let grey = |size| picture(size, Pixel::YUVJ420P, &|_, _, _| 250);
    let out = run(&mut Conditioner::new(&source), vec![grey(size(64, 48)), grey(size(128, 96))]);
    for (_, picture) in &out {
        assert_eq!((picture.frame().data(0)[100], picture.color().full_range), (250, Some(true)));
        assert_eq!(picture.pixel_format(), ("yuv420p".to_owned(), false));
    }
}

#[test]
fn a_real_interlaced_clip_comes_out_with_as_many_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=50:d=1", "-vf", "interlace", "-c:v", "libx264"];
    let arguments: Vec<_> = arguments.into_iter().chain(["-flags", "+ildct+ilme"]).collect();
    let Some(clip) = generate(folder.path(), "interlaced.mp4", &arguments) else { return };
    let pictures = crate::media::testing::decode_file(&clip);
    assert!(pictures.len() == 25 && pictures.iter().all(Picture::is_interlaced));
    let out = run(&mut Conditioner::new(&video(size(320, 240), "yuv420p")), pictures);
    assert_numbered(&out, 25);
    assert!(out.iter().all(|(_, picture)| !picture.is_interlaced()));
}

#[test]
fn a_chunk_with_one_neighbour_on_each_side_is_deinterlaced_as_in_the_whole() {
    let source = video(size(64, 48), "yuv420p");
    let pattern = |n: usize| if n == 1 { progressive(n) } else { interlaced(n * 9) };
    let whole = run(&mut Conditioner::new(&source), (0..8).map(pattern).collect());
    let chunk = run(&mut Conditioner::new(&source), (2..7).map(pattern).collect());
    for n in 3..6 {
        assert_eq!(bytes(&chunk[n - 2].1), bytes(&whole[n].1), "picture {n}");
    }
}
