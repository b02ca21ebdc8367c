//! A source as the parent has it: opened, sized and named, ready to be given to children. The parent reads none of it itself.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vtp_engine::limits::Limits;
use vtp_engine::media::demux::cannot_open;

use super::error::Error;
use super::messages::{Failure, Given};
use super::served::Serving;
use super::wire;
use crate::place::Place;
use crate::stores::{StoreFile, Stores};

/// A source that is open. Clones share it.
#[derive(Clone)]
pub(crate) struct Input {
    given: Given,
    size: u64,
    bytes: Bytes,
}

/// Where a source's bytes are.
#[derive(Clone)]
pub(crate) enum Bytes {
    /// In a file of this machine.
    File(Arc<File>),
    /// In a store.
    Store(Arc<StoreFile>),
}

impl Input {
    /// Opens what is at `place`, of which so much is taken on as `limits` say.
    ///
    /// # Errors
    /// It can't be opened.
    pub(super) fn open(place: &Place, limits: Limits, stores: &Stores) -> Result<Self, Error> {
        // Only people read it, and what guesses a format by its ending.
        let name = PathBuf::from(place.name().to_string_lossy().into_owned());
        let (bytes, size, served) = match place {
            Place::Path(path) => {
                let (file, size) = open_file(path)?;
                (Bytes::File(Arc::new(file)), size, None)
            }
            Place::Store(location) => {
                let file = stores.open(location)?;
                let size = file.found().size;
                (Bytes::Store(Arc::new(file)), size, Some(size))
            }
        };
        Ok(Self { given: Given { name, limits, served }, size, bytes })
    }

    /// What a child is told of it.
    pub(super) fn given(&self) -> &Given {
        &self.given
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Sends what it is read by to the child at the other end of `stream`. A source that is no file is served from then on.
    ///
    /// # Errors
    /// The child is gone, or there is nothing to serve it by.
    pub(super) fn give(&self, stream: &UnixStream) -> io::Result<Option<Arc<Serving>>> {
        match &self.bytes {
            Bytes::File(file) => wire::send_descriptor(stream, file).map(|()| None),
            Bytes::Store(file) => {
                let (serving, theirs) = Serving::start(Arc::clone(file))?;
                wire::send_descriptor(stream, &theirs)?;
                Ok(Some(serving))
            }
        }
    }

    /// Where its bytes are.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

fn open_file(path: &Path) -> Result<(File, u64), Error> {
    let opened = File::open(path).and_then(|file| {
        let size = file.metadata()?.len();
        Ok((file, size))
    });
    opened.map_err(|error| Failure::Source(cannot_open(path, &error).into()).into())
}
