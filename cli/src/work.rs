//! A chunk encoded by a child: once, or until it is good enough. The same on every machine, whether the child reads the source
//! or an archive of the chunk's packets, and the same bytes come of it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use vtp_encoder_node::cache::{Cache, SourceHash};
use vtp_encoder_node::{self as node, Observer, SpoolFolder};
use vtp_engine::chunk::{EncodeTask, EncodedChunk, StageCpu};
use vtp_engine::coordinator::Variant;
use vtp_engine::delivery;

use crate::child::{self, Child, Pool};

/// What is to be made of which packets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkOrder {
    /// The renditions of the chunk. Where it travels, its spool folder is empty: every machine has its own.
    pub task: EncodeTask,
    /// The packets that it is made from.
    pub packets: Range<u32>,
    /// With which settings.
    pub variant: Variant,
    /// Whether renditions are encoded until they are good enough, or once, whatever comes of it.
    pub until_good: bool,
}

/// A child, and what it works on.
pub(crate) struct Hand<'a> {
    pub(crate) child: &'a mut Child,
    pub(crate) stop: &'a AtomicBool,
    /// Where encodings are kept for later, if they are.
    pub(crate) kept: Option<Kept<'a>>,
}

/// Where encodings are kept, and what they are made from.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) source: SourceHash,
    pub(crate) extradata: &'a [u8],
}

impl Hand<'_> {
    /// Carries `order` out. The samples lie in its spool folder then, which exists.
    pub(crate) fn carry_out(
        &mut self,
        order: &ChunkOrder,
        observer: &dyn Observer,
    ) -> Result<EncodedChunk, child::Error> {
        // Only the first time counts as progress.
        let mut observer = observer;
        let mut once = |task: &EncodeTask| self.once(order, task, std::mem::replace(&mut observer, &()));
        match order.until_good {
            true => node::encode_until_good(&order.task, once),
            false => once(&order.task),
        }
    }

    /// Encodes the renditions of `task` that are not kept from an earlier time.
    fn once(
        &mut self,
        order: &ChunkOrder,
        task: &EncodeTask,
        observer: &dyn Observer,
    ) -> Result<EncodedChunk, child::Error> {
        let kept = self.kept;
        let mut encode = |task: &EncodeTask| self.now(order, task, observer);
        match kept {
            Some(Kept { cache, source, extradata }) => cache.encode(&source, extradata, task, observer, encode),
            None => encode(task),
        }
    }

    /// Where an attempt has failed before, the next makes one rendition at a time: fewer threads, less memory, and the
    /// same bytes.
    fn now(
        &mut self,
        order: &ChunkOrder,
        task: &EncodeTask,
        observer: &dyn Observer,
    ) -> Result<EncodedChunk, child::Error> {
        let mut encode = |task: &EncodeTask| {
            self.child.encode(task, order.packets.clone(), &SpoolFolder::Durable, observer, self.stop)
        };
        if order.variant == Variant::Usual {
            return encode(task);
        }
        let mut whole =
            EncodedChunk { chunk: task.chunk, attempt: task.attempt, renditions: Vec::new(), cpu: StageCpu::default() };
        for rendition in &task.renditions {
            let EncodedChunk { renditions, cpu, .. } =
                encode(&EncodeTask { renditions: vec![rendition.clone()], ..task.clone() })?;
            whole.renditions.extend(renditions);
            whole.cpu += cpu;
        }
        Ok(whole)
    }
}

/// Where a chunk is worked on that lies in an archive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workplace<'a> {
    /// The archive of its packets.
    pub(crate) archive: &'a Path,
    /// A folder, which exists, for what is between.
    pub(crate) folder: &'a Path,
    /// The file for what is to be delivered.
    pub(crate) delivery: &'a Path,
}

/// Encodes a chunk from the archive of its packets, and writes what is to be delivered.
///
/// # Errors
/// Those of the children; files that can't be written.
pub(crate) fn from_archive(
    order: &ChunkOrder,
    Workplace { archive, folder, delivery }: Workplace<'_>,
    children: &Pool,
    stop: &AtomicBool,
) -> Result<(), child::Error> {
    let order = ChunkOrder { task: EncodeTask { spool: folder.to_owned(), ..order.task.clone() }, ..order.clone() };
    let adoption = children.adoption_of_chunk(archive)?;
    let chunk = children.lent_with(&adoption, stop, |child| Hand { child, stop, kept: None }.carry_out(&order, &()))?;
    deliver(&chunk, delivery).map_err(|error| child::Error::Spool { path: delivery.to_owned(), error })
}

/// Writes a chunk, its samples behind it, to one file.
fn deliver(chunk: &EncodedChunk, to: &Path) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, File::create(to)?);
    delivery::write_head(&mut out, chunk)?;
    for rendition in &chunk.renditions {
        io::copy(&mut File::open(&rendition.spool)?, &mut out)?;
        std::fs::remove_file(&rendition.spool)?;
    }
    out.flush()
}

/// Takes what was delivered for `task` apart again: the samples lie in its spool folder then, which exists.
///
/// # Errors
/// [`delivery::Error`]: what was delivered is something else, or damaged.
pub(crate) fn unpack(from: &Path, task: &EncodeTask) -> Result<EncodedChunk, delivery::Error> {
    let mut input = BufReader::with_capacity(1 << 18, File::open(from)?);
    let mut chunk = delivery::read_head(&mut input, task)?;
    let sizes = delivery::sizes(&chunk);
    for (place, (rendition, size)) in chunk.renditions.iter_mut().zip(sizes).enumerate() {
        let path: PathBuf = task.spool.join(format!("{place}.samples"));
        let mut out = File::create(&path)?;
        if io::copy(&mut (&mut input).take(size), &mut out)? < size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        out.sync_all()?;
        rendition.spool = path;
    }
    match input.read(&mut [0])? {
        0 => Ok(chunk),
        _ => Err(delivery::Error::Damaged("something stands behind its samples".to_owned())),
    }
}
