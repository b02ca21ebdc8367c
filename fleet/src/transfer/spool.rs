//! Where what is delivered goes: a spool gives every object its place on the disk.

use std::path::PathBuf;

use vtp_engine::coordinator::JobId;

use super::Error;
use super::object::Origin;
use super::protocol::{Kind, ObjectId};

/// Knows where objects have their places. No two have the same.
pub trait Spool: Send + Sync + 'static {
    /// The file that an object is to become.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for an object that has no place here.
    fn place(&self, id: ObjectId) -> Result<PathBuf, Error>;

    /// Most bytes that an object may have.
    fn most(&self) -> u64;
}

/// A folder that takes what was made: a folder for each job, and a file for each attempt at each chunk.
#[derive(Clone, Debug)]
pub struct FolderSpool {
    /// The folder.
    pub folder: PathBuf,
    /// Most bytes of an object.
    pub most: u64,
}

impl FolderSpool {
    /// The folder of a job. It is there if anything of the job is.
    #[must_use]
    pub fn folder_of(&self, job: JobId) -> PathBuf {
        self.folder.join(job.0.to_string())
    }
}

impl Spool for FolderSpool {
    fn place(&self, id: ObjectId) -> Result<PathBuf, Error> {
        let ObjectId { job, chunk, attempt, kind } = id;
        match kind {
            Kind::Encoded => Ok(self.folder_of(job).join(format!("{}.{}.encoded", chunk.0, attempt.0))),
            Kind::Index => Ok(self.folder_of(job).join(format!("{}.{}.index", chunk.0, attempt.0))),
            Kind::Packets => Err(Error::Forbidden("packets are fetched, and delivered nowhere".to_owned())),
        }
    }

    fn most(&self) -> u64 {
        self.most
    }
}

/// Knows no object and takes none: for a server that does one thing only.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Spool for Nothing {
    fn place(&self, _: ObjectId) -> Result<PathBuf, Error> {
        Err(Error::Forbidden("this peer takes nothing in".to_owned()))
    }

    fn most(&self) -> u64 {
        0
    }
}

impl Origin for Nothing {
    type Object = bytes::Bytes;

    async fn open(&self, id: ObjectId) -> Result<bytes::Bytes, Error> {
        Err(Error::NotFound(id))
    }
}

/// Refuses what is larger than a spool takes.
pub(crate) fn check_size(length: u64, most: u64) -> Result<(), Error> {
    match length <= most {
        true => Ok(()),
        false => Err(Error::TooLarge { length, most }),
    }
}

#[cfg(test)]
mod tests {
    use vtp_engine::units::{Attempt, ChunkIndex};

    use super::*;

    #[test]
    fn each_attempt_has_a_place_of_its_own() {
        let spool = FolderSpool { folder: "spool".into(), most: 10 };
        let id = |attempt, kind| ObjectId { job: JobId(7), chunk: ChunkIndex(3), attempt: Attempt(attempt), kind };
        assert_eq!(spool.place(id(1, Kind::Encoded)).unwrap(), PathBuf::from("spool/7/3.1.encoded"));
        assert_eq!(spool.place(id(2, Kind::Encoded)).unwrap(), PathBuf::from("spool/7/3.2.encoded"));
        assert_eq!(spool.place(id(1, Kind::Index)).unwrap(), PathBuf::from("spool/7/3.1.index"));
        assert!(matches!(spool.place(id(1, Kind::Packets)), Err(Error::Forbidden(_))));
    }
}
