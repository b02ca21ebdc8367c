//! FFV1 version 3 (RFC 9043): the checksums that its configuration record and every slice of every frame end with. Pure; it
//! decodes nothing.

/// Bytes behind a slice: its size, its error status, and what makes its checksum zero (RFC 9043 4.9).
const FOOTER: usize = 8;

/// Whether a configuration record is whole: its checksum over everything, parity included, is zero (RFC 9043 4.3.2).
pub fn is_record(record: &[u8]) -> bool {
    record.len() > 4 && crc(record) == 0
}

/// How many slices a frame consists of; `None` if it is not slices from end to end, each with the checksum that it should
/// have. Frames have to be encoded with checksums (`ec` of RFC 9043 4.2.16).
pub fn slices(frame: &[u8]) -> Option<u32> {
    let (mut rest, mut count) = (frame, 0);
    while !rest.is_empty() {
        let footer = rest.len().checked_sub(FOOTER)?;
        let [a, b, c, ..] = *rest.get(footer..)? else { return None };
        let size = u32::from_be_bytes([0, a, b, c]) as usize;
        let start = footer.checked_sub(size).filter(|_| size > 0)?;
        if crc(&rest[start..]) != 0 {
            return None;
        }
        rest = &rest[..start];
        count += 1;
    }
    (count > 0).then_some(count)
}

/// The CRC of ITU-T V.42 with its bits in the other order, beginning with and ending in nothing (RFC 9043 4.9.3).
fn crc(bytes: &[u8]) -> u32 {
    let (blocks, rest) = bytes.as_chunks::<8>();
    let mut crc = 0_u32;
    for &[a, b, c, d, e, f, g, h] in blocks {
        let [a, b, c, d] = (crc ^ u32::from_be_bytes([a, b, c, d])).to_be_bytes();
        let at = |zeros: usize, byte: u8| TABLES[zeros][usize::from(byte)];
        crc = at(7, a) ^ at(6, b) ^ at(5, c) ^ at(4, d) ^ at(3, e) ^ at(2, f) ^ at(1, g) ^ at(0, h);
    }
    rest.iter().fold(crc, |crc, byte| crc << 8 ^ TABLES[0][(crc >> 24) as usize ^ usize::from(*byte)])
}

/// The checksum of each byte, and of each byte with one to seven bytes of zeros behind it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    const POLYNOMIAL: u32 = 0x04C1_1DB7;
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u32) << 24, 0);
        while bit < 8 {
            crc = if crc >> 31 == 1 { crc << 1 ^ POLYNOMIAL } else { crc << 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before: u32 = tables[zeros - 1][byte];
            tables[zeros][byte] = before << 8 ^ tables[0][(before >> 24) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Slices with these contents.
    fn frame(contents: &[Vec<u8>]) -> Vec<u8> {
        let slice = |content: &Vec<u8>| {
            let size = (content.len() as u32).to_be_bytes();
            let mut slice = [content, &size[1..], &[0]].concat();
            slice.extend(crc(&slice).to_be_bytes());
            slice
        };
        contents.iter().flat_map(slice).collect()
    }

    /// The same, bit by bit.
    fn slow(bytes: &[u8]) -> u32 {
        let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
        bits.fold(0, |crc, bit| if (crc >> 31) as u8 ^ bit == 1 { crc << 1 ^ 0x04C1_1DB7 } else { crc << 1 })
    }

    proptest! {
        #[test]
        fn a_frame_is_as_many_slices_as_it_was_made_of_and_one_changed_bit_is_found(
            contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 1..6),
            place in any::<prop::sample::Index>(),
            bit in 0..8_u32,
        ) {
            let mut bytes = frame(&contents);
            prop_assert_eq!(slices(&bytes), Some(contents.len() as u32));
            prop_assert_eq!(crc(&bytes), slow(&bytes));
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            prop_assert_eq!(slices(&bytes), None);
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            slices(&bytes);
            is_record(&bytes);
        }
    }

    #[test]
    fn nothing_and_slices_of_nothing_are_no_frame() {
        assert_eq!(slices(&[]), None);
        assert_eq!(slices(&[0; 8]), None);
        assert!(!is_record(&[]) && !is_record(&[1, 2, 3, 4, 5]));
    }
}
