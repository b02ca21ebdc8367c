//! What the fuzz targets call: the reader of kept encodings. It takes any bytes at all, and panics where the reader
//! breaks a promise. Not part of the product.

use std::io::{Cursor, ErrorKind};

use crate::cache::entry::{HASH, MAGIC, read_from, samples_size};

/// A file of the cache as it is, and once more with the hash that it should have.
pub fn entry(data: &[u8]) {
    read(data);
    if let Some(sealed) = data.len().checked_sub(HASH + MAGIC.len()) {
        let hash = blake3::hash(&data[..sealed]);
        read(&[&data[..sealed], hash.as_bytes(), MAGIC].concat());
    }
}

fn read(data: &[u8]) {
    match read_from(Cursor::new(data), data.len() as u64) {
        Ok(entry) => assert!(samples_size(&entry.encoded).is_ok_and(|size| size < data.len() as u64)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}"),
    }
}

#[cfg(test)]
mod tests {
    use vtp_engine::fuzzing::each_damaged;
    use vtp_engine::quality::{Check, Sampling, Target};

    use super::*;
    use crate::cache::entry::seal;
    use crate::testing::{encoded_chunk, task};

    #[test]
    fn no_damage_makes_the_reader_of_kept_encodings_panic() {
        let folder = tempfile::tempdir().unwrap();
        let check = Check { sampling: Sampling::DEFAULT, target: Target::default() };
        let chunk = encoded_chunk(&task(folder.path(), Some(check)), |_, _| 90.0);
        let sealed = chunk.renditions.iter().map(|encoded| {
            seal(encoded, &[7; 32]).unwrap();
            std::fs::read(&encoded.spool).unwrap()
        });
        let seeds: Vec<Vec<u8>> = sealed.collect();
        assert!(seeds.iter().all(|seed| read_from(Cursor::new(seed), seed.len() as u64).is_ok()));
        each_damaged(&seeds, 20_000, entry);
    }
}
