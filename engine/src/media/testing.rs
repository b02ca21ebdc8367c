//! Pictures and clips for the tests of this layer.

use std::path::{Path, PathBuf};
use std::process::Command;

use ffmpeg_next::format::Pixel;

use super::decode::VideoDecoder;
use super::demux::{Demuxer, Medium};
use super::scale::new_frame;
use super::{Error, Picture};
use crate::limits::Limits;
use crate::source::{Color, HdrMetadata, Rotation, VideoInfo};
use crate::units::{PacketIndex, Ratio, Size, TimeBase};

/// A made-up stream of `size` in `pixel_format`, 25 frames a second in milliseconds.
pub(crate) fn video(size: Size, pixel_format: &str) -> VideoInfo {
    super::silence_log();
    VideoInfo {
        stream: 0,
        codec: "rawvideo".to_owned(),
        time_base: TimeBase::per_second(1000).unwrap(),
        size,
        sample_aspect: Ratio::ONE,
        picture_aspect: None,
        rotation: Rotation::default(),
        pixel_format: pixel_format.to_owned(),
        color: Color::UNSPECIFIED,
        hdr: HdrMetadata::default(),
        interlaced: false,
        top_field_first: None,
        frame_rate: Ratio::new(25, 1).unwrap(),
    }
}

pub(crate) fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

/// A picture whose byte at (plane, row, column) is what `byte` answers; its seed makes every one different.
pub(crate) fn picture(size: Size, format: Pixel, byte: &dyn Fn(usize, usize, usize) -> u8) -> Picture {
    let mut frame = new_frame(size, format).unwrap();
    for plane in 0..frame.planes() {
        let stride = frame.stride(plane);
        for (row, line) in frame.data_mut(plane).chunks_mut(stride).enumerate() {
            for (column, sample) in line.iter_mut().enumerate() {
                *sample = byte(plane, row, column);
            }
        }
    }
    Picture::wrap(frame)
}

/// A noisy moving picture, number `n`, at most ten bits where samples have two bytes.
pub(crate) fn moving(size: Size, format: Pixel, n: usize) -> Picture {
    let deep = format.descriptor().is_some_and(|d| d.name().ends_with("10le"));
    picture(size, format, &|plane, row, column| {
        if deep && column % 2 == 1 {
            return (row / 8 + column / 16 + n) as u8 % 4;
        }
        let gradient = row * 2 + column + n * 5 + plane * 40;
        let noise = (row * 7919 + column * 104_729 + n * 31) % 13;
        (gradient % 200 + 16 + noise) as u8
    })
}

/// The visible bytes of every plane.
pub(crate) fn bytes(picture: &Picture) -> Vec<u8> {
    let frame = picture.frame();
    let mut all = Vec::new();
    // SAFETY: the frame is valid; the size is asked for first and the buffer has it.
    unsafe {
        let raw = &*frame.as_ptr();
        let format = frame.format().into();
        let wanted = ffmpeg_next::ffi::av_image_get_buffer_size(format, raw.width, raw.height, 1);
        all.resize(usize::try_from(wanted).unwrap(), 0);
        let code = ffmpeg_next::ffi::av_image_copy_to_buffer(
            all.as_mut_ptr(),
            wanted,
            raw.data.as_ptr().cast(),
            raw.linesize.as_ptr(),
            format,
            raw.width,
            raw.height,
            1,
        );
        assert_eq!(code, wanted);
    }
    all
}

/// Decodes the first video stream of a file, in order.
pub(crate) fn decode_file(path: &Path) -> Vec<Picture> {
    let mut demuxer = Demuxer::open(path).unwrap();
    let stream = demuxer.streams().into_iter().find(|s| s.medium == Medium::Video).unwrap();
    let parameters = demuxer.parameters(stream.index).unwrap();
    let mut decoder = VideoDecoder::new(&parameters, stream.time_base, &Limits::DEFAULT).unwrap();
    let (mut pictures, mut index) = (Vec::new(), 0);
    let mut keep = |picture: Picture| -> Result<(), Error> {
        pictures.push(picture);
        Ok(())
    };
    while let Some(packet) = demuxer.read().unwrap() {
        if packet.stream() == stream.index {
            decoder.send(PacketIndex(index), packet, &mut keep).unwrap();
            index += 1;
        }
    }
    decoder.finish(&mut keep).unwrap();
    assert_eq!(decoder.damaged(), 0, "{} decodes cleanly", path.display());
    pictures
}

/// Writes a clip with the `ffmpeg` command; `None`, with a word about it, where there is none.
pub(crate) fn generate(folder: &Path, name: &str, arguments: &[&str]) -> Option<PathBuf> {
    let path = folder.join(name);
    let status = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).arg(&path).status();
    match status {
        Ok(status) => {
            assert!(status.success(), "ffmpeg writes {name}");
            Some(path)
        }
        Err(error) => {
            eprintln!("SKIPPED: no ffmpeg command to generate {name} with ({error})");
            None
        }
    }
}
