//! Where samples go as they are encoded: files in the task's spool folder, or whatever else can take them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use vtp_engine::chunk::{EncodeTask, Sample};
use vtp_engine::ladder::{Method, Rendition, Search};

/// Takes the samples of encodings. Renditions of one task are written from several threads at once, each by its own
/// writer.
pub trait Spool: Sync {
    /// Begins the encoding of `task` to `rendition`, from nothing: what an earlier attempt wrote is gone.
    ///
    /// # Errors
    /// Nothing can be written.
    fn begin(&self, task: &EncodeTask, rendition: &Rendition) -> io::Result<Box<dyn SpoolWriter + '_>>;
}

/// Takes the samples of one encoding, in decode order.
pub trait SpoolWriter {
    /// Takes the next sample.
    ///
    /// # Errors
    /// It can't be written.
    fn write(&mut self, sample: Sample, bytes: &[u8]) -> io::Result<()>;

    /// Makes all samples durable, and tells where their bytes stand back to back.
    ///
    /// # Errors
    /// They can't be made durable.
    fn finish(self: Box<Self>) -> io::Result<PathBuf>;
}

/// Files in the task's spool folder, which has to exist.
#[derive(Clone, Copy, Debug)]
pub enum SpoolFolder {
    /// Synced to the disk.
    Durable,
    /// As far as the system has them.
    Buffered,
}

impl Spool for SpoolFolder {
    fn begin(&self, task: &EncodeTask, rendition: &Rendition) -> io::Result<Box<dyn SpoolWriter + '_>> {
        let path = task.spool.join(name(rendition));
        // A file of an earlier attempt may be linked from elsewhere, too: it is replaced, not overwritten.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = BufWriter::with_capacity(1 << 18, File::create_new(&path)?);
        Ok(Box::new(SpoolFile { path, file, durability: *self }))
    }
}

/// The name of the file that [`SpoolFolder`] writes `rendition` to. Another way to make it is another file: the better
/// one is chosen in the end.
pub(crate) fn name(rendition: &Rendition) -> String {
    let name = &rendition.name;
    match &rendition.method {
        Method::Capped { crf, search: Search::Preset, .. } => format!("{name}.crf-{crf}.samples"),
        Method::Capped { crf, search: Search::Thorough, .. } => format!("{name}.crf-{crf}-thorough.samples"),
        Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => format!("{name}.samples"),
    }
}

struct SpoolFile {
    path: PathBuf,
    file: BufWriter<File>,
    durability: SpoolFolder,
}

impl SpoolWriter for SpoolFile {
    fn write(&mut self, _: Sample, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn finish(self: Box<Self>) -> io::Result<PathBuf> {
        let Self { path, file, durability } = *self;
        let file = file.into_inner().map_err(|error| error.into_error())?;
        match durability {
            SpoolFolder::Durable => file.sync_all()?,
            SpoolFolder::Buffered => {}
        }
        Ok(path)
    }
}
