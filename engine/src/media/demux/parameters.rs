//! Codec parameters as a value: what a decoder must be told before the first packet. It crosses processes, so whatever
//! it says is only ever taken for data: names are looked up, and numbers written where FFmpeg expects any number.

use std::ffi::{CStr, CString};
use std::ptr;

use ffmpeg_next::{codec, ffi};
use serde::{Deserialize, Serialize};

use super::stream::extradata;
use crate::ladder::VideoCodec;
use crate::media::{Error, Kind};

/// Codec parameters of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodecParameters {
    medium: i32,
    /// FFmpeg's name of the codec; empty where it knows none.
    codec: String,
    tag: u32,
    extradata: Vec<u8>,
    bit_rate: i64,
    /// FFmpeg's description of the channels.
    channels: String,
    /// The numbers, in the order of [`numbers`].
    numbers: Vec<i32>,
}

/// Where FFmpeg keeps its numbers about a stream. Enumerations of C are numbers, too: they are read and written as such.
fn numbers(raw: *mut ffi::AVCodecParameters) -> [*mut i32; 22] {
    // SAFETY: only addresses are taken, of fields that are 32 bits wide and aligned so, within valid parameters.
    unsafe {
        [
            ptr::addr_of_mut!((*raw).format),
            ptr::addr_of_mut!((*raw).bits_per_coded_sample),
            ptr::addr_of_mut!((*raw).bits_per_raw_sample),
            ptr::addr_of_mut!((*raw).profile),
            ptr::addr_of_mut!((*raw).level),
            ptr::addr_of_mut!((*raw).width),
            ptr::addr_of_mut!((*raw).height),
            ptr::addr_of_mut!((*raw).sample_aspect_ratio.num),
            ptr::addr_of_mut!((*raw).sample_aspect_ratio.den),
            ptr::addr_of_mut!((*raw).field_order).cast(),
            ptr::addr_of_mut!((*raw).color_range).cast(),
            ptr::addr_of_mut!((*raw).color_primaries).cast(),
            ptr::addr_of_mut!((*raw).color_trc).cast(),
            ptr::addr_of_mut!((*raw).color_space).cast(),
            ptr::addr_of_mut!((*raw).chroma_location).cast(),
            ptr::addr_of_mut!((*raw).video_delay),
            ptr::addr_of_mut!((*raw).sample_rate),
            ptr::addr_of_mut!((*raw).block_align),
            ptr::addr_of_mut!((*raw).frame_size),
            ptr::addr_of_mut!((*raw).initial_padding),
            ptr::addr_of_mut!((*raw).trailing_padding),
            ptr::addr_of_mut!((*raw).seek_preroll),
        ]
    }
}

impl CodecParameters {
    /// Those of video with this decoder configuration record, whose packets are stored as files hold them.
    pub fn video(codec: VideoCodec, record: &[u8]) -> Self {
        // A VP9 decoder reads all it needs in the frames.
        let extradata = if codec == VideoCodec::Vp9 { Vec::new() } else { record.to_vec() };
        Self {
            medium: ffi::AVMediaType::AVMEDIA_TYPE_VIDEO as i32,
            codec: codec.name().to_owned(),
            extradata,
            ..Self::default()
        }
    }

    /// Those of video in the codec that FFmpeg calls `codec`, of which nothing else is known.
    #[cfg(test)]
    pub(in crate::media) fn named(codec: &str) -> Self {
        Self { codec: codec.to_owned(), ..Self::video(VideoCodec::H264, &[]) }
    }

    /// Those of FFV1 with this configuration record, in pictures of this size.
    #[cfg(test)]
    pub(in crate::media) fn ffv1(record: &[u8], size: crate::units::Size) -> Self {
        let numbers = vec![-1, 0, 0, 0, 0, size.width.cast_signed(), size.height.cast_signed()];
        Self { extradata: record.to_vec(), numbers, ..Self::named("ffv1") }
    }

    /// The codec's extradata (parameter sets and the like), possibly empty.
    pub fn extradata(&self) -> &[u8] {
        &self.extradata
    }

    /// FFmpeg's name of the codec; the container's four-character code where FFmpeg does not know it.
    pub fn codec_name(&self) -> String {
        if !self.codec.is_empty() {
            return self.codec.clone();
        }
        let tag = self.tag.to_le_bytes();
        let readable: String = tag.iter().filter(|c| c.is_ascii_graphic()).map(|&c| char::from(c)).collect();
        if readable.is_empty() { "an unknown codec".to_owned() } else { readable }
    }

    /// Samples in a picture, as far as the headers tell.
    pub(super) fn pixels(&self) -> u64 {
        let [width, height] = [5, 6].map(|at| self.numbers.get(at).map_or(0, |&number| number.max(0).unsigned_abs()));
        u64::from(width) * u64::from(height)
    }

    /// What FFmpeg knows of a stream, as a value.
    pub(super) fn of(parameters: &codec::Parameters) -> Self {
        // SAFETY: the parameters are valid as long as the borrow, and only read.
        let (raw, numbers) = unsafe {
            let pointer = parameters.as_ptr().cast_mut();
            (&*pointer, numbers(pointer).map(|number| number.read()))
        };
        Self {
            medium: raw.codec_type as i32,
            codec: codec_name(raw),
            tag: raw.codec_tag,
            extradata: extradata(raw).to_vec(),
            bit_rate: raw.bit_rate,
            channels: describe(&raw.ch_layout),
            numbers: numbers.to_vec(),
        }
    }

    /// The same for FFmpeg.
    ///
    /// # Errors
    /// Lack of memory.
    pub(crate) fn to_ffmpeg(&self) -> Result<codec::Parameters, Error> {
        let mut parameters = codec::Parameters::new();
        // SAFETY: the parameters were just allocated, which is checked; they are filled field by field, the extradata
        // with the padding that libavcodec asks for, zeroed, and freed with the parameters. Where a field is an
        // enumeration of C, it is written as the number that it is to FFmpeg.
        unsafe {
            let raw = parameters.as_mut_ptr();
            if raw.is_null() {
                return Err(no_memory());
            }
            ptr::addr_of_mut!((*raw).codec_type).cast::<i32>().write(medium(self.medium));
            (*raw).codec_id = codec_id(&self.codec);
            (*raw).codec_tag = self.tag;
            (*raw).bit_rate = self.bit_rate;
            for (place, value) in numbers(raw).into_iter().zip(&self.numbers) {
                place.write(*value);
            }
            if let Ok(channels) = CString::new(self.channels.as_str()) {
                // What it can't read it leaves as it was: unknown.
                ffi::av_channel_layout_from_string(&mut (*raw).ch_layout, channels.as_ptr());
            }
            if !self.extradata.is_empty() {
                let padded = self.extradata.len() + ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;
                let copy = ffi::av_mallocz(padded).cast::<u8>();
                if copy.is_null() {
                    return Err(no_memory());
                }
                ptr::copy_nonoverlapping(self.extradata.as_ptr(), copy, self.extradata.len());
                (*raw).extradata = copy;
                (*raw).extradata_size = i32::try_from(self.extradata.len()).map_err(|_| no_memory())?;
            }
        }
        Ok(parameters)
    }

    /// Whether FFmpeg has the same codec in these.
    pub(super) fn has_codec_of(&self, raw: &ffi::AVCodecParameters) -> bool {
        self.codec == codec_name(raw)
    }
}

fn no_memory() -> Error {
    Error::new(Kind::Retryable, "no memory for codec parameters")
}

/// One of FFmpeg's kinds of streams.
fn medium(number: i32) -> i32 {
    let known = ffi::AVMediaType::AVMEDIA_TYPE_VIDEO as i32..ffi::AVMediaType::AVMEDIA_TYPE_NB as i32;
    if known.contains(&number) { number } else { ffi::AVMediaType::AVMEDIA_TYPE_UNKNOWN as i32 }
}

fn codec_name(raw: &ffi::AVCodecParameters) -> String {
    // SAFETY: the callee takes any number; descriptors and their names are static.
    let name = unsafe {
        let descriptor = ffi::avcodec_descriptor_get(raw.codec_id);
        if descriptor.is_null() { return String::new() } else { CStr::from_ptr((*descriptor).name) }
    };
    name.to_string_lossy().into_owned()
}

fn codec_id(name: &str) -> ffi::AVCodecID {
    let none = ffi::AVCodecID::AV_CODEC_ID_NONE;
    let Ok(name) = CString::new(name) else { return none };
    // SAFETY: the name is a C string; descriptors are static.
    unsafe { ffi::avcodec_descriptor_get_by_name(name.as_ptr()).as_ref() }.map_or(none, |descriptor| descriptor.id)
}

fn describe(layout: &ffi::AVChannelLayout) -> String {
    let mut text = [0_u8; 256];
    // SAFETY: the layout is valid, and the text has the size that is told.
    let length = unsafe { ffi::av_channel_layout_describe(layout, text.as_mut_ptr().cast(), text.len()) };
    match CStr::from_bytes_until_nul(&text) {
        Ok(text) if length > 0 => text.to_string_lossy().into_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::media;

    use super::*;
    use crate::media::Demuxer;
    use crate::media::testing::generate;

    #[test]
    fn parameters_come_back_from_ffmpeg_as_they_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-f", "lavfi", "-i", "testsrc2=size=320x180:duration=0.2", "-f", "lavfi", "-i"];
        let codecs = ["sine=duration=0.2", "-ac", "6", "-c:v", "libx264", "-c:a", "aac"];
        let Some(path) = generate(folder.path(), "both.mp4", &[&arguments[..], &codecs[..]].concat()) else { return };
        let demuxer = Demuxer::open(&path).unwrap();
        for index in 0..2 {
            let parameters = demuxer.parameters(index).unwrap();
            let back = parameters.to_ffmpeg().unwrap();
            assert_eq!(CodecParameters::of(&back), parameters);
            assert!(!parameters.extradata().is_empty());
            assert_eq!(back.medium(), [media::Type::Video, media::Type::Audio][index]);
        }
        assert_eq!(demuxer.parameters(1).unwrap().channels, "6 channels");
    }

    #[test]
    fn what_is_no_codec_and_no_medium_becomes_none() {
        let odd = CodecParameters { medium: 77, codec: "no\0codec".to_owned(), tag: 0x3161_7663, ..Default::default() };
        let parameters = odd.to_ffmpeg().unwrap();
        assert_eq!(parameters.medium(), media::Type::Unknown);
        assert_eq!(parameters.id(), codec::Id::None);
        assert_eq!(CodecParameters { codec: String::new(), ..odd }.codec_name(), "cva1");
    }
}
