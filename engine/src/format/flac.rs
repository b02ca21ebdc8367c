//! FLAC (RFC 9639): what stands before its frames. Pure.

/// Bytes of a STREAMINFO block (RFC 9639 8.2), its header taken off.
pub const STREAMINFO: usize = 34;

/// The sets of channels that FLAC has by their number (RFC 9639 9.1.3), as masks of WAVE; rear and side channels are told
/// apart by nobody.
const USUAL: [&[u32]; 8] = [&[0x4], &[0x3], &[0x7], &[0x33, 0x603], &[0x37, 0x607], &[0x3F, 0x60F], &[0x70F], &[0x63F]];

/// What STREAMINFO says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Samples a second.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u16,
    /// Bits a sample.
    pub bits: u8,
    /// Samples of a channel; 0 is unknown.
    pub samples: u64,
    /// MD5 of all samples; zeros are unknown.
    pub md5: [u8; 16],
}

impl StreamInfo {
    /// Reads the payload of a STREAMINFO block. `None` if it is none.
    pub fn read(block: &[u8]) -> Option<Self> {
        let block: &[u8; STREAMINFO] = block.try_into().ok()?;
        // 20 bits of rate, 3 of channels, 5 of bits, 36 of samples.
        let packed = u64::from_be_bytes(block[10..18].try_into().ok()?);
        Some(Self {
            sample_rate: (packed >> 44) as u32,
            channels: (packed >> 41 & 7) as u16 + 1,
            bits: (packed >> 36 & 31) as u8 + 1,
            samples: packed & 0xF_FFFF_FFFF,
            md5: block[18..].try_into().ok()?,
        })
        .filter(|info| info.sample_rate > 0)
    }
}

/// The blocks of metadata (RFC 9639 8) that tell a decoder about a stream with this STREAMINFO and these channels, given as a
/// mask of WAVE: where they are not those that FLAC takes so many for, a comment names them (RFC 9639 8.6.2).
pub fn metadata(streaminfo: &[u8], mask: u32) -> Vec<u8> {
    const LAST: u8 = 0x80;
    const COMMENT: u8 = 4;
    let channels = StreamInfo::read(streaminfo).map_or(0, |info| info.channels);
    let is_usual = mask.count_ones() != u32::from(channels)
        || USUAL.get(usize::from(channels).wrapping_sub(1)).is_some_and(|usual| usual.contains(&mask));
    let block = |kind: u8, payload: &[u8]| {
        let size = (payload.len() as u32).to_be_bytes();
        [&[kind][..], &size[1..], payload].concat()
    };
    if is_usual {
        return block(LAST, streaminfo);
    }
    let text = |text: &str| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let names = text(&format!("WAVEFORMATEXTENSIBLE_CHANNEL_MASK={mask:#06x}"));
    let comment = [text("VideoTranscode Pro"), 1_u32.to_le_bytes().to_vec(), names].concat();
    [block(0, streaminfo), block(LAST | COMMENT, &comment)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 48 kHz, so many channels, 24 bits.
    fn streaminfo(channels: u64) -> Vec<u8> {
        let packed: u64 = 48_000 << 44 | (channels - 1) << 41 | 23 << 36 | 1_234_567;
        [&[16, 0, 16, 0, 0, 0, 0, 0, 0, 0][..], &packed.to_be_bytes(), &[7; 16]].concat()
    }

    #[test]
    fn a_streaminfo_tells_what_it_holds() {
        let due = StreamInfo { sample_rate: 48_000, channels: 6, bits: 24, samples: 1_234_567, md5: [7; 16] };
        assert_eq!(StreamInfo::read(&streaminfo(6)), Some(due));
        assert_eq!(StreamInfo::read(&[0; 34]), None);
        assert_eq!(StreamInfo::read(&streaminfo(6)[1..]), None);
    }

    #[test]
    fn channels_are_named_where_their_number_does_not_tell() {
        let usual = metadata(&streaminfo(6), 0x3F);
        assert_eq!((usual.len(), &usual[..4]), (38, &[0x80, 0, 0, 34][..]));
        assert_eq!(metadata(&streaminfo(6), 0x60F), usual);
        assert_eq!(metadata(&streaminfo(6), 0), usual, "nothing is known");
        let low = metadata(&streaminfo(3), 0xB);
        assert_eq!((low[0], low[38]), (0, 0x84));
        assert!(low.ends_with(b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x000b"), "{low:?}");
    }
}
