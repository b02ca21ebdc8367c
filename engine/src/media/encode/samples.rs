//! From what an encoder gives to what files hold: the decoder configuration record and samples of each codec.

use super::settings::{Coding, Settings};
use crate::format::{av1, ffv1, hevc as hevc_format, vp9};
use crate::ladder::VideoCodec;
use crate::media::scale::picture_format;
use crate::media::{Error, Kind};
use crate::nal::{self, avc, hevc};

/// The decoder configuration record of an encoder that gave these headers.
///
/// # Errors
/// [`Kind::Internal`] when the headers are none.
pub(super) fn config(settings: &Settings, headers: &[u8]) -> Result<Vec<u8>, Error> {
    let no_headers = |why: String| Error::new(Kind::Internal, format!("{} gave no headers: {why}", settings.encoder));
    let codec = match settings.coding {
        Coding::Ladder(codec) => codec,
        Coding::Ffv1 if ffv1::is_record(headers) => return Ok(headers.to_vec()),
        Coding::Ffv1 => return Err(no_headers("a configuration record with a wrong checksum".to_owned())),
    };
    match codec {
        VideoCodec::H264 => nal::avc_config(nal::annex_b(headers)).map_err(|error| no_headers(error.to_string())),
        VideoCodec::Hevc => {
            let units = nal::annex_b(headers).filter(|unit| !is_settings_of_x265(unit));
            hevc_format::record(units).map_err(|error| no_headers(error.to_string()))
        }
        VideoCodec::Av1 => av1::record(headers).map_err(|error| no_headers(error.to_string())),
        VideoCodec::Vp9 => {
            let depth = if settings.format == picture_format(10) { 10 } else { 8 };
            let level = settings.level.unwrap_or_default();
            Ok(vp9::record(depth, level, settings.color))
        }
    }
}

/// Stores an access unit as files hold it, and says whether decoding can start with it. Parameter sets stand in the
/// configuration record; delimiters, filler and an encoder's list of its own settings serve no player.
///
/// # Errors
/// A sentence, when the unit can't be read.
pub(super) fn write(coding: Coding, unit: &[u8], sample: &mut Vec<u8>) -> Result<bool, String> {
    let codec = match coding {
        Coding::Ladder(codec) => codec,
        Coding::Ffv1 => {
            sample.extend_from_slice(unit);
            return ffv1::slices(unit).map(|_| true).ok_or_else(|| "a frame with a wrong checksum".to_owned());
        }
    };
    match codec {
        VideoCodec::H264 => write_avc(unit, sample).map_err(|error| error.to_string()),
        VideoCodec::Hevc => write_hevc(unit, sample).map_err(|error| error.to_string()),
        VideoCodec::Av1 => av1::write_sample(unit, sample).map_err(|error| error.to_string()),
        VideoCodec::Vp9 => {
            sample.extend_from_slice(unit);
            vp9::is_key(unit).ok_or_else(|| "no VP9 frame".to_owned())
        }
    }
}

fn write_avc(stream: &[u8], sample: &mut Vec<u8>) -> Result<bool, nal::Error> {
    let mut sync = false;
    for unit in nal::annex_b(stream) {
        match avc::unit_type(unit) {
            Some(avc::SPS | avc::PPS | avc::AUD | avc::FILLER) => continue,
            Some(avc::SEI) if is_message_of(unit.get(1..), &X264_UUID) => continue,
            unit_type => sync |= unit_type == Some(avc::IDR),
        }
        nal::push_length_prefixed(sample, unit)?;
    }
    Ok(sync)
}

fn write_hevc(stream: &[u8], sample: &mut Vec<u8>) -> Result<bool, nal::Error> {
    let mut sync = false;
    for unit in nal::annex_b(stream) {
        match hevc::unit_type(unit) {
            Some(hevc::VPS | hevc::SPS | hevc::PPS | hevc::AUD | hevc::FILLER) => continue,
            _ if is_settings_of_x265(unit) => continue,
            unit_type => sync |= unit_type.is_some_and(|kind| hevc::IDR.contains(&kind)),
        }
        nal::push_length_prefixed(sample, unit)?;
    }
    Ok(sync)
}

/// The identifiers of the `user_data_unregistered` messages (ITU-T H.264, D.1.7; H.265, D.2.7) of x264 and x265.
const X264_UUID: [u8; 16] =
    [0xDC, 0x45, 0xE9, 0xBD, 0xE6, 0xD9, 0x48, 0xB7, 0x96, 0x2C, 0xD8, 0x20, 0xD9, 0x23, 0xEE, 0xEF];
const X265_UUID: [u8; 16] =
    [0x2C, 0xA2, 0xDE, 0x09, 0xB5, 0x17, 0x47, 0xDB, 0xBB, 0x55, 0xA4, 0xFE, 0x7F, 0xC2, 0xFC, 0x4E];

fn is_settings_of_x265(unit: &[u8]) -> bool {
    hevc::unit_type(unit) == Some(hevc::PREFIX_SEI) && is_message_of(unit.get(2..), &X265_UUID)
}

/// Whether the messages of a unit, its header taken off, begin with one of this identifier.
fn is_message_of(messages: Option<&[u8]>, uuid: &[u8; 16]) -> bool {
    const USER_DATA_UNREGISTERED: u8 = 5;
    let size_bytes = |rest: &[u8]| rest.iter().take_while(|&&byte| byte == 0xFF).count() + 1;
    match messages {
        Some([USER_DATA_UNREGISTERED, rest @ ..]) => {
            rest.get(size_bytes(rest)..).is_some_and(|text| text.starts_with(uuid))
        }
        _ => false,
    }
}
