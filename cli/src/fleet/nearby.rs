//! A fleet of this machine alone: packets are packed, encoded from their archive by children that never see the source, and
//! what they made is delivered and taken apart, as between machines.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use vtp_engine::chunk::{EncodeTask, EncodedChunk};
use vtp_splitter::Source;

use crate::child::{self, Pool};
use crate::encode::driver::{ChunkError, Fleet, Pack};
use crate::encode::failure::EncodeFailure;
use crate::place::Place;
use crate::work::{self, ChunkOrder, Workplace};

/// The children that encode, beside those that have the source.
pub struct Nearby {
    /// They know of no source.
    pub children: Pool,
}

impl Fleet for Nearby {
    fn run(&self) -> Option<u64> {
        None
    }

    /// Whoever has the source looks into it.
    fn index(&self, _: &Place, _: Option<&str>, _: &AtomicBool) -> Result<Option<Source>, EncodeFailure> {
        Ok(None)
    }

    fn carry_out(&self, order: &ChunkOrder, pack: &Pack<'_>, stop: &AtomicBool) -> Result<EncodedChunk, ChunkError> {
        let (task, folder) = (&order.task, order.task.spool.join("there"));
        let within = |name: &str| folder.join(name);
        std::fs::create_dir_all(&folder).map_err(unwritten(&folder))?;
        let (archive, delivery) = (within("packets"), within("delivery"));
        pack(&archive)?;
        let travels = ChunkOrder { task: EncodeTask { spool: PathBuf::new(), ..task.clone() }, ..order.clone() };
        let place = Workplace { archive: &archive, folder: &folder, delivery: &delivery };
        work::from_archive(&travels, place, &self.children, stop)?;
        let chunk = work::unpack(&delivery, task)?;
        std::fs::remove_dir_all(&folder).map_err(unwritten(&folder))?;
        Ok(chunk)
    }
}

fn unwritten(path: &Path) -> impl Fn(std::io::Error) -> ChunkError {
    move |error| ChunkError::Child(child::Error::Spool { path: path.to_owned(), error })
}
