//! What signs the addresses of parts of uploads, where the store signs none.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use time::OffsetDateTime;

use crate::ids::VideoId;
use crate::playback::PlaybackKey;

/// What the key that signs is called.
const KEY: &str = "addresses of parts of uploads";

/// What signs the addresses of parts. Clones share it.
#[derive(Clone)]
pub(crate) struct PartKey(Arc<hmac::Key>);

impl PartKey {
    /// The key that follows from another, so that all replicas have the same.
    pub(crate) fn of(key: &PlaybackKey) -> Self {
        Self(Arc::new(key.derive(KEY)))
    }

    /// The signature of a part until this moment, in seconds since 1970.
    pub(crate) fn sign(&self, video: VideoId, part: u32, expires: i64) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &signed(video, part, expires)))
    }

    /// Whether a signature is of this part until this moment, and that is to come. It takes as long whatever is wrong with it.
    pub(crate) fn is_of(&self, video: VideoId, part: u32, expires: i64, now: OffsetDateTime, shown: &str) -> bool {
        let shown = URL_SAFE_NO_PAD.decode(shown).unwrap_or_default();
        hmac::verify(&self.0, &signed(video, part, expires), &shown).is_ok() && now.unix_timestamp() < expires
    }
}

fn signed(video: VideoId, part: u32, expires: i64) -> Vec<u8> {
    [video.0.as_bytes().as_slice(), &part.to_be_bytes(), &expires.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_part_of_one_video_until_its_moment() {
        let folder = tempfile::tempdir().unwrap();
        let key = PartKey::of(&PlaybackKey::open(folder.path()).unwrap());
        let (video, other) = (VideoId::new(), VideoId::new());
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let signature = key.sign(video, 3, 1000);
        assert!(key.is_of(video, 3, 1000, at(999), &signature));
        assert!(!key.is_of(video, 3, 1000, at(1000), &signature), "it is over");
        assert!(!key.is_of(video, 3, 2000, at(999), &signature) && !key.is_of(video, 4, 1000, at(999), &signature));
        assert!(!key.is_of(other, 3, 1000, at(999), &signature) && !key.is_of(video, 3, 1000, at(999), ""));
        let another = tempfile::tempdir().unwrap();
        let another = PartKey::of(&PlaybackKey::open(another.path()).unwrap());
        assert!(!another.is_of(video, 3, 1000, at(999), &signature));
    }
}
