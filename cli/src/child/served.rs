//! A source that is no file of this machine, given to a child: the child has one end of a socket in place of a descriptor, and
//! asks for bytes; the parent answers from wherever they are. So a child needs no network.
//!
//! ```text
//!  child  place: 8 bytes, most: 4 bytes ───► parent
//!         ◄─── count: 4 bytes, as many bytes       (a count of none at the end, all ones where they can't be read)
//! ```
//! Numbers are little-endian. A child may ask for whatever it likes of its source, and gets no more than [`MOST`] at a time.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use vtp_engine::media::demux::ReadAt;
use vtp_store::Error;

use crate::stores::StoreFile;

/// The most bytes of an answer.
const MOST: u32 = 1 << 20;
/// In place of a count: they can't be read.
const UNREADABLE: u32 = u32::MAX;

/// How one child's reading goes, as its parent sees it.
#[derive(Debug, Default)]
pub(super) struct Serving {
    waiting: AtomicBool,
    trouble: Mutex<Option<Error>>,
}

impl Serving {
    /// Serves `file` to whoever has the other end, which is the answer, until that is closed.
    ///
    /// # Errors
    /// No socket or thread is to be had.
    pub(super) fn start(file: Arc<StoreFile>) -> io::Result<(Arc<Self>, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let serving = Arc::new(Self::default());
        let told = Arc::clone(&serving);
        std::thread::Builder::new().name("serves a source".to_owned()).spawn(move || {
            let _reads = file.attend();
            if let Err(error) = told.serve(&ours, &file) {
                tracing::debug!(%error, "a child reads its source no longer");
            }
        })?;
        Ok((serving, theirs))
    }

    /// Whether the child waits for bytes: then it can't be blamed for its silence.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Why bytes could not be read, if that was so; told once. What the child says after that is worth nothing.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn serve(&self, mut child: &UnixStream, file: &StoreFile) -> io::Result<()> {
        let (mut place, mut most) = ([0; 8], [0; 4]);
        loop {
            match child.read_exact(&mut place) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            }
            child.read_exact(&mut most)?;
            let (place, most) = (u64::from_le_bytes(place), u32::from_le_bytes(most).min(MOST));
            self.waiting.store(true, Ordering::Relaxed);
            let read = file.read(place, most as usize);
            self.waiting.store(false, Ordering::Relaxed);
            match read {
                Ok(bytes) => {
                    // No more than was asked for.
                    child.write_all(&(bytes.len() as u32).to_le_bytes())?;
                    child.write_all(&bytes)?;
                }
                Err(error) => {
                    *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    child.write_all(&UNREADABLE.to_le_bytes())?;
                }
            }
        }
    }
}

/// The child's end: bytes that are asked for.
pub(super) struct Asked {
    parent: Mutex<UnixStream>,
    size: u64,
}

impl Asked {
    /// So many bytes, which whoever has the other end of `parent` has.
    pub(super) fn new(parent: UnixStream, size: u64) -> Self {
        Self { parent: Mutex::new(parent), size }
    }
}

impl ReadAt for Asked {
    fn read_at(&self, into: &mut [u8], place: u64) -> io::Result<usize> {
        let mut parent = self.parent.lock().unwrap_or_else(PoisonError::into_inner);
        let most = u32::try_from(into.len()).unwrap_or(MOST).min(MOST);
        let mut question = [0; 12];
        question[..8].copy_from_slice(&place.to_le_bytes());
        question[8..].copy_from_slice(&most.to_le_bytes());
        parent.write_all(&question)?;
        let mut count = [0; 4];
        parent.read_exact(&mut count)?;
        let count = match u32::from_le_bytes(count) {
            UNREADABLE => return Err(io::Error::other("the source can't be read")),
            count => count as usize,
        };
        let into = into.get_mut(..count).ok_or_else(|| io::Error::other("more came than was asked for"))?;
        parent.read_exact(into)?;
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use vtp_store::BLOCK;
    use vtp_store::testing::S3Server;

    use super::*;
    use crate::stores::Stores;

    struct Scene {
        folder: tempfile::TempDir,
        server: S3Server,
        bytes: Vec<u8>,
    }

    impl Scene {
        /// A store that has an object of eight blocks.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut bytes = vec![0; 8 * BLOCK as usize];
            fastrand::Rng::with_seed(3).fill(&mut bytes);
            std::fs::create_dir(folder.path().join("films")).unwrap();
            let server = S3Server::start(folder.path()).unwrap();
            let scene = Self { folder, server, bytes };
            scene.write(&scene.bytes);
            scene
        }

        fn write(&self, bytes: &[u8]) {
            std::fs::write(self.folder.path().join("films/in"), bytes).unwrap();
        }

        /// The object, given to a child that is this very process.
        fn given(&self) -> (Arc<Serving>, Asked) {
            let stores = Stores::with(self.server.client()).unwrap();
            let file = stores.open(&"s3://films/in".parse().unwrap()).unwrap();
            let size = file.found().size;
            let (serving, theirs) = Serving::start(Arc::new(file)).unwrap();
            (serving, Asked::new(theirs, size))
        }
    }

    #[test]
    fn a_child_reads_what_is_in_the_store_from_any_place() {
        let scene = Scene::new();
        let (serving, asked) = scene.given();
        let size = scene.bytes.len();
        assert_eq!(asked.size().unwrap(), size as u64);
        for (place, most) in [(0, 10), (size - 5, 10), (3 << 20, 1 << 22), (size, 10), (usize::MAX, 1)] {
            let mut into = vec![0; most];
            let count = asked.read_at(&mut into, place as u64).unwrap();
            let rest = scene.bytes.get(place..).unwrap_or_default();
            assert_eq!(into[..count], rest[..count]);
            assert_eq!(count == 0, rest.is_empty());
        }
        assert!(serving.trouble().is_none() && !serving.is_waiting());
    }

    #[test]
    fn who_waits_for_a_store_that_is_away_is_not_silent_and_reads_on_when_it_is_back() {
        let scene = Scene::new();
        let (serving, asked) = scene.given();
        scene.server.refuse(true);
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| asked.read_at(&mut [0; 10], 0).unwrap());
            let began = Instant::now();
            while !serving.is_waiting() {
                assert!(began.elapsed() < Duration::from_secs(20));
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(200));
            assert!(!reading.is_finished());
            scene.server.refuse(false);
            assert_eq!(reading.join().unwrap(), 10);
        });
        assert!(serving.trouble().is_none());
    }

    #[test]
    fn an_object_that_is_written_anew_is_no_longer_read_and_why_is_known() {
        let scene = Scene::new();
        let (serving, asked) = scene.given();
        asked.read_at(&mut [0; 10], 0).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        scene.write(&scene.bytes[1..]);
        assert!(asked.read_at(&mut [0; 10], 6 * BLOCK).is_err());
        assert!(matches!(serving.trouble(), Some(Error::Changed)));
    }
}
