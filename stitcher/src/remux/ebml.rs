//! EBML (RFC 8794): elements as bytes. Pure.

/// An element of this payload.
pub(super) fn element(id: u32, payload: &[u8]) -> Vec<u8> {
    [&id_bytes(id)[..], &size(payload.len() as u64), payload].concat()
}

/// A master element of these.
pub(super) fn master(id: u32, children: &[Vec<u8>]) -> Vec<u8> {
    element(id, &children.concat())
}

/// A number without sign, in as few bytes as it takes.
pub(super) fn uint(id: u32, value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let zeros = (value.leading_zeros() as usize / 8).min(7);
    element(id, &bytes[zeros..])
}

/// A number without sign in eight bytes, whatever it is.
pub(super) fn wide(id: u32, value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

/// A number in double precision.
pub(super) fn float(id: u32, value: f64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

/// A text.
pub(super) fn text(id: u32, value: &str) -> Vec<u8> {
    element(id, value.as_bytes())
}

/// An identifier, which has its own length in its first bits.
pub(super) fn id_bytes(id: u32) -> Vec<u8> {
    let bytes = id.to_be_bytes();
    bytes[id.leading_zeros() as usize / 8..].to_vec()
}

/// A size in as few bytes as it takes; all ones, which say that it is not known, are not used.
pub(super) fn size(value: u64) -> Vec<u8> {
    let length = (1..8).find(|length| value < (1 << (7 * length)) - 1).unwrap_or(8);
    let marked = value | 1 << (7 * length);
    marked.to_be_bytes()[8 - length..].to_vec()
}

/// A size in eight bytes.
pub(super) fn wide_size(value: u64) -> Vec<u8> {
    (value | 1 << 56).to_be_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_take_as_few_bytes_as_they_need() {
        assert_eq!(uint(0xD7, 1), [0xD7, 0x81, 1]);
        assert_eq!(uint(0xD7, 0), [0xD7, 0x81, 0]);
        assert_eq!(uint(0x2A_D7B1, 1_000_000), [0x2A, 0xD7, 0xB1, 0x83, 0x0F, 0x42, 0x40]);
        assert_eq!(size(126), [0xFE]);
        assert_eq!(size(127), [0x40, 0x7F]);
        assert_eq!(size(16_382), [0x7F, 0xFE]);
        assert_eq!(size(16_383), [0x20, 0x3F, 0xFF]);
        assert_eq!(wide_size(5), [1, 0, 0, 0, 0, 0, 0, 5]);
    }
}
