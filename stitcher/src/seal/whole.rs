//! Whole segments: AES-128 in CBC mode with PKCS #7 padding, whose initialization vector is the segment's media sequence
//! number (RFC 8216bis 4.4.4.4, 5.2).

use aes::Aes128;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};

use super::{ContentKey, Error};

fn vector(place: u32) -> [u8; 16] {
    u128::from(place).to_be_bytes()
}

/// The sealed segment.
pub(super) fn seal(key: &ContentKey, place: u32, segment: &[u8]) -> Vec<u8> {
    cbc::Encryptor::<Aes128>::new(&key.0.into(), &vector(place).into()).encrypt_padded_vec::<Pkcs7>(segment)
}

/// The segment again.
pub(super) fn open(key: &ContentKey, place: u32, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let opened =
        cbc::Decryptor::<Aes128>::new(&key.0.into(), &vector(place).into()).decrypt_padded_vec::<Pkcs7>(sealed);
    opened.map_err(|_| Error::Layout("no padding at the end of a segment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_the_same_again_under_its_own_number_and_key_only() {
        let key = ContentKey::new([7; 16]);
        let segment: Vec<u8> = (0..1000_u32).map(|n| n as u8).collect();
        let sealed = seal(&key, 3, &segment);
        assert_eq!(sealed.len(), 1008);
        assert_eq!(open(&key, 3, &sealed).unwrap(), segment);
        assert_ne!(open(&key, 4, &sealed).unwrap(), segment);
        assert_ne!(open(&ContentKey::new([8; 16]), 3, &sealed).unwrap_or_default(), segment);
    }
}
