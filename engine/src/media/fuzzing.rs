//! The readers of codecs' headers behind the wall, for the fuzz targets.

use super::audio::asc::AacHeader;
use super::audio::is_aac_lc;
use super::demux::known::codes_frames;
use crate::format::dolby;
use crate::ladder::AudioCodec;

/// An AudioSpecificConfig, an ADTS frame, sync frames of AC-3 and E-AC-3, or an AVCDecoderConfigurationRecord.
pub(crate) fn headers(data: &[u8]) {
    let config = AacHeader::from_config(data);
    assert_eq!(is_aac_lc(data), config.is_ok());
    let read = [
        config,
        AacHeader::from_adts(data).map(|(header, unit)| {
            assert!(unit.len() < data.len());
            header
        }),
    ];
    for header in read.into_iter().flatten() {
        assert_eq!(AacHeader::from_config(&header.config()), Ok(header));
        assert!(header.rate() >= 7350 && (1..=8).contains(&header.channels()));
    }
    if let Ok((stream, size)) = dolby::unit(data) {
        assert!(size <= data.len() && stream.rate >= 32_000 && stream.channels > 0 && stream.bed() <= stream.channels);
        let tells_objects = stream.codec == AudioCodec::Eac3 && dolby::objects(&stream.config).is_some();
        assert_eq!(tells_objects, stream.config.len() > 6);
    }
    // A parser that is not ours; what it panics at would end a run.
    codes_frames(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::each_damaged;
    use crate::media::demux::known::tests::{FIELDS, FRAMES};

    #[test]
    fn no_damage_makes_the_readers_of_headers_panic() {
        let adts = [0xFF, 0xF1, 0x4C, 0x80, 0x01, 0x3F, 0xFC, 0xAA, 0xBB, 0xCC];
        let ac3 = [&[0x0B, 0x77, 0, 0, 0, 0x40, 0x40][..], &[0; 121]].concat();
        let eac3 = [&[0x0B, 0x77, 0, 31, 0x3F, 0x84, 0x08, 0x0C][..], &[0; 56]].concat();
        assert!([&ac3, &eac3].iter().all(|frame| dolby::unit(frame).is_ok_and(|(_, size)| size == frame.len())));
        let seeds = [&[0x11, 0x90, 0x56, 0xE5, 0][..], &adts, &ac3, &eac3, FRAMES, FIELDS].map(<[u8]>::to_vec);
        each_damaged(&seeds, 20_000, headers);
    }
}
