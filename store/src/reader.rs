//! One object, read at any place by several at a time. It is fetched in blocks; those that were read last are kept, and where
//! somebody reads one after the other the next are fetched ahead. Memory is bounded: [`BLOCK`] times the blocks that are kept,
//! and those that are on their way.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::{Error, Found, Key, Store};

/// Bytes that are fetched at a time.
pub const BLOCK: u64 = 2 << 20;
/// Blocks that are kept.
const KEPT: usize = 48;
/// Blocks that are fetched ahead of somebody who reads on.
const AHEAD: u64 = 3;

/// An object of a store. Clones share what was fetched.
#[derive(Debug)]
pub struct Reader<S>(Arc<Shared<S>>);

impl<S> Clone for Reader<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shared<S> {
    store: S,
    key: Key,
    found: Found,
    blocks: Mutex<Blocks>,
}

/// A block, once it is there.
type Cell = Arc<OnceCell<Bytes>>;

/// What was asked for last.
#[derive(Debug, Default)]
struct Blocks {
    cells: HashMap<u64, (Cell, u64)>,
    /// Counts what was asked for: the block with the least number was not asked for for the longest.
    clock: u64,
}

impl Blocks {
    /// The block at this place, which need not be there yet.
    fn cell(&mut self, place: u64) -> Cell {
        self.clock += 1;
        let (cell, asked) = self.cells.entry(place).or_default();
        *asked = self.clock;
        let cell = Arc::clone(cell);
        if self.cells.len() > KEPT
            && let Some(oldest) = self.cells.iter().min_by_key(|(_, (_, asked))| *asked).map(|(place, _)| *place)
        {
            self.cells.remove(&oldest);
        }
        cell
    }

    fn has(&self, place: u64) -> bool {
        self.cells.contains_key(&place)
    }
}

impl<S: Store> Reader<S> {
    /// Reads what `found` says is under this name.
    pub fn new(store: S, key: Key, found: Found) -> Self {
        Self(Arc::new(Shared { store, key, found, blocks: Mutex::default() }))
    }

    /// What is read.
    pub fn found(&self) -> &Found {
        &self.0.found
    }

    /// The bytes from `place` on, up to `most` of them and to the end of a block; none at the object's end.
    ///
    /// # Errors
    /// Those of [`Store::get`].
    pub async fn read_at(&self, place: u64, most: usize) -> Result<Bytes, Error> {
        if place >= self.0.found.size {
            return Ok(Bytes::new());
        }
        let at = place / BLOCK;
        let bytes = self.block(at).await?;
        let from = usize::try_from(place - at * BLOCK).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes.slice(from..from.saturating_add(most).min(bytes.len())))
    }

    async fn block(&self, place: u64) -> Result<Bytes, Error> {
        let (cell, reads_on) = {
            let mut blocks = self.blocks();
            let reads_on = place == 0 || blocks.has(place - 1);
            (blocks.cell(place), reads_on)
        };
        if reads_on {
            self.fetch_ahead(place);
        }
        self.0.fill(place, &cell).await
    }

    /// Has the blocks after this one fetched.
    fn fetch_ahead(&self, place: u64) {
        let end = self.0.found.size.div_ceil(BLOCK);
        for next in (place + 1..end).take(AHEAD as usize) {
            let cell = {
                let mut blocks = self.blocks();
                if blocks.has(next) {
                    continue;
                }
                blocks.cell(next)
            };
            let shared = Arc::clone(&self.0);
            tokio::spawn(async move {
                if let Err(error) = shared.fill(next, &cell).await {
                    // Whoever needs it asks again, and is told.
                    tracing::debug!(%error, key = %shared.key, "a block was not fetched ahead");
                }
            });
        }
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.0.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store> Shared<S> {
    /// The bytes of a block. Whoever wants them while they are on their way waits for those.
    async fn fill(&self, place: u64, cell: &Cell) -> Result<Bytes, Error> {
        let fetched = cell.get_or_try_init(|| self.store.get(&self.key, self.range(place), &self.found));
        fetched.await.cloned()
    }

    fn range(&self, place: u64) -> Range<u64> {
        let start = place * BLOCK;
        start..(start + BLOCK).min(self.found.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{About, Body, Directory};

    /// A folder with one object, which counts what is got of it.
    #[derive(Clone)]
    struct Counting {
        store: Directory,
        got: Arc<Mutex<Vec<Range<u64>>>>,
    }

    impl Store for Counting {
        async fn head(&self, key: &Key) -> Result<Option<Found>, Error> {
            self.store.head(key).await
        }

        async fn get(&self, key: &Key, range: Range<u64>, found: &Found) -> Result<Bytes, Error> {
            self.got.lock().unwrap().push(range.clone());
            self.store.get(key, range, found).await
        }

        async fn put(&self, key: &Key, body: &Body, about: About) -> Result<(), Error> {
            self.store.put(key, body, about).await
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
        _folder: tempfile::TempDir,
        bytes: Vec<u8>,
        store: Counting,
        reader: Reader<Counting>,
    }

    async fn scene(length: u64) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        let key = Key::new("object").unwrap();
        let store = Counting { store: Directory::open(folder.path()).unwrap(), got: Arc::default() };
        store.put(&key, &Body::Bytes(bytes.clone().into()), About::default()).await.unwrap();
        let found = store.head(&key).await.unwrap().unwrap();
        let reader = Reader::new(store.clone(), key, found);
        Scene { _folder: folder, bytes, store, reader }
    }

    #[tokio::test]
    async fn every_byte_is_read_as_it_is_wherever_reading_begins() {
        let scene = scene(3 * BLOCK + 77).await;
        let mut chance = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let from = chance.usize(..scene.bytes.len() + 10);
            let most = chance.usize(1..100_000);
            let read = scene.reader.read_at(from as u64, most).await.unwrap();
            let rest = scene.bytes.get(from..).unwrap_or_default();
            assert_eq!(&read[..], &rest[..read.len()]);
            assert_eq!(read.is_empty(), rest.is_empty());
        }
    }

    #[tokio::test]
    async fn who_reads_on_gets_every_block_once_and_the_next_before_it_is_asked_for() {
        let scene = scene(6 * BLOCK).await;
        scene.reader.read_at(0, 10).await.unwrap();
        while scene.store.got.lock().unwrap().len() < 4 {
            tokio::task::yield_now().await;
        }
        let mut place = 0;
        while place < 6 * BLOCK {
            place += scene.reader.read_at(place, 1 << 18).await.unwrap().len() as u64;
        }
        let mut got: Vec<u64> = scene.store.got.lock().unwrap().iter().map(|range| range.start / BLOCK).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3, 4, 5]);
    }

    #[tokio::test]
    async fn who_jumps_gets_nothing_but_what_they_asked_for() {
        let scene = scene(20 * BLOCK).await;
        for block in [19, 7, 12] {
            scene.reader.read_at(block * BLOCK + 5, 10).await.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(scene.store.got.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn no_more_blocks_are_kept_than_said() {
        let blocks = KEPT as u64 + 10;
        let scene = scene(blocks * BLOCK).await;
        for block in (0..blocks).rev() {
            scene.reader.read_at(block * BLOCK, 1).await.unwrap();
        }
        assert_eq!(scene.reader.blocks().cells.len(), KEPT);
        scene.reader.read_at(0, 1).await.unwrap();
        let got = scene.store.got.lock().unwrap().len() as u64;
        assert!(got <= blocks + AHEAD, "{got}");
    }

    #[tokio::test]
    async fn an_object_that_is_written_anew_is_read_no_further() {
        let scene = scene(2 * BLOCK).await;
        scene.reader.read_at(0, 10).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let key = Key::new("object").unwrap();
        let scene =
            Scene { reader: Reader::new(scene.store.clone(), key.clone(), scene.reader.found().clone()), ..scene };
        scene.store.put(&key, &Body::Bytes("new".into()), About::default()).await.unwrap();
        assert!(matches!(scene.reader.read_at(BLOCK, 10).await, Err(Error::Changed)));
    }
}
