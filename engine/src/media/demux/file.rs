//! The source's bytes, and FFmpeg reading them through us: a file is opened once, by whoever may, and every container reads it
//! at a place of its own. FFmpeg itself opens nothing.

use std::ffi::{c_int, c_void};
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Seek as _};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use ffmpeg_next::ffi;

use crate::limits::Limits;
use crate::media::{Error, Kind};

/// Bytes that are read at any place, by several at a time.
pub trait ReadAt: Debug + Send + Sync {
    /// Reads from `place` on, as [`std::os::unix::fs::FileExt::read_at`] does; nothing only at the end.
    ///
    /// # Errors
    /// They can't be read; not that somebody interrupted it.
    fn read_at(&self, into: &mut [u8], place: u64) -> io::Result<usize>;

    /// How many there are by now.
    ///
    /// # Errors
    /// It can't be told.
    fn size(&self) -> io::Result<u64>;
}

impl ReadAt for File {
    fn read_at(&self, into: &mut [u8], place: u64) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, into, place) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// By seeking, which a confined process may.
    fn size(&self) -> io::Result<u64> {
        (&*self).seek(io::SeekFrom::End(0))
    }
}

/// A source's file, or what is read like one.
#[derive(Clone, Debug)]
pub struct SourceFile {
    bytes: Arc<dyn ReadAt>,
    name: Arc<Path>,
    size: u64,
    limits: Limits,
}

impl SourceFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] with a sentence when there is none, or it may not be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        File::open(path).and_then(|file| Self::of(file, path)).map_err(|error| cannot_open(path, &error))
    }

    /// Bytes that are called `name`. The name is told to people, and its ending to FFmpeg; nothing is opened by it.
    ///
    /// # Errors
    /// Their number can't be told.
    pub fn of(bytes: impl ReadAt + 'static, name: &Path) -> io::Result<Self> {
        let size = bytes.size()?;
        Ok(Self { bytes: Arc::new(bytes), name: name.into(), size, limits: Limits::default() })
    }

    /// The same file, of which so much is taken.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// How much of it is taken.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Its bytes.
    pub fn bytes(&self) -> &dyn ReadAt {
        &*self.bytes
    }

    /// What it is called.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Its size in bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether it has another size by now.
    pub fn has_changed_size(&self) -> bool {
        self.bytes.size().is_ok_and(|size| size != self.size)
    }

    /// Its first bytes, as many as `head` holds; `false` if it has fewer.
    pub(super) fn head(&self, head: &mut [u8]) -> bool {
        let mut filled = 0;
        while filled < head.len() {
            match self.bytes.read_at(&mut head[filled..], filled as u64) {
                Ok(0) | Err(_) => return false,
                Ok(count) => filled += count,
            }
        }
        true
    }
}

/// Why the file at `path` can't be opened, in a sentence.
pub fn cannot_open(path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    let why = match error.kind() {
        io::ErrorKind::NotFound => format!("there is no file {path}"),
        io::ErrorKind::PermissionDenied => format!("{path} may not be read by this user"),
        _ => format!("{path} can't be read: {error}"),
    };
    Error::new(Kind::Unsupported, why)
}

/// Why the file at `path` can't be read on, in a sentence.
fn cannot_read(path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::IsADirectory => Kind::Unsupported,
        _ => Kind::Retryable,
    };
    Error::new(kind, format!("{} can't be read: {error}", path.display()))
}

/// Bytes that are read at a time.
const BLOCK: usize = 1 << 18;

/// The last place that a whole block can be asked for at.
const FARTHEST: u64 = i64::MAX as u64 - BLOCK as u64;

/// Reads a [`SourceFile`] for one open container.
pub(super) struct Reading {
    context: NonNull<ffi::AVIOContext>,
    // Behind `context`, which refers to it.
    cursor: NonNull<Cursor>,
}

struct Cursor {
    file: SourceFile,
    position: u64,
    /// Where bytes come first, at most [`BLOCK`] of them: FFmpeg goes on using what is in its own memory when there is
    /// nothing more to read.
    block: Vec<u8>,
    /// Why bytes could not be read, if that was so. Nothing is read after it: what FFmpeg makes of a gap is worth nothing.
    failed: Option<io::Error>,
}

impl Cursor {
    fn new(file: SourceFile) -> Self {
        Self { file, position: 0, block: Vec::new(), failed: None }
    }

    /// Reads so many bytes, or fewer, into the block; none at the end. `None` when they can't be read.
    fn read(&mut self, size: usize) -> Option<&[u8]> {
        if self.failed.is_some() {
            return None;
        }
        // A damaged container may send us where no file reaches, and the system calls that an error.
        if self.position > FARTHEST {
            return Some(&[]);
        }
        let size = size.min(BLOCK);
        if self.block.len() < size {
            self.block.resize(size, 0);
        }
        match self.file.bytes.read_at(&mut self.block[..size], self.position) {
            Ok(count) => {
                let read = &self.block[..count.min(size)];
                self.position += read.len() as u64;
                Some(read)
            }
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }
}

// SAFETY: context and cursor are owned, bound to no thread, and used by one at a time (`Reading` is not `Sync`).
unsafe impl Send for Reading {}

impl Reading {
    /// From the start of `file`.
    ///
    /// # Errors
    /// Lack of memory.
    pub(super) fn new(file: SourceFile) -> Result<Self, Error> {
        let no_memory = || Error::new(Kind::Retryable, "no memory to read the source with");
        let size = c_int::try_from(BLOCK).map_err(|_| no_memory())?;
        // SAFETY: the buffer is the context's own from here on, or freed; the cursor lives until the context is gone,
        // and only the two callbacks, which are called from within calls on the context, touch it.
        unsafe {
            let buffer = ffi::av_malloc(BLOCK);
            let cursor = NonNull::from(Box::leak(Box::new(Cursor::new(file))));
            let context = match buffer.is_null() {
                true => ptr::null_mut(),
                false => ffi::avio_alloc_context(
                    buffer.cast(),
                    size,
                    0,
                    cursor.as_ptr().cast(),
                    Some(read),
                    None,
                    Some(seek),
                ),
            };
            match NonNull::new(context) {
                Some(context) => Ok(Self { context, cursor }),
                None => {
                    ffi::av_free(buffer);
                    drop(Box::from_raw(cursor.as_ptr()));
                    Err(no_memory())
                }
            }
        }
    }

    /// That all bytes that were asked for came.
    ///
    /// # Errors
    /// [`Kind::Retryable`] when some could not be read.
    pub(super) fn check(&self) -> Result<(), Error> {
        // SAFETY: the cursor lives as long as `self`; the callbacks, which alone change it, run within calls on the
        // context, of which there is none now.
        let cursor = unsafe { self.cursor.as_ref() };
        cursor.failed.as_ref().map_or(Ok(()), |error| Err(cannot_read(cursor.file.name(), error)))
    }

    /// For the `pb` of a container that is closed before `self` is dropped.
    pub(super) fn as_mut_ptr(&mut self) -> *mut ffi::AVIOContext {
        self.context.as_ptr()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // SAFETY: no container uses the context any more. Its buffer may be another than it began with, and is its own
        // to the end; the cursor was leaked by `new` and nobody refers to it now.
        unsafe {
            let mut context = self.context.as_ptr();
            ffi::av_freep(ptr::addr_of_mut!((*context).buffer).cast());
            ffi::avio_context_free(&mut context);
            drop(Box::from_raw(self.cursor.as_ptr()));
        }
    }
}

/// What FFmpeg calls to read on. Where nothing is read, nothing is written: at the end of a file it goes back to what is in
/// the buffer still.
unsafe extern "C" fn read(opaque: *mut c_void, into: *mut u8, size: c_int) -> c_int {
    // SAFETY: `opaque` is the cursor (see `Reading::new`).
    let cursor = unsafe { &mut *opaque.cast::<Cursor>() };
    match cursor.read(usize::try_from(size).unwrap_or(0)) {
        // What went wrong is kept; FFmpeg need only stop.
        None => -ffi::EIO,
        Some([]) => ffi::AVERROR_EOF,
        Some(read) => {
            // SAFETY: `into` has room for `size` bytes, and is none of ours.
            unsafe { ptr::copy_nonoverlapping(read.as_ptr(), into, read.len()) };
            // No more than `size`.
            read.len() as c_int
        }
    }
}

/// What FFmpeg calls to read elsewhere, or to learn the size.
unsafe extern "C" fn seek(opaque: *mut c_void, offset: i64, whence: c_int) -> i64 {
    // SAFETY: `opaque` is the cursor (see `Reading::new`).
    let cursor = unsafe { &mut *opaque.cast::<Cursor>() };
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let from = match whence & !ffi::AVSEEK_FORCE {
        ffi::AVSEEK_SIZE => return signed(cursor.file.size),
        ffi::SEEK_SET => 0,
        ffi::SEEK_CUR => signed(cursor.position),
        ffi::SEEK_END => signed(cursor.file.size),
        _ => return i64::from(-ffi::EINVAL),
    };
    match from.checked_add(offset).and_then(|place| u64::try_from(place).ok()) {
        Some(place) => {
            cursor.position = place;
            signed(place)
        }
        None => i64::from(-ffi::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_at_the_end_leaves_what_was_read_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("five");
        std::fs::write(&path, [1, 2, 3, 4, 5]).unwrap();
        let file = SourceFile::open(&path).unwrap();
        let mut cursor = Cursor { position: 2, ..Cursor::new(file) };
        let mut buffer = [9_u8; 8];
        // SAFETY: the cursor is one, and the buffer has room for as many bytes as are asked for.
        let mut next = || unsafe { read(ptr::from_mut(&mut cursor).cast(), buffer.as_mut_ptr(), 8) };
        assert_eq!([next(), next()], [3, ffi::AVERROR_EOF]);
        assert_eq!(buffer, [3, 4, 5, 9, 9, 9, 9, 9]);
    }

    #[test]
    fn where_no_file_reaches_is_the_end_and_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("five");
        std::fs::write(&path, [1, 2, 3, 4, 5]).unwrap();
        let mut cursor = Cursor::new(SourceFile::open(&path).unwrap());
        for position in [6, 1 << 50, FARTHEST, i64::MAX as u64] {
            cursor.position = position;
            assert_eq!(cursor.read(BLOCK), Some(&[][..]), "{position}");
        }
    }
}
