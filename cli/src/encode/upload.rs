//! A finished ladder on its way into a store: segments first, then media playlists, then what players begin with, so that nobody
//! ever finds a playlist of something that is not there. It is counted at the end. In: a folder. Out: objects. Never: a name
//! outside of its prefix.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use vtp_store::{About, Body, Error, Key, Store, media_type};

/// Objects that are under way at the same time.
const AT_A_TIME: usize = 8;
/// For how long a store that can't be reached is tried again.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is served for long is never another: a ladder is not changed, only replaced as a whole.
const FOR_LONG: &str = "public, max-age=31536000, immutable";
/// What players begin with is looked at anew now and then.
const FOR_A_MINUTE: &str = "public, max-age=60";

/// A file of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its name in the folder, with `/` between folders.
    name: String,
    path: PathBuf,
    size: u64,
}

/// When a piece goes: after all that it refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Media,
    MediaPlaylist,
    Manifest,
}

impl Piece {
    fn turn(&self) -> Turn {
        let is_top = !self.name.contains('/');
        match self.name.rsplit('.').next() {
            Some("m3u8" | "mpd") if is_top => Turn::Manifest,
            Some("m3u8") => Turn::MediaPlaylist,
            _ => Turn::Media,
        }
    }

    /// What players and caches are told of it.
    fn about(&self) -> About {
        let content_type = media_type(&self.name);
        let cache_control = if self.turn() == Turn::Media { FOR_LONG } else { FOR_A_MINUTE };
        About { content_type: Some(content_type), cache_control: Some(cache_control) }
    }
}

/// All that lies in `folder`.
///
/// # Errors
/// It can't be read, or a name in it is not text.
pub(super) fn pieces(folder: &Path) -> std::io::Result<Vec<Piece>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(inside) = folders.pop() {
        for entry in std::fs::read_dir(&inside)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).ok().and_then(Path::to_str).map(str::to_owned);
            let name = name.ok_or_else(|| std::io::Error::other(format!("{} is no text", path.display())))?;
            found.push(Piece { name, size: entry.metadata()?.len(), path });
        }
    }
    found.sort_by(|a, b| (a.turn(), &a.name).cmp(&(b.turn(), &b.name)));
    Ok(found)
}

/// Why a ladder is not in the store.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    /// One of its files can't be put there.
    #[error("{key}: {error}")]
    Put {
        /// Which one.
        key: String,
        /// Why.
        #[source]
        error: Error,
    },
    /// What is there can't be told or removed.
    #[error(transparent)]
    Store(#[from] Error),
    /// It is not what was put there.
    #[error("{0} is not there as it was put there: does somebody else write to the same place?")]
    Otherwise(String),
}

/// Puts all pieces under names that begin with `prefix`, and removes what else is there.
///
/// # Errors
/// [`UploadError`]; what was put before is still there.
pub(super) async fn upload<S: Store>(store: &S, prefix: &str, pieces: &[Piece]) -> Result<(), UploadError> {
    for turn in [Turn::Media, Turn::MediaPlaylist, Turn::Manifest] {
        let puts = pieces.iter().filter(|piece| piece.turn() == turn).map(|piece| put(store, prefix, piece));
        stream::iter(puts.collect::<Vec<_>>()).buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
    }
    let mut there: BTreeMap<Key, u64> = patiently(|| store.list(prefix, usize::MAX)).await?.into_iter().collect();
    for piece in pieces {
        let key = key(prefix, piece)?;
        if there.remove(&key) != Some(piece.size) {
            return Err(UploadError::Otherwise(key.to_string()));
        }
    }
    let others: Vec<Key> = there.into_keys().collect();
    Ok(patiently(|| store.delete(&others)).await?)
}

async fn put<S: Store>(store: &S, prefix: &str, piece: &Piece) -> Result<(), UploadError> {
    let key = key(prefix, piece)?;
    let body = Body::File(piece.path.clone());
    let put = patiently(|| store.put(&key, &body, piece.about())).await;
    put.map_err(|error| UploadError::Put { key: key.to_string(), error })
}

/// Removes those of the pieces that are there: what was begun and not ended.
///
/// # Errors
/// Those of the store.
pub(super) async fn withdraw<S: Store>(store: &S, prefix: &str, pieces: &[Piece]) -> Result<(), UploadError> {
    let keys = pieces.iter().rev().map(|piece| key(prefix, piece)).collect::<Result<Vec<_>, _>>()?;
    Ok(patiently(|| store.delete(&keys)).await?)
}

fn key(prefix: &str, piece: &Piece) -> Result<Key, UploadError> {
    let name = format!("{prefix}{}", piece.name);
    Key::new(&*name).map_err(|error| UploadError::Put { error: Error::Refused(error.to_string()), key: name })
}

/// Makes a call again as long as it may help.
async fn patiently<T, F: Future<Output = Result<T, Error>>>(mut call: impl FnMut() -> F) -> Result<T, Error> {
    let (began, mut pause) = (Instant::now(), Duration::from_millis(50));
    loop {
        match call().await {
            Err(error) if error.is_retryable() && began.elapsed() < PATIENCE => {
                tracing::warn!(%error, "a store does not do what it is asked for, and is asked again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use vtp_store::{Directory, Faults, Faulty, Found};

    use super::*;

    fn ladder(folder: &Path) -> Vec<Piece> {
        let files = [
            "master.m3u8",
            "manifest.mpd",
            "hd/init.mp4",
            "hd/media.m3u8",
            "hd/seg-00000.m4s",
            "audio/a/media.m3u8",
            "audio/a/seg-00000.m4s",
            "report.json",
            "poster.jpg",
        ];
        for name in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name.repeat(3)).unwrap();
        }
        pieces(folder).unwrap()
    }

    /// A folder that keeps the order in which things are put there.
    #[derive(Clone)]
    struct Watched {
        store: Faulty<Directory>,
        put: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
    }

    impl Store for Watched {
        async fn head(&self, key: &Key) -> Result<Option<Found>, Error> {
            self.store.head(key).await
        }

        async fn get(&self, key: &Key, range: std::ops::Range<u64>, found: &Found) -> Result<bytes::Bytes, Error> {
            self.store.get(key, range, found).await
        }

        async fn put(&self, key: &Key, body: &Body, about: About) -> Result<(), Error> {
            self.store.put(key, body, about).await?;
            self.put.lock().unwrap().push(key.to_string());
            Ok(())
        }

        async fn join(&self, parts: &[Key], into: &Key, about: About) -> Result<(), Error> {
            self.store.join(parts, into, about).await
        }

        async fn list(&self, prefix: &str, most: usize) -> Result<Vec<(Key, u64)>, Error> {
            self.store.list(prefix, most).await
        }

        async fn delete(&self, keys: &[Key]) -> Result<(), Error> {
            self.store.delete(keys).await
        }
    }

    struct Scene {
        folder: tempfile::TempDir,
        pieces: Vec<Piece>,
        store: Watched,
    }

    impl Scene {
        fn new(faults: Faults) -> Self {
            let seed = fastrand::u64(..);
            eprintln!("seed {seed}");
            let folder = tempfile::tempdir().unwrap();
            let pieces = ladder(&folder.path().join("made"));
            let store = Faulty::new(Directory::open(&folder.path().join("store")).unwrap(), faults, seed);
            Self { store: Watched { store, put: Default::default() }, pieces, folder }
        }

        fn there(&self, name: &str) -> Option<Vec<u8>> {
            std::fs::read(self.folder.path().join("store").join(name)).ok()
        }
    }

    const NONE: Faults = Faults { before: 0.0, after: 0.0 };

    #[tokio::test]
    async fn every_file_arrives_whole_also_at_a_store_that_fails_and_fails() {
        let scene = Scene::new(Faults { before: 0.2, after: 0.2 });
        upload(&scene.store, "films/a/", &scene.pieces).await.unwrap();
        for piece in &scene.pieces {
            assert_eq!(scene.there(&format!("films/a/{}", piece.name)), Some(piece.name.repeat(3).into()));
        }
    }

    #[tokio::test]
    async fn nothing_is_named_before_it_is_there() {
        let scene = Scene::new(NONE);
        upload(&scene.store, "a/", &scene.pieces).await.unwrap();
        let put = scene.store.put.lock().unwrap().clone();
        let last = |ending: &str| put.iter().rposition(|name| name.ends_with(ending)).unwrap();
        let first = |ending: &str| put.iter().position(|name| name.ends_with(ending)).unwrap();
        assert!(last(".m4s").max(last("init.mp4")) < first("media.m3u8"));
        assert!(last("media.m3u8") < first("master.m3u8").min(first("manifest.mpd")));
    }

    #[tokio::test]
    async fn what_was_there_before_is_gone_and_what_stands_beside_it_is_not() {
        let scene = Scene::new(NONE);
        let (old, beside) = (Key::new("a/hd/seg-00001.m4s").unwrap(), Key::new("a2/master.m3u8").unwrap());
        for key in [&old, &beside] {
            scene.store.put(key, &Body::Bytes("old".into()), About::default()).await.unwrap();
        }
        upload(&scene.store, "a/", &scene.pieces).await.unwrap();
        assert_eq!(scene.there(old.as_str()), None);
        assert_eq!(scene.there(beside.as_str()), Some("old".into()));
    }

    #[tokio::test]
    async fn what_was_begun_can_be_taken_back() {
        let scene = Scene::new(NONE);
        upload(&scene.store, "a/", &scene.pieces).await.unwrap();
        withdraw(&scene.store, "a/", &scene.pieces).await.unwrap();
        assert_eq!(scene.store.list("", 10).await.unwrap(), []);
    }

    #[test]
    fn players_and_caches_are_told_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let pieces = ladder(folder.path());
        let of = |name: &str| pieces.iter().find(|piece| piece.name == name).unwrap().about();
        let is = |content_type, cache_control| About {
            content_type: Some(content_type),
            cache_control: Some(cache_control),
        };
        assert_eq!(of("master.m3u8"), is("application/vnd.apple.mpegurl", FOR_A_MINUTE));
        assert_eq!(of("manifest.mpd"), is("application/dash+xml", FOR_A_MINUTE));
        assert_eq!(of("hd/seg-00000.m4s"), is("video/iso.segment", FOR_LONG));
        assert_eq!(of("hd/init.mp4"), is("video/mp4", FOR_LONG));
        assert_eq!(of("poster.jpg"), is("image/jpeg", FOR_LONG));
    }
}
