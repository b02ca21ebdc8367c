//! One object, read at any place by several at a time. It is fetched in blocks; those that were read last are kept, and where
//! somebody reads one after the other the next are fetched ahead. Memory is bounded: so many times [`BLOCK`] for each who reads,
//! and none where nobody does.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::{Error, Found, Key, Store};

/// Bytes that are fetched at a time.
pub const BLOCK: u64 = 2 << 20;
/// Blocks that are fetched ahead of somebody who reads on.
const AHEAD: u64 = 3;
/// Blocks that are kept for each who reads: the one that they are at, those ahead of it, and one behind.
const KEPT: usize = AHEAD as usize + 2;
/// Blocks that are kept besides.
const SPARE: usize = 8;

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
    /// How many read.
    readers: usize,
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
        self.bound();
        cell
    }

    /// Lets go of the blocks that were not asked for for the longest, until there are no more than those who read need.
    fn bound(&mut self) {
        while self.cells.len() > SPARE + KEPT * self.readers {
            // One that somebody waits for is in memory anyway.
            let idle = self.cells.iter().filter(|(_, (cell, _))| Arc::strong_count(cell) == 1);
            let Some(oldest) = idle.min_by_key(|(_, (_, asked))| *asked).map(|(place, _)| *place) else { break };
            self.cells.remove(&oldest);
        }
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

    /// Somebody begins to read, until they let go of this.
    pub fn attend(&self) -> Attending<S> {
        self.blocks().readers += 1;
        Attending(Self::clone(self))
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
}

impl<S> Reader<S> {
    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.0.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who reads an object. With the last of them what is in memory of it goes.
#[derive(Debug)]
pub struct Attending<S>(Reader<S>);

impl<S> Drop for Attending<S> {
    fn drop(&mut self) {
        let mut blocks = self.0.blocks();
        blocks.readers -= 1;
        match blocks.readers {
            0 => blocks.cells.clear(),
            _ => blocks.bound(),
        }
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
    use crate::watched::{Call, Watched};
    use crate::{About, Body, Directory};

    struct Scene {
        _folder: tempfile::TempDir,
        bytes: Vec<u8>,
        store: Watched<Directory>,
        /// What was got of the object.
        got: Arc<Mutex<Vec<Range<u64>>>>,
        reader: Reader<Watched<Directory>>,
    }

    async fn scene(length: u64) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        let key = Key::new("object").unwrap();
        let got: Arc<Mutex<Vec<Range<u64>>>> = Arc::default();
        let counted = Arc::clone(&got);
        let store = Watched::new(Directory::open(folder.path()).unwrap(), move |call| {
            if let Call::Get(_, range) = call {
                counted.lock().unwrap().push(range.clone());
            }
            Ok(())
        });
        store.put(&key, &Body::Bytes(bytes.clone().into()), About::default()).await.unwrap();
        let found = store.head(&key).await.unwrap().unwrap();
        let reader = Reader::new(store.clone(), key, found);
        Scene { _folder: folder, bytes, store, got, reader }
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
        while scene.got.lock().unwrap().len() < 4 {
            tokio::task::yield_now().await;
        }
        let mut place = 0;
        while place < 6 * BLOCK {
            place += scene.reader.read_at(place, 1 << 18).await.unwrap().len() as u64;
        }
        let mut got: Vec<u64> = scene.got.lock().unwrap().iter().map(|range| range.start / BLOCK).collect();
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
        assert_eq!(scene.got.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn no_more_blocks_are_kept_than_those_who_read_need_and_none_when_nobody_does() {
        let scene = scene(40 * BLOCK).await;
        let readers: Vec<_> = (0..2).map(|_| scene.reader.attend()).collect();
        for block in (0..40).rev() {
            scene.reader.read_at(block * BLOCK, 1).await.unwrap();
            assert!(scene.reader.blocks().cells.len() <= SPARE + 2 * KEPT + 1);
        }
        drop(readers);
        assert_eq!(scene.reader.blocks().cells.len(), 0);
    }

    #[tokio::test]
    async fn of_those_who_have_read_enough_no_blocks_are_kept_for_others() {
        let scene = scene(60 * BLOCK).await;
        let mut readers: Vec<_> = (0..9).map(|_| scene.reader.attend()).collect();
        for block in (0..60).rev() {
            scene.reader.read_at(block * BLOCK, 1).await.unwrap();
        }
        let kept = || scene.reader.blocks().cells.len();
        assert!(kept() > SPARE + 2 * KEPT, "all of them need their blocks");
        readers.truncate(1);
        assert!(kept() <= SPARE + KEPT, "{}", kept());
    }

    #[tokio::test]
    async fn blocks_that_were_waited_for_go_when_they_are_there() {
        let scene = scene(4 * BLOCK).await;
        let _reader = scene.reader.attend();
        let bound = SPARE + KEPT;
        // As if so many waited, each for a block of its own.
        let waited: Vec<Cell> = (0..2 * bound as u64).map(|place| scene.reader.blocks().cell(place + 100)).collect();
        assert_eq!(scene.reader.blocks().cells.len(), 2 * bound);
        drop(waited);
        scene.reader.read_at(0, 1).await.unwrap();
        assert!(scene.reader.blocks().cells.len() <= bound + 1, "{}", scene.reader.blocks().cells.len());
    }

    #[tokio::test]
    async fn many_who_read_at_different_places_get_every_block_once() {
        let scene = scene(60 * BLOCK).await;
        let readers: Vec<_> = (0..20).map(|_| scene.reader.attend()).collect();
        // Each reads three blocks of its own, in turns of small bites.
        for bite in 0..24 {
            for reader in 0..20 {
                let place = reader * 3 * BLOCK + bite * (BLOCK / 8);
                scene.reader.read_at(place, 1 << 18).await.unwrap();
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let mut got: Vec<u64> = scene.got.lock().unwrap().iter().map(|range| range.start / BLOCK).collect();
        got.sort_unstable();
        assert_eq!(got, (0..60).collect::<Vec<_>>());
        drop(readers);
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
