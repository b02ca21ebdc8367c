//! Where an object arrives: a draft beside its place, which gets the object's name when it is whole and on the disk.
//!
//! ```text
//! open ──► There                      it was whole already
//!      └─► Draft ── begin ──► take, take, ... ──► finish ──► There
//!            ▲                  │
//!            └──────────────────┘  begin again, behind the last verified block
//! ```
//!
//! No journal says what of a draft is good: its whole blocks are hashed when it is opened again, and go for what they
//! are if the sender has the same. While one has it open, a lock (`flock`) keeps others out, in other processes too;
//! it is gone with whoever held it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;
use super::protocol::{BLOCK, Layout, Want};
use super::tree::{Hash, Tree, block_hash};

/// An object that is on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Landed {
    /// Its bytes.
    pub length: u64,
    /// BLAKE3 of it.
    pub root: Hash,
}

/// What is found where an object is to arrive.
#[derive(Debug)]
pub enum Opened {
    /// The object.
    There(Landed),
    /// Nothing yet, or a part.
    Draft(Landing),
}

/// An object that is arriving.
#[derive(Debug)]
pub struct Landing {
    place: PathBuf,
    draft: PathBuf,
    file: Arc<File>,
    /// What the draft has, verified.
    tree: Tree,
    layout: Option<Layout>,
}

impl Landing {
    /// Looks at what is there of the object whose file is to be `place`, and makes its folder if there is none.
    ///
    /// # Errors
    /// [`Error::Busy`] if another has it open, [`Error::Writing`].
    pub async fn open(place: &Path) -> Result<Opened, Error> {
        let place = place.to_owned();
        blocking(move || Self::open_now(place)).await
    }

    fn open_now(place: PathBuf) -> Result<Opened, Error> {
        let failed = |source| Error::Writing { path: place.clone(), source };
        if let Some(landed) = landed(&place).map_err(failed)? {
            return Ok(Opened::There(landed));
        }
        let draft = draft_of(&place);
        let open = || {
            std::fs::create_dir_all(draft.parent().unwrap_or(Path::new(".")))?;
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&draft)
        };
        let file = open().map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // Whoever held the lock may have finished since.
        if let Some(landed) = landed(&place).map_err(failed)? {
            return match std::fs::remove_file(&draft) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed(source)),
                _ => Ok(Opened::There(landed)),
            };
        }
        let tree = tree_of(&file).map_err(failed)?;
        Ok(Opened::Draft(Self { draft, file: Arc::new(file), tree, layout: None, place }))
    }

    /// What is to be sent: all but what is there.
    #[must_use]
    pub fn want(&self) -> Want {
        self.tree.want()
    }

    /// How many blocks are there, verified.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.tree.blocks()
    }

    /// Takes note that an object of `length` bytes comes, from block `from` on.
    ///
    /// # Errors
    /// [`Error::Protocol`] if that is not what was wanted, [`Error::Writing`].
    pub async fn begin(&mut self, length: u64, from: u64) -> Result<(), Error> {
        let layout = Layout { length };
        match from {
            0 => self.tree = Tree::default(),
            from if from == self.tree.blocks() && from <= layout.blocks() && !layout.is_single() => {}
            _ => return Err(Error::Protocol(format!("block {from} comes where {} was wanted", self.tree.blocks()))),
        }
        self.layout = Some(layout);
        let file = Arc::clone(&self.file);
        self.write(move || file.set_len(layout.offset(from))).await
    }

    /// How many bytes the next block has; `None` if there is no next one.
    #[must_use]
    pub fn next(&self) -> Option<usize> {
        let layout = self.layout?;
        (self.tree.blocks() < layout.blocks()).then(|| layout.size(self.tree.blocks()))
    }

    /// Takes the next block, if it is what `hash` says, and gives its memory back. The thread is not blocked: hashing
    /// and writing are done elsewhere.
    ///
    /// # Errors
    /// [`Error::Damaged`], and nothing of it is kept; [`Error::Protocol`] for a block that nobody expects,
    /// [`Error::Writing`].
    pub async fn take(&mut self, bytes: Vec<u8>, hash: Hash) -> Result<Vec<u8>, Error> {
        let block = self.tree.blocks();
        let layout = match (self.layout, self.next()) {
            (Some(layout), Some(next)) if next == bytes.len() => layout,
            _ => return Err(Error::Protocol(format!("{} bytes are no block {block}", bytes.len()))),
        };
        let (file, draft) = (Arc::clone(&self.file), self.draft.clone());
        let taken = blocking(move || {
            if block_hash(layout, block, &bytes) != hash {
                return Err(Error::Damaged(block));
            }
            let written = file.write_all_at(&bytes, layout.offset(block));
            written.map_err(|source| Error::Writing { path: draft, source })?;
            Ok(bytes)
        });
        let bytes = taken.await?;
        self.tree.push(hash);
        Ok(bytes)
    }

    /// Gives the draft the object's name, once it is on the disk.
    ///
    /// # Errors
    /// [`Error::NotWhole`] if it is not what `root` says: then nothing of it goes for good any more.
    /// [`Error::Protocol`] if blocks are missing, [`Error::Writing`].
    pub async fn finish(&mut self, root: Hash) -> Result<Landed, Error> {
        let layout = match (self.layout, self.next()) {
            (Some(layout), None) => layout,
            _ => return Err(Error::Protocol("the end comes before the last block".to_owned())),
        };
        if self.tree.root() != root {
            self.tree = Tree::default();
            return Err(Error::NotWhole);
        }
        let (file, draft, place) = (Arc::clone(&self.file), self.draft.clone(), self.place.clone());
        self.write(move || {
            file.sync_all()?;
            std::fs::rename(&draft, &place)?;
            File::open(place.parent().unwrap_or(Path::new(".")))?.sync_all()
        })
        .await?;
        Ok(Landed { length: layout.length, root })
    }

    async fn write(&self, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), Error> {
        let path = self.draft.clone();
        blocking(|| work().map_err(|source| Error::Writing { path, source })).await
    }
}

/// The draft of an object: a hidden file beside its place.
fn draft_of(place: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(place.file_name().unwrap_or_default());
    name.push(".part");
    place.with_file_name(name)
}

/// The object at `place`, if it is there.
fn landed(place: &Path) -> io::Result<Option<Landed>> {
    match File::open(place) {
        Ok(file) => {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(&file)?;
            Ok(Some(Landed { length: hasher.count(), root: hasher.finalize().into() }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The hashes of a draft's whole blocks, as those of an object that has more than one.
fn tree_of(file: &File) -> io::Result<Tree> {
    let whole = file.metadata()?.len() / BLOCK;
    let layout = Layout { length: u64::MAX };
    let mut tree = Tree::default();
    let mut bytes = vec![0; BLOCK as usize];
    for block in 0..whole {
        let bytes = &mut bytes[..layout.size(block)];
        file.read_exact_at(bytes, layout.offset(block))?;
        tree.push(block_hash(layout, block, bytes));
    }
    Ok(tree)
}

/// Does work that may block where that hurts nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // A panic goes on where it was waited for; a runtime that ends is as good as a lost connection.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::Lost(error.to_string())),
        },
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn some_bytes(length: u64) -> Bytes {
        let mut bytes = vec![0; length as usize];
        fastrand::Rng::with_seed(length).fill(&mut bytes);
        bytes.into()
    }

    fn block(bytes: &Bytes, block: u64) -> (Vec<u8>, Hash) {
        let layout = Layout { length: bytes.len() as u64 };
        let from = layout.offset(block) as usize;
        let bytes = bytes[from..from + layout.size(block)].to_vec();
        let hash = block_hash(layout, block, &bytes);
        (bytes, hash)
    }

    async fn draft(place: &Path) -> Landing {
        match Landing::open(place).await.unwrap() {
            Opened::Draft(landing) => landing,
            Opened::There(landed) => panic!("{landed:?} is there"),
        }
    }

    #[tokio::test]
    async fn an_object_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("job/object");
        let bytes = some_bytes(2 * BLOCK + 5);
        let mut landing = draft(&place).await;
        landing.begin(bytes.len() as u64, 0).await.unwrap();
        for number in 0..3 {
            let (taken, hash) = block(&bytes, number);
            landing.take(taken, hash).await.unwrap();
            assert!(!place.exists());
        }
        let root = *blake3::hash(&bytes).as_bytes();
        let landed = landing.finish(root).await.unwrap();
        assert_eq!(landed, Landed { length: bytes.len() as u64, root });
        assert_eq!(std::fs::read(&place).unwrap(), bytes);
        assert_eq!(std::fs::read_dir(place.parent().unwrap()).unwrap().count(), 1);
        drop(landing);
        assert!(matches!(Landing::open(&place).await, Ok(Opened::There(there)) if there == landed));
    }

    #[tokio::test]
    async fn a_draft_goes_on_behind_its_last_whole_block_and_a_damaged_one_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("object");
        let bytes = some_bytes(3 * BLOCK);
        let mut landing = draft(&place).await;
        landing.begin(bytes.len() as u64, 0).await.unwrap();
        let (taken, hash) = block(&bytes, 0);
        landing.take(taken.clone(), hash).await.unwrap();
        let wrong = some_bytes(BLOCK).to_vec();
        assert!(matches!(landing.take(wrong, block(&bytes, 1).1).await, Err(Error::Damaged(1))));
        assert_eq!(landing.blocks(), 1);
        drop(landing);
        // A torn write behind the first block.
        let mut file = OpenOptions::new().append(true).open(folder.path().join(".object.part")).unwrap();
        io::Write::write_all(&mut file, b"torn").unwrap();
        let mut landing = draft(&place).await;
        assert_eq!(landing.blocks(), 1);
        landing.begin(bytes.len() as u64, 1).await.unwrap();
        for number in 1..3 {
            let (taken, hash) = block(&bytes, number);
            landing.take(taken, hash).await.unwrap();
        }
        landing.finish(*blake3::hash(&bytes).as_bytes()).await.unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), bytes);
    }

    #[tokio::test]
    async fn another_can_t_receive_the_same_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("object");
        let landing = draft(&place).await;
        assert!(matches!(Landing::open(&place).await, Err(Error::Busy)));
        drop(landing);
        draft(&place).await;
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = some_bytes(2 * BLOCK);
        let mut landing = draft(&folder.path().join("object")).await;
        let (taken, hash) = block(&bytes, 0);
        assert!(matches!(landing.take(taken.clone(), hash).await, Err(Error::Protocol(_))), "before the start");
        assert!(matches!(landing.begin(2 * BLOCK, 1).await, Err(Error::Protocol(_))), "a start that was not wanted");
        landing.begin(2 * BLOCK, 0).await.unwrap();
        let short = taken[1..].to_vec();
        assert!(matches!(landing.take(short, hash).await, Err(Error::Protocol(_))), "a block that is too short");
        assert!(matches!(landing.finish(hash).await, Err(Error::Protocol(_))), "an end that comes too soon");
        for number in 0..2 {
            let (taken, hash) = block(&bytes, number);
            landing.take(taken, hash).await.unwrap();
        }
        assert!(matches!(landing.finish([7; 32]).await, Err(Error::NotWhole)));
        assert_eq!(landing.blocks(), 0);
    }
}
