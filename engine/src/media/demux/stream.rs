//! What a container says of each of its streams.

use std::ptr;

use ffmpeg_next::{self as ffmpeg, ffi, format, media};

use crate::media::audio::is_aac_lc;
use crate::media::picture::{described, hdr_told};
use crate::source::{AudioPurpose, Color, HdrMetadata, Rotation};
use crate::units::{Ratio, TimeBase};

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Moving pictures.
    Video,
    /// A cover picture.
    Cover,
    /// Sound.
    Audio,
    /// Subtitles.
    Subtitle,
    /// Anything else: data, attachments.
    Other,
}

/// What a container tells of Dolby Vision (Dolby Vision Streams Within the ISO Base Media File Format, 2.2 and 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DolbyVision {
    /// The profile.
    pub profile: u8,
    /// What the pictures are to those who know nothing of it: 0 nothing of use, 1 HDR10, 2 SDR, 4 HLG.
    pub compatibility: u8,
}

impl DolbyVision {
    /// Whether the pictures have colours that only a Dolby decoder shows: IPT, in profiles 5 and 10.0.
    pub fn is_closed(self) -> bool {
        self.profile == 5 || (self.profile == 10 && self.compatibility == 0)
    }
}

/// One stream as the container declares it.
#[derive(Clone, Debug)]
pub struct StreamFacts {
    /// Its index.
    pub index: usize,
    /// What it carries.
    pub medium: Medium,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Unit of its timestamps.
    pub time_base: TimeBase,
    /// Average frames a second (video), where the container or the first packets tell.
    pub frame_rate: Option<Ratio>,
    /// Sample aspect ratio by container or codec.
    pub sample_aspect: Option<Ratio>,
    /// How the picture must be turned.
    pub rotation: Rotation,
    /// Whether the codec's headers say that frames consist of fields.
    pub interlaced: bool,
    /// What its colours are by the container's word, before anybody has looked at a picture.
    pub color: Color,
    /// What a high dynamic range was mastered for by the container's word.
    pub hdr: HdrMetadata,
    /// Whether its pictures are in Dolby Vision, and how.
    pub dolby_vision: Option<DolbyVision>,
    /// ISO 639 language, if told.
    pub language: Option<String>,
    /// Title, if told.
    pub title: Option<String>,
    /// Whether the container marks it as default.
    pub default: bool,
    /// Whether the container marks it as one that has to be shown to everybody.
    pub forced: bool,
    /// Whether the container marks it as made for those who can't hear.
    pub hearing_impaired: bool,
    /// What the container says it is for (audio).
    pub purpose: AudioPurpose,
    /// Samples a second (audio).
    pub sample_rate: u32,
    /// Channels (audio).
    pub channels: u16,
    /// Whether it is AAC-LC (audio).
    pub is_aac_lc: bool,
    /// The programmes that it belongs to, by their numbers in the container.
    pub programmes: Vec<i32>,
}

/// The facts of `stream`.
pub(super) fn facts(stream: &format::stream::Stream<'_>) -> StreamFacts {
    let parameters = stream.parameters();
    // SAFETY: the stream and its parameters belong to the open context that `stream` borrows.
    let (raw, rate, disposition) = unsafe {
        let raw_stream = &*stream.as_ptr();
        let rate = ffi::av_guess_frame_rate(ptr::null_mut(), raw_stream as *const _ as *mut _, ptr::null_mut());
        (&*parameters.as_ptr(), rate, raw_stream.disposition)
    };
    let metadata = stream.metadata();
    let text = |key: &str| metadata.get(key).map(str::trim).filter(|v| !v.is_empty()).map(str::to_owned);
    StreamFacts {
        index: stream.index(),
        medium: medium(parameters.medium(), disposition),
        codec: parameters.id().name().to_owned(),
        time_base: time_base(stream.time_base()),
        frame_rate: ratio(stream.avg_frame_rate().into()).or_else(|| ratio(rate)),
        // SAFETY: as above.
        sample_aspect: ratio(unsafe { (*stream.as_ptr()).sample_aspect_ratio })
            .or_else(|| ratio(raw.sample_aspect_ratio)),
        rotation: rotation(stream),
        interlaced: !matches!(
            raw.field_order,
            ffi::AVFieldOrder::AV_FIELD_UNKNOWN | ffi::AVFieldOrder::AV_FIELD_PROGRESSIVE
        ),
        color: Color::UNSPECIFIED,
        hdr: hdr(stream),
        dolby_vision: dolby_vision(stream),
        language: text("language"),
        title: text("title"),
        default: disposition & ffi::AV_DISPOSITION_DEFAULT != 0,
        forced: disposition & ffi::AV_DISPOSITION_FORCED != 0,
        hearing_impaired: disposition & (ffi::AV_DISPOSITION_HEARING_IMPAIRED | ffi::AV_DISPOSITION_CAPTIONS) != 0,
        purpose: purpose(disposition),
        sample_rate: u32::try_from(raw.sample_rate).unwrap_or(0),
        channels: u16::try_from(raw.ch_layout.nb_channels).unwrap_or(0),
        is_aac_lc: match raw.profile {
            ffi::FF_PROFILE_UNKNOWN => raw.codec_id == ffi::AVCodecID::AV_CODEC_ID_AAC && is_aac_lc(extradata(raw)),
            profile => raw.codec_id == ffi::AVCodecID::AV_CODEC_ID_AAC && profile == ffi::FF_PROFILE_AAC_LOW,
        },
        programmes: Vec::new(),
    }
}

/// The numbers of the programmes of `input` with the streams that belong to each.
pub(super) fn programmes(input: &format::context::Input) -> Vec<(i32, Vec<usize>)> {
    // SAFETY: the context is open; its programmes and their streams are as many as it says, and are only read.
    unsafe {
        let raw = &*input.as_ptr();
        let all = slice(raw.programs, raw.nb_programs).iter().map(|&programme| &*programme);
        all.map(|one| {
            let streams = slice(one.stream_index, one.nb_stream_indexes);
            (one.id, streams.iter().map(|&index| index as usize).collect())
        })
        .collect()
    }
}

/// What FFmpeg keeps as an address and a number.
///
/// # Safety
/// The address is null, or there are so many values at it for as long as the slice is used.
unsafe fn slice<'a, T>(address: *const T, count: u32) -> &'a [T] {
    if address.is_null() {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { std::slice::from_raw_parts(address, count as usize) }
}

/// Who can't see or hear comes first: a dubbed description is a description.
fn purpose(disposition: i32) -> AudioPurpose {
    let has = |flags: i32| disposition & flags != 0;
    match () {
        () if has(ffi::AV_DISPOSITION_VISUAL_IMPAIRED | ffi::AV_DISPOSITION_DESCRIPTIONS) => AudioPurpose::Description,
        () if has(ffi::AV_DISPOSITION_HEARING_IMPAIRED) => AudioPurpose::ClearSpeech,
        () if has(ffi::AV_DISPOSITION_COMMENT) => AudioPurpose::Commentary,
        () if has(ffi::AV_DISPOSITION_DUB) => AudioPurpose::Dub,
        () => AudioPurpose::Programme,
    }
}

fn medium(kind: media::Type, disposition: i32) -> Medium {
    match kind {
        media::Type::Video if disposition & ffi::AV_DISPOSITION_ATTACHED_PIC != 0 => Medium::Cover,
        media::Type::Video => Medium::Video,
        media::Type::Audio => Medium::Audio,
        media::Type::Subtitle => Medium::Subtitle,
        _ => Medium::Other,
    }
}

fn ratio(value: ffi::AVRational) -> Option<Ratio> {
    Ratio::new(u32::try_from(value.num).ok()?, u32::try_from(value.den).ok()?)
}

fn time_base(value: ffmpeg::Rational) -> TimeBase {
    ratio(value.into()).map_or(TimeBase::MICROSECONDS, TimeBase)
}

/// The first bytes of what a stream has of a kind beside its packets.
fn side_data<const N: usize>(stream: &format::stream::Stream<'_>, kind: ffi::AVPacketSideDataType) -> Option<[u8; N]> {
    // SAFETY: side data is null or at least `size` bytes, alive as long as the stream.
    unsafe {
        let mut size = 0;
        let data = ffi::av_stream_get_side_data(stream.as_ptr(), kind, &mut size);
        (!data.is_null() && size >= N).then(|| ptr::read_unaligned(data.cast::<[u8; N]>()))
    }
}

/// FFmpeg keeps the record as eight bytes: version, its minor part, profile, level, three flags, compatibility.
fn dolby_vision(stream: &format::stream::Stream<'_>) -> Option<DolbyVision> {
    let record: [u8; 8] = side_data(stream, ffi::AVPacketSideDataType::AV_PKT_DATA_DOVI_CONF)?;
    Some(DolbyVision { profile: record[2], compatibility: record[7] })
}

fn hdr(stream: &format::stream::Stream<'_>) -> HdrMetadata {
    use ffi::AVPacketSideDataType::{AV_PKT_DATA_CONTENT_LIGHT_LEVEL, AV_PKT_DATA_MASTERING_DISPLAY_METADATA};
    hdr_told(
        side_data(stream, AV_PKT_DATA_MASTERING_DISPLAY_METADATA),
        side_data(stream, AV_PKT_DATA_CONTENT_LIGHT_LEVEL),
    )
}

/// The colours of `stream` as they are told now.
pub(super) fn color(stream: &format::stream::Stream<'_>) -> Color {
    let parameters = stream.parameters();
    // SAFETY: the parameters belong to the open context that `stream` borrows.
    let raw = unsafe { &*parameters.as_ptr() };
    let points = [raw.color_primaries as u32, raw.color_trc as u32, raw.color_space as u32];
    described(points, raw.color_range, raw.chroma_location)
}

/// The display matrix (ISO/IEC 14496-12, 8.3.2.2) as quarter turns. Odd angles are rounded to the nearest turn, as
/// FFmpeg's own tools do not turn by them either.
fn rotation(stream: &format::stream::Stream<'_>) -> Rotation {
    // Nine 32-bit integers.
    let Some(bytes) = side_data::<36>(stream, ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX) else {
        return Rotation::default();
    };
    let matrix: [i32; 9] = std::array::from_fn(|at| {
        i32::from_ne_bytes([bytes[4 * at], bytes[4 * at + 1], bytes[4 * at + 2], bytes[4 * at + 3]])
    });
    let determinant = i64::from(matrix[0]) * i64::from(matrix[4]) - i64::from(matrix[1]) * i64::from(matrix[3]);
    let mirrored = determinant < 0;
    let (a, b) = (f64::from(if mirrored { -matrix[0] } else { matrix[0] }), f64::from(matrix[1]));
    let b = if mirrored { -b } else { b };
    let degrees = b.atan2(a).to_degrees();
    if !degrees.is_finite() {
        return Rotation::default();
    }
    Rotation { quarter_turns: (degrees / 90.0).round().rem_euclid(4.0) as u8, mirrored }
}

/// The extradata of valid parameters.
pub(super) fn extradata(parameters: &ffi::AVCodecParameters) -> &[u8] {
    match usize::try_from(parameters.extradata_size) {
        // SAFETY: extradata is null or points to `extradata_size` bytes that live as long as the parameters.
        Ok(size) if size > 0 && !parameters.extradata.is_null() => unsafe {
            std::slice::from_raw_parts(parameters.extradata, size)
        },
        _ => &[],
    }
}
