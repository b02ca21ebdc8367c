//! The file of one finished encoding: its samples back to back as in any spool file, and a seal behind them.
//!
//! ```text
//!  samples │ EncodedRendition as JSON │ samples' size u64 │ JSON's size u32 │ key │ BLAKE3 of all before │ "VTPCHNK2"
//! ```
//! Numbers are little-endian. A file without a whole seal, with another hash, or with the key of another encoding than its name
//! says, is damaged.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use vtp_engine::chunk::EncodedRendition;

pub(crate) const MAGIC: &[u8; 8] = b"VTPCHNK2";
pub(crate) const HASH: usize = blake3::OUT_LEN;
/// Both sizes and the key.
const FACTS: usize = 8 + 4 + blake3::OUT_LEN;
/// These, the hash, the magic.
const SEAL: usize = FACTS + HASH + MAGIC.len();
/// What is told of an encoding is never larger.
const LARGEST_JSON: u64 = 256 << 20;

/// What is in the file of an encoding.
pub(crate) struct Entry {
    pub(crate) encoded: EncodedRendition,
    /// Which encoding it is.
    key: [u8; blake3::OUT_LEN],
}

/// Writes a seal behind the samples in the spool file of the encoding that `key` names, durably.
pub(crate) fn seal(encoded: &EncodedRendition, key: &[u8; blake3::OUT_LEN]) -> io::Result<()> {
    let samples = samples_size(encoded)?;
    let mut file = File::options().read(true).write(true).open(&encoded.spool)?;
    let mut hasher = blake3::Hasher::new();
    let read = io::copy(&mut (&mut file).take(samples), &mut hasher)?;
    if read != samples {
        return Err(damaged("there are fewer samples than are listed"));
    }
    let json = serde_json::to_vec(encoded)?;
    let json_size = u32::try_from(json.len()).map_err(io::Error::other)?;
    let tail = [&json, samples.to_le_bytes().as_slice(), &json_size.to_le_bytes(), key].concat();
    hasher.update(&tail);
    file.seek(SeekFrom::Start(samples))?;
    file.write_all(&[&tail, hasher.finalize().as_bytes().as_slice(), MAGIC].concat())?;
    file.sync_all()
}

/// What the file at `path` holds, whose samples are its beginning. The rendition's name and spool file are those of the
/// run that made it.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] if it is damaged, or not the encoding that `key` names.
pub(super) fn read(path: &Path, key: &[u8; blake3::OUT_LEN]) -> io::Result<EncodedRendition> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let entry = read_from(file, size)?;
    match entry.key == *key {
        true => Ok(entry.encoded),
        false => Err(damaged("it is another one")),
    }
}

/// What `file`, of `size` bytes, holds; as [`read`].
pub(crate) fn read_from(mut file: impl Read + Seek, size: u64) -> io::Result<Entry> {
    let sealed = size.checked_sub(SEAL as u64).ok_or_else(|| damaged("it is too short"))?;
    file.seek(SeekFrom::Start(sealed))?;
    let mut seal = [0; SEAL];
    file.read_exact(&mut seal)?;
    let (samples, json_size, key, hash) = parse_seal(&seal).ok_or_else(|| damaged("it has no seal"))?;
    if json_size > LARGEST_JSON || samples.checked_add(json_size) != Some(sealed) {
        return Err(damaged("its sizes don't agree"));
    }
    file.rewind()?;
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut (&mut file).take(samples), &mut hasher)?;
    let mut json = vec![0; usize::try_from(json_size).map_err(io::Error::other)?];
    file.read_exact(&mut json)?;
    hasher.update(&json).update(&seal[..FACTS]);
    if hasher.finalize() != hash {
        return Err(damaged("its content has changed"));
    }
    let encoded: EncodedRendition = serde_json::from_slice(&json).map_err(|error| damaged(&error.to_string()))?;
    match samples_size(&encoded)? == samples {
        true => Ok(Entry { encoded, key }),
        false => Err(damaged("its samples are not those that are listed")),
    }
}

fn parse_seal(seal: &[u8; SEAL]) -> Option<(u64, u64, [u8; blake3::OUT_LEN], blake3::Hash)> {
    let (samples, rest) = seal.split_first_chunk::<8>()?;
    let (json, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_first_chunk::<{ blake3::OUT_LEN }>()?;
    let (hash, magic) = rest.split_first_chunk::<HASH>()?;
    let (samples, json) = (u64::from_le_bytes(*samples), u32::from_le_bytes(*json).into());
    (magic == MAGIC).then(|| (samples, json, *key, blake3::Hash::from_bytes(*hash)))
}

pub(crate) fn samples_size(encoded: &EncodedRendition) -> io::Result<u64> {
    let sum = encoded.samples.iter().try_fold(0_u64, |sum, sample| sum.checked_add(sample.size.into()));
    sum.ok_or_else(|| damaged("its samples are too large"))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a kept encoding is damaged: {what}"))
}
