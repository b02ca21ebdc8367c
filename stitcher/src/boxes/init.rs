//! Initialization segments: `ftyp` and a `moov` with one track, its sample entry, and no samples.

use mp4_atom::{
    Audio, Colr, Dinf, Dref, Edts, Elst, ElstEntry, Esds, FixedPoint, FourCC, Ftyp, Hdlr, Matrix, Mdhd, Mp4a, Mvhd,
    Opus, Pasp, Smhd, Stco, Stsc, Stsz, Stts, Tkhd, Trex, Url, Visual, Vmhd,
};
use mp4_atom::{DrefEntry, Encode, esds};
use vtp_engine::ladder::AudioCodec;
use vtp_engine::source::{Color, ContentLight, HdrMetadata, MasteringDisplay, Rotation};
use vtp_engine::units::{Ratio, Size};

use super::codec::{VideoConfig, of_archives_alone, opus_config};
use super::{Error, TRACK, boxed, nest};

/// Units a second of `mvhd`; no duration is told in it.
const MOVIE_TIMESCALE: u32 = 1000;

/// What a video rendition's initialization segment says.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoInit {
    /// Media time units a second.
    pub timescale: u32,
    /// Size of the coded picture.
    pub size: Size,
    /// Width over height of one sample.
    pub sample_aspect: Ratio,
    /// Colour description.
    pub color: Color,
    /// What a high dynamic range was mastered for.
    pub hdr: HdrMetadata,
    /// How a player must turn the picture.
    pub rotation: Rotation,
    /// The decoder configuration.
    pub config: VideoConfig,
    /// What an edit list takes out at the start, in media time units: see [`delay`](crate::cut::delay).
    pub delay: u64,
}

/// What an audio track's initialization segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioInit {
    /// Samples a second, which is also the timescale.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u16,
    /// Samples that an edit list takes out at the start.
    pub priming: u32,
    /// Three letters, ISO 639-2/T.
    pub language: String,
    /// What it is encoded with.
    pub codec: AudioCodec,
    /// The AudioSpecificConfig, or the payload of `dOps`, `dac3` or `dec3`.
    pub config: Vec<u8>,
}

impl VideoInit {
    /// The size at which the picture is shown before it is turned: its height, and its width in square pixels.
    pub fn display(&self) -> Size {
        let width = u64::from(self.size.width) * u64::from(self.sample_aspect.num());
        let den = u64::from(self.sample_aspect.den());
        let width = u32::try_from((2 * width + den) / (2 * den)).unwrap_or(u32::MAX);
        Size { width, height: self.size.height }
    }
}

/// The initialization segment of a video rendition.
pub fn video_init(video: &VideoInit) -> Result<Vec<u8>, Error> {
    let display = video.display();
    let tkhd = Tkhd {
        matrix: matrix(video.rotation, display)?,
        width: pixels(display.width)?.into(),
        height: pixels(display.height)?.into(),
        ..track_header()
    };
    let media = Media {
        mdhd: Mdhd { timescale: video.timescale, language: "und".to_owned(), ..Mdhd::default() },
        hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "VideoHandler".to_owned() },
        header: boxed(&Vmhd::default())?,
        entry: video_entry(video)?,
    };
    let edits = edits(video.delay);
    // cmf2 promises that there is no edit list.
    let brands: &[_] = if edits.is_some() { &[b"iso6", b"cmfc"] } else { &[b"iso6", b"cmfc", b"cmf2"] };
    init(brands, &tkhd, edits.as_ref(), media)
}

/// The initialization segment of an audio track. Priming is taken out by an edit that lasts to the end of the track.
pub fn audio_init(audio: &AudioInit) -> Result<Vec<u8>, Error> {
    let media = Media {
        mdhd: Mdhd { timescale: audio.sample_rate, language: audio.language.clone(), ..Mdhd::default() },
        hdlr: Hdlr { handler: FourCC::new(b"soun"), name: "SoundHandler".to_owned() },
        header: boxed(&Smhd::default())?,
        entry: audio_entry(audio)?,
    };
    init(&[b"iso6", b"cmfc"], &Tkhd { volume: 1.into(), ..track_header() }, edits(audio.priming.into()).as_ref(), media)
}

/// The edit that takes out so many media time units at the start of a track, if any.
fn edits(skipped: u64) -> Option<Edts> {
    let edit = ElstEntry { segment_duration: 0, media_time: Some(skipped), media_rate: FixedPoint::new(1, 0) };
    (skipped > 0).then(|| Edts { elst: Some(Elst { entries: vec![edit] }) })
}

/// What `mdia` holds.
pub(super) struct Media {
    pub(super) mdhd: Mdhd,
    pub(super) hdlr: Hdlr,
    pub(super) header: Vec<u8>,
    pub(super) entry: Vec<u8>,
}

pub(super) fn init(brands: &[&[u8; 4]], tkhd: &Tkhd, edits: Option<&Edts>, media: Media) -> Result<Vec<u8>, Error> {
    let compatible_brands = brands.iter().map(|brand| FourCC::new(brand)).collect();
    let ftyp = Ftyp { major_brand: FourCC::new(b"iso6"), minor_version: 0, compatible_brands };
    let mvhd = Mvhd {
        timescale: MOVIE_TIMESCALE,
        rate: 1.into(),
        volume: 1.into(),
        next_track_id: TRACK + 1,
        ..Mvhd::default()
    };
    let url = DrefEntry::Url(Url::default());
    let dinf = Dinf { dref: Dref { entries: vec![url] } };
    // Version and flags, and the number of entries.
    let stsd = nest(b"stsd", &[vec![0, 0, 0, 0, 0, 0, 0, 1], media.entry])?;
    let empty =
        [boxed(&Stts::default())?, boxed(&Stsc::default())?, boxed(&Stsz::default())?, boxed(&Stco::default())?];
    let stbl = nest(b"stbl", &[vec![stsd], empty.to_vec()].concat())?;
    let minf = nest(b"minf", &[media.header, boxed(&dinf)?, stbl])?;
    let mdia = nest(b"mdia", &[boxed(&media.mdhd)?, boxed(&media.hdlr)?, minf])?;
    let edts = edits.map(boxed).transpose()?.unwrap_or_default();
    let trak = nest(b"trak", &[boxed(tkhd)?, edts, mdia])?;
    let trex = Trex { track_id: TRACK, default_sample_description_index: 1, ..Trex::default() };
    let moov = nest(b"moov", &[boxed(&mvhd)?, trak, nest(b"mvex", &[boxed(&trex)?])?])?;
    Ok([boxed(&ftyp)?, moov].concat())
}

pub(super) fn track_header() -> Tkhd {
    Tkhd { track_id: TRACK, enabled: true, in_movie: true, ..Tkhd::default() }
}

fn video_entry(video: &VideoInit) -> Result<Vec<u8>, Error> {
    let (kind, config_kind, config) = video.config.entry();
    let aspect = video.sample_aspect;
    let visual = Visual {
        data_reference_index: 1,
        width: pixels(video.size.width)?,
        height: pixels(video.size.height)?,
        ..Visual::default()
    };
    let mut fields = Vec::new();
    visual.encode(&mut fields)?;
    let mut parts = vec![fields, nest(config_kind, &[config])?];
    parts.extend(colour(video.color).map(|colr| boxed(&colr)).transpose()?);
    let pasp = (aspect != Ratio::ONE).then(|| Pasp { h_spacing: aspect.num(), v_spacing: aspect.den() });
    parts.extend(pasp.map(|pasp| boxed(&pasp)).transpose()?);
    parts.extend(video.hdr.mastering.map(|display| nest(b"mdcv", &[mastering_display(&display)])).transpose()?);
    parts.extend(video.hdr.light.map(|light| nest(b"clli", &[content_light(light)])).transpose()?);
    nest(kind, &parts)
}

/// The payload of `mdcv` (ISO/IEC 14496-12 12.1.7): green before blue before red, as in SMPTE ST 2086's message.
fn mastering_display(display: &MasteringDisplay) -> Vec<u8> {
    let [red, green, blue] = display.primaries;
    let points = [green, blue, red, display.white].concat();
    let mut payload: Vec<u8> = points.into_iter().flat_map(u16::to_be_bytes).collect();
    payload.extend([display.most, display.least].into_iter().flat_map(u32::to_be_bytes));
    payload
}

/// The payload of `clli` (ISO/IEC 14496-12 12.1.6).
fn content_light(light: ContentLight) -> Vec<u8> {
    [light.most, light.most_mean].into_iter().flat_map(u16::to_be_bytes).collect()
}

/// `colr` where the source says anything of its colours.
fn colour(color: Color) -> Option<Colr> {
    let told = [color.primaries, color.transfer, color.matrix].iter().any(|code| *code != 2);
    (told || color.full_range.is_some()).then(|| Colr::Nclx {
        colour_primaries: color.primaries.into(),
        transfer_characteristics: color.transfer.into(),
        matrix_coefficients: color.matrix.into(),
        full_range_flag: color.full_range == Some(true),
    })
}

fn audio_entry(audio: &AudioInit) -> Result<Vec<u8>, Error> {
    // 14496-12 12.2.3.2: a rate above 16 bits is told by the decoder configuration alone.
    let sample_rate = u16::try_from(audio.sample_rate).unwrap_or(0).into();
    let fields = Audio { data_reference_index: 1, channel_count: audio.channels, sample_size: 16, sample_rate };
    match audio.codec {
        AudioCodec::Aac => boxed(&Mp4a { audio: fields, esds: mpeg4_config(audio), btrt: None, taic: None }),
        AudioCodec::Opus => boxed(&Opus { audio: fields, dops: opus_config(&audio.config)?, btrt: None }),
        AudioCodec::Ac3 => dolby(b"ac-3", b"dac3", &fields, &audio.config),
        AudioCodec::Eac3 => dolby(b"ec-3", b"dec3", &fields, &audio.config),
        AudioCodec::Flac => Err(of_archives_alone()),
    }
}

/// ETSI TS 102 366 F.3, F.5. What the crate's box holds has no room for what `dec3` tells of objects.
fn dolby(kind: &[u8; 4], config_kind: &[u8; 4], fields: &Audio, config: &[u8]) -> Result<Vec<u8>, Error> {
    let mut own = Vec::new();
    fields.encode(&mut own)?;
    nest(kind, &[own, nest(config_kind, &[config.to_vec()])?])
}

fn mpeg4_config(audio: &AudioInit) -> Esds {
    let specific = esds::DecoderSpecific { raw: audio.config.clone(), ..Default::default() };
    let dec_config = esds::DecoderConfig {
        object_type_indication: 0x40,
        stream_type: 5,
        dec_specific: Some(specific),
        ..Default::default()
    };
    Esds { es_desc: esds::EsDescriptor { es_id: 0, dec_config, ..Default::default() } }
}

/// The matrix of `tkhd` (14496-12 6.2.2): `x' = ax + cy + x0`, `y' = bx + dy + y0`, 16.16 numbers, y downwards. The
/// picture is mirrored, then turned clockwise, and moved back so that its corner is at the origin.
fn matrix(rotation: Rotation, size: Size) -> Result<Matrix, Error> {
    let one = 1 << 16;
    let (width, height) = (i32::from(pixels(size.width)?), i32::from(pixels(size.height)?));
    let (a, b, c, d) = match rotation.quarter_turns % 4 {
        0 => (1, 0, 0, 1),
        1 => (0, 1, -1, 0),
        2 => (-1, 0, 0, -1),
        _ => (0, -1, 1, 0),
    };
    let (a, b) = if rotation.mirrored { (-a, -b) } else { (a, b) };
    // What the turn sends below zero comes from the far edge.
    let far = |from_x: i32, from_y: i32| (-from_x.min(0)) * width + (-from_y.min(0)) * height;
    let offset = |pixels: i32| pixels.checked_mul(one).ok_or(Error::Range { what: "the size of a turned picture" });
    Ok(Matrix {
        a: a * one,
        b: b * one,
        c: c * one,
        d: d * one,
        x: offset(far(a, c))?,
        y: offset(far(b, d))?,
        ..Matrix::default()
    })
}

fn pixels(count: u32) -> Result<u16, Error> {
    u16::try_from(count).map_err(|_| Error::Range { what: "the picture's size" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the corner pixels of a 4x2 picture go.
    fn corners(rotation: Rotation) -> [(i32, i32); 2] {
        let m = matrix(rotation, Size { width: 4, height: 2 }).unwrap();
        let place = |x: i32, y: i32| ((m.a * x + m.c * y + m.x) >> 16, (m.b * x + m.d * y + m.y) >> 16);
        [place(0, 0), place(4, 0)]
    }

    #[test]
    fn the_matrix_mirrors_first_then_turns_clockwise_and_stays_in_the_picture() {
        let turn = |quarter_turns, mirrored| corners(Rotation { quarter_turns, mirrored });
        assert_eq!(turn(0, false), [(0, 0), (4, 0)]);
        assert_eq!(turn(1, false), [(2, 0), (2, 4)]);
        assert_eq!(turn(2, false), [(4, 2), (0, 2)]);
        assert_eq!(turn(3, false), [(0, 4), (0, 0)]);
        assert_eq!(turn(0, true), [(4, 0), (0, 0)]);
        assert_eq!(turn(1, true), [(2, 4), (2, 0)]);
    }

    #[test]
    fn a_source_that_says_nothing_of_colour_gets_no_colour_box() {
        assert_eq!(colour(Color::UNSPECIFIED), None);
        assert!(colour(Color { full_range: Some(false), ..Color::UNSPECIFIED }).is_some());
        assert!(colour(Color { matrix: 1, ..Color::UNSPECIFIED }).is_some());
    }
}
