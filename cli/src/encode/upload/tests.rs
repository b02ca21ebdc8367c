//! Uploads into a folder that takes the place of a store: as it is, spoilt, watched, and shared with somebody else.

use std::path::Path;
use std::sync::Arc;

use vtp_store::testing::{Call, Watched};
use vtp_store::{Directory, Faults, Faulty};

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

/// A folder as a store, and a ladder to put there.
struct Scene {
    folder: tempfile::TempDir,
    pieces: Vec<Piece>,
    store: Directory,
    cancelled: Arc<AtomicBool>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pieces = ladder(&folder.path().join("made"));
        let store = Directory::open(&folder.path().join("store")).unwrap();
        Self { store, pieces, folder, cancelled: Arc::default() }
    }

    async fn upload(&self, store: &impl Store, run: u64, before: Before) -> Result<(), UploadError> {
        Upload::new(store, "a/", Claim::new(run), before, &self.cancelled).carry_out(&self.pieces).await
    }

    fn there(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.path().join("store").join(name)).ok()
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.folder.path().join("store").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// All of the ladder is there, and nothing else.
    fn is_whole(&self) {
        for piece in &self.pieces {
            assert_eq!(self.there(&format!("a/{}", piece.name)), Some(piece.name.repeat(3).into()), "{}", piece.name);
        }
        assert_eq!(self.there(&format!("a/{CLAIM}")), None);
    }

    async fn names(&self) -> Vec<String> {
        self.store.list("", 100).await.unwrap().into_iter().map(|(key, _)| key.to_string()).collect()
    }
}

#[tokio::test]
async fn a_file_of_a_ladder_is_told_once_the_ladder_is_whole() {
    let scene = Scene::new();
    assert_eq!(finished(&scene.store, "a/", "report.json").await.unwrap(), None);
    scene.put("a/.vtp-upload", r#"{"run": 7, "attempt": 1}"#);
    scene.put("a/report.json", "of an upload that was cut off");
    assert_eq!(finished(&scene.store, "a/", "report.json").await.unwrap(), None);
    scene.upload(&scene.store, 7, Before::Remains).await.unwrap();
    let report = finished(&scene.store, "a/", "report.json").await.unwrap();
    assert_eq!(report.unwrap(), "report.json".repeat(3));
}

#[tokio::test]
async fn every_file_arrives_whole_also_at_a_store_that_fails_and_fails() {
    let (scene, seed) = (Scene::new(), fastrand::u64(..));
    eprintln!("seed {seed}");
    let spoilt = Faulty::new(scene.store.clone(), Faults { before: 0.1, after: 0.1 }, seed);
    scene.upload(&spoilt, 1, Before::Nothing).await.unwrap();
    scene.is_whole();
}

#[tokio::test]
async fn nothing_is_named_before_it_is_there() {
    let scene = Scene::new();
    let put: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&put);
    let watched = Watched::new(scene.store.clone(), move |call| {
        if let Call::Put(key) = call {
            seen.lock().unwrap().push(key.to_string());
        }
        Ok(())
    });
    scene.upload(&watched, 1, Before::Nothing).await.unwrap();
    let put = put.lock().unwrap().clone();
    let last = |ending: &str| put.iter().rposition(|name| name.ends_with(ending)).unwrap();
    let first = |ending: &str| put.iter().position(|name| name.ends_with(ending)).unwrap();
    assert!(last(".m4s").max(last("init.mp4")) < first("media.m3u8"));
    assert!(last("media.m3u8") < first("master.m3u8").min(first("manifest.mpd")));
}

#[tokio::test]
async fn what_is_to_be_replaced_is_gone_and_what_stands_beside_it_is_not() {
    let scene = Scene::new();
    scene.put("a/hd/seg-00001.m4s", "old");
    scene.put("a2/master.m3u8", "old");
    scene.upload(&scene.store, 1, Before::Ladder).await.unwrap();
    scene.is_whole();
    assert_eq!(scene.there("a/hd/seg-00001.m4s"), None);
    assert_eq!(scene.there("a2/master.m3u8"), Some("old".into()));
}

#[tokio::test]
async fn what_others_put_there_meanwhile_is_theirs() {
    let scene = Scene::new();
    scene.put("a/other.txt", "theirs");
    let upload = scene.upload(&scene.store, 1, Before::Nothing).await;
    assert!(matches!(upload, Err(UploadError::Otherwise(_))), "{upload:?}");
    assert_eq!(scene.names().await, ["a/other.txt"], "nothing was begun");
    let scene = Scene::new();
    let folder = scene.folder.path().join("store/a/other.txt");
    let watched = Watched::new(scene.store.clone(), move |call| {
        if matches!(call, Call::Put(key) if key.as_str() == "a/master.m3u8") {
            std::fs::write(&folder, "theirs").unwrap();
        }
        Ok(())
    });
    let upload = scene.upload(&watched, 1, Before::Nothing).await;
    assert!(matches!(upload, Err(UploadError::Otherwise(_))), "{upload:?}");
    assert_eq!(scene.names().await, ["a/other.txt"], "ours is taken back, and theirs is not");
}

#[tokio::test]
async fn who_was_taken_over_leaves_everything_as_it_is() {
    let scene = Scene::new();
    let (second, pieces) = (scene.store.clone(), scene.pieces.clone());
    let (cancelled, done) = (Arc::clone(&scene.cancelled), AtomicBool::new(false));
    // While the first is at its playlists another attempt at the same run does it all, and the first is told to stop.
    let watched = Watched::new(scene.store.clone(), move |call| {
        if matches!(call, Call::Put(key) if key.as_str().ends_with("media.m3u8")) && !done.swap(true, Ordering::Relaxed)
        {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        assert_eq!(look(&second, "a/", 1).await.unwrap(), Before::Remains);
                        let never = AtomicBool::new(false);
                        let upload = Upload::new(&second, "a/", Claim::new(1), Before::Remains, &never);
                        upload.carry_out(&pieces).await.unwrap();
                    });
                });
            });
            cancelled.store(true, Ordering::Relaxed);
        }
        Ok(())
    });
    let upload = scene.upload(&watched, 1, Before::Nothing).await;
    assert!(matches!(upload, Err(UploadError::Stopped | UploadError::TakenOver)), "{upload:?}");
    scene.is_whole();
}

#[tokio::test]
async fn what_was_left_by_an_attempt_is_gone_on_with_by_the_next_and_by_nobody_else() {
    let scene = Scene::new();
    let cut_off = Watched::new(scene.store.clone(), |call| match call {
        Call::Put(key) if key.as_str().ends_with("media.m3u8") => Err(Error::Denied("cut off".to_owned())),
        Call::Delete(_) => Err(Error::Denied("cut off".to_owned())),
        _ => Ok(()),
    });
    scene.upload(&cut_off, 7, Before::Nothing).await.unwrap_err();
    assert!(scene.there("a/hd/seg-00000.m4s").is_some());
    assert_eq!(look(&scene.store, "a/", 8).await.unwrap(), Before::Unfinished);
    assert_eq!(look(&scene.store, "a/", 7).await.unwrap(), Before::Remains);
    scene.upload(&scene.store, 7, Before::Remains).await.unwrap();
    scene.is_whole();
    assert_eq!(look(&scene.store, "a/", 7).await.unwrap(), Before::Ladder);
}

#[tokio::test]
async fn a_store_that_takes_nothing_keeps_what_it_has() {
    let scene = Scene::new();
    scene.put("a/master.m3u8", "old");
    let denies = Watched::new(scene.store.clone(), |call| match call {
        Call::Put(_) => Err(Error::Denied("read only".to_owned())),
        _ => Ok(()),
    });
    let upload = Upload::new(&denies, "a/", Claim::new(1), Before::Ladder, &scene.cancelled);
    let done = upload.carry_out(&scene.pieces).await;
    assert!(matches!(done, Err(UploadError::Put { .. })) && !upload.has_damaged(), "{done:?}");
    assert_eq!(scene.names().await, ["a/master.m3u8"]);
    assert_eq!(scene.there("a/master.m3u8"), Some("old".into()));
}

#[tokio::test]
async fn what_was_replaced_in_part_is_told_also_where_nothing_can_be_taken_back() {
    let scene = Scene::new();
    scene.put("a/master.m3u8", "old");
    let cut_off = Watched::new(scene.store.clone(), |call| match call {
        Call::Put(key) if key.as_str().ends_with("media.m3u8") => Err(Error::Denied("cut off".to_owned())),
        Call::Delete(_) => Err(Error::Denied("cut off".to_owned())),
        _ => Ok(()),
    });
    let upload = Upload::new(&cut_off, "a/", Claim::new(1), Before::Ladder, &scene.cancelled);
    upload.carry_out(&scene.pieces).await.unwrap_err();
    assert!(upload.has_damaged());
}

#[tokio::test]
async fn what_was_begun_is_taken_back_when_it_is_not_wanted_any_longer() {
    let scene = Scene::new();
    let cancelled = Arc::clone(&scene.cancelled);
    let watched = Watched::new(scene.store.clone(), move |call| {
        if matches!(call, Call::Put(key) if key.as_str().ends_with("media.m3u8")) {
            cancelled.store(true, Ordering::Relaxed);
        }
        Ok(())
    });
    let upload = scene.upload(&watched, 1, Before::Nothing).await;
    assert!(matches!(upload, Err(UploadError::Stopped)), "{upload:?}");
    assert_eq!(scene.names().await, [""; 0]);
}
