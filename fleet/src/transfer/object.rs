//! What is sent: objects with a known length, read by range, and the origins that know them by id.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::Error;
use super::protocol::ObjectId;

/// Bytes that are read by range. Whoever opens it twice has to get the same bytes.
pub trait Object: Send + Sync {
    /// How many bytes there are.
    fn length(&self) -> u64;

    /// Reads `size` bytes from `offset` on, all of which are there.
    ///
    /// # Errors
    /// They can't be read, or are there no more.
    fn read(&self, offset: u64, size: usize) -> impl Future<Output = io::Result<Bytes>> + Send;
}

/// Knows objects by their ids. It need not keep them: what can be made again from source and plan is as good.
pub trait Origin: Send + Sync + 'static {
    /// What it hands out.
    type Object: Object + 'static;

    /// Opens an object.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Reading`].
    fn open(&self, id: ObjectId) -> impl Future<Output = Result<Self::Object, Error>> + Send;
}

impl<O: Origin> Origin for Arc<O> {
    type Object = O::Object;

    fn open(&self, id: ObjectId) -> impl Future<Output = Result<Self::Object, Error>> + Send {
        O::open(self, id)
    }
}

impl<O: Object> Object for &O {
    fn length(&self) -> u64 {
        O::length(self)
    }

    fn read(&self, offset: u64, size: usize) -> impl Future<Output = io::Result<Bytes>> + Send {
        O::read(self, offset, size)
    }
}

impl<O: Object> Object for Arc<O> {
    fn length(&self) -> u64 {
        O::length(self)
    }

    fn read(&self, offset: u64, size: usize) -> impl Future<Output = io::Result<Bytes>> + Send {
        O::read(self, offset, size)
    }
}

/// Bytes in memory.
impl Object for Bytes {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    async fn read(&self, offset: u64, size: usize) -> io::Result<Bytes> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        match start.checked_add(size) {
            Some(end) if end <= self.len() => Ok(self.slice(start..end)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A file, which must not change while it is read.
#[derive(Clone, Debug)]
pub struct FileObject {
    file: Arc<File>,
    length: u64,
}

impl FileObject {
    /// Opens the file.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), length })
    }
}

impl Object for FileObject {
    fn length(&self) -> u64 {
        self.length
    }

    async fn read(&self, offset: u64, size: usize) -> io::Result<Bytes> {
        let file = Arc::clone(&self.file);
        let read = move || {
            let mut bytes = BytesMut::zeroed(size);
            file.read_exact_at(&mut bytes, offset)?;
            Ok(bytes.freeze())
        };
        tokio::task::spawn_blocking(read).await?
    }
}

/// One stretch of an [`Assembled`] object.
#[derive(Clone, Debug)]
pub enum Part<O> {
    /// Bytes of its own.
    Held(Bytes),
    /// Bytes of another object.
    Range {
        /// The other one.
        of: O,
        /// Where they start in it.
        offset: u64,
        /// How many.
        length: u64,
    },
}

impl<O> Part<O> {
    fn length(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Range { length, .. } => *length,
        }
    }
}

/// An object that is put together while it is read: a head that was made, and ranges of a source. Of the source only
/// what is asked for is read.
#[derive(Clone, Debug)]
pub struct Assembled<O> {
    /// The parts with where they end.
    parts: Vec<(u64, Part<O>)>,
}

impl<O: Object> Assembled<O> {
    /// Puts parts behind each other; empty ones are left out. `None` if they are more bytes than can be counted.
    pub fn new(parts: impl IntoIterator<Item = Part<O>>) -> Option<Self> {
        let mut end = 0_u64;
        let mut placed = Vec::new();
        for part in parts.into_iter().filter(|part| part.length() > 0) {
            end = end.checked_add(part.length())?;
            placed.push((end, part));
        }
        Some(Self { parts: placed })
    }
}

impl<O: Object> Object for Assembled<O> {
    fn length(&self) -> u64 {
        self.parts.last().map_or(0, |(end, _)| *end)
    }

    async fn read(&self, offset: u64, size: usize) -> io::Result<Bytes> {
        let end = offset.checked_add(size as u64).filter(|&end| end <= self.length());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let first = self.parts.partition_point(|(part_end, _)| *part_end <= offset);
        let mut pieces: Vec<Bytes> = Vec::new();
        for (part_end, part) in &self.parts[first..] {
            let part_start = part_end - part.length();
            if part_start >= end {
                break;
            }
            let (from, to) = (offset.max(part_start) - part_start, end.min(*part_end) - part_start);
            pieces.push(match part {
                Part::Held(bytes) => bytes.slice(from as usize..to as usize),
                Part::Range { of, offset, .. } => of.read(offset + from, (to - from) as usize).await?,
            });
        }
        match <[Bytes; 1]>::try_from(pieces) {
            Ok([only]) => Ok(only),
            Err(pieces) => Ok(pieces.concat().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// Notes what is read.
    struct Watched {
        bytes: Bytes,
        read: Mutex<Vec<(u64, usize)>>,
    }

    impl Object for Watched {
        fn length(&self) -> u64 {
            self.bytes.length()
        }

        async fn read(&self, offset: u64, size: usize) -> io::Result<Bytes> {
            self.read.lock().unwrap().push((offset, size));
            self.bytes.read(offset, size).await
        }
    }

    #[test]
    fn of_a_source_only_the_ranges_that_are_asked_for_are_read() {
        let source = Arc::new(Watched { bytes: (0..200_u8).collect(), read: Mutex::default() });
        let range = |offset, length| Part::Range { of: Arc::clone(&source), offset, length };
        let object =
            Assembled::new([Part::Held(Bytes::from_static(b"head")), range(50, 10), range(0, 0), range(10, 5)]);
        let object = object.unwrap();
        assert_eq!(object.length(), 19);
        assert_eq!(wait(object.read(0, 4)).unwrap(), "head");
        assert!(source.read.lock().unwrap().is_empty());
        assert_eq!(*wait(object.read(12, 4)).unwrap(), [58, 59, 10, 11]);
        assert_eq!(*source.read.lock().unwrap(), [(58, 2), (10, 2)]);
        assert!(wait(object.read(12, 8)).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_what_the_parts_say(
            parts in prop::collection::vec((any::<bool>(), 0..90_u64, 0..10_u64), 0..8),
            at in 0..100_u64,
            size in 0..50_usize,
        ) {
            let source: Bytes = (0..100_u8).collect();
            let parts = parts.into_iter().map(|(held, offset, length)| match held {
                true => Part::Held(source.slice(offset as usize..(offset + length) as usize)),
                false => Part::Range { of: source.clone(), offset, length },
            });
            let parts: Vec<_> = parts.collect();
            let whole: Vec<u8> = parts.iter().flat_map(|part| match part {
                Part::Held(bytes) => bytes.to_vec(),
                Part::Range { of, offset, length } => of[*offset as usize..(offset + length) as usize].to_vec(),
            }).collect();
            let object = Assembled::new(parts).unwrap();
            prop_assert_eq!(object.length(), whole.len() as u64);
            let there = whole.get(at as usize..at as usize + size);
            let read = wait(object.read(at, size)).ok();
            prop_assert_eq!(read.as_deref(), there);
        }
    }
}
