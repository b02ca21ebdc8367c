//! The addresses of ladders: each has a signature of its job in its path, so that who has the address of one file has all that it
//! names, and nobody finds another by guessing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::ids::JobId;

/// The key's file, beside those of tokens.
const FILE: &str = "playback.key";

/// What signs the addresses of ladders. Clones share it.
#[derive(Clone)]
pub struct PlaybackKey(Arc<hmac::Key>);

impl PlaybackKey {
    /// The key in `folder`, which exists; made if there is none.
    ///
    /// # Errors
    /// It can't be read or written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        let secret = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path)?,
            read => read?,
        };
        if secret.len() < 32 {
            return Err(io::Error::other(format!("{} has fewer than 32 bytes", path.display())));
        }
        Ok(Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &secret))))
    }

    /// The signature of a job, as it stands in addresses: 128 bits.
    pub fn sign(&self, job: JobId) -> String {
        let tag = hmac::sign(&self.0, job.0.as_bytes());
        URL_SAFE_NO_PAD.encode(&tag.as_ref()[..16])
    }

    /// Another key that follows from this one, for what is called so.
    pub(crate) fn derive(&self, what: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&self.0, what.as_bytes()).as_ref())
    }

    /// Whether a signature is this job's. It takes as long whatever is wrong with it.
    pub fn is_of(&self, job: JobId, shown: &str) -> bool {
        let own = self.sign(job);
        let differs = own.bytes().zip(shown.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
        own.len() == shown.len() && differs == 0
    }
}

fn make(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut secret = vec![0; 32];
    SystemRandom::new().fill(&mut secret).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    let draft = path.with_extension(format!("{:08x}", fastrand::u32(..)));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    // Another process may make one at the same time: then that one counts.
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => std::fs::read(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_job_and_one_key_and_stays() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = PlaybackKey::open(folder.path()).unwrap();
        let (job, another) = (JobId::new(), JobId::new());
        let signature = key.sign(job);
        assert!(PlaybackKey::open(folder.path()).unwrap().is_of(job, &signature));
        assert!(!key.is_of(another, &signature) && !key.is_of(job, "") && !key.is_of(job, &signature[1..]));
        assert!(!PlaybackKey::open(other.path()).unwrap().is_of(job, &signature));
    }
}
