//! What all runs share: an authority with certificates, an object, places for it to arrive at.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use bytes::Bytes;
use tempfile::TempDir;
use vtp_engine::coordinator::JobId;
use vtp_engine::units::{Attempt, ChunkIndex};
use vtp_fleet::ca::{Authority, Request};
use vtp_fleet::credentials::Credentials;
use vtp_fleet::identity::{Identity, Role};
use vtp_fleet::transfer::{Error, Kind, Landed, ObjectId, Origin};

pub(super) struct Scene {
    pub(super) splitter: Credentials,
    pub(super) node: Credentials,
    folder: TempDir,
}

impl Scene {
    /// Objects arrive below `scratch`.
    pub(super) fn new(scratch: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(scratch)?;
        let authority = Authority::init(&folder.path().join("ca"), 1)?;
        let credentials = |role, hosts: &[&str]| -> Result<Credentials> {
            let identity = Identity { role, name: "bench".parse()? };
            let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
            Ok(Credentials::new(&authority.issue(&Request { identity, hosts, days: 1 })?)?)
        };
        Ok(Self { splitter: credentials(Role::Splitter, &["127.0.0.1"])?, node: credentials(Role::Node, &[])?, folder })
    }

    pub(super) fn place(&self, chunk: u32) -> PathBuf {
        self.folder.path().join(format!("{chunk}.packets"))
    }
}

pub(super) fn id(chunk: u32) -> ObjectId {
    ObjectId { job: JobId(1), chunk: ChunkIndex(chunk), attempt: Attempt(1), kind: Kind::Packets }
}

/// Bytes that nothing compresses.
pub(super) fn some_bytes(length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes.into()
}

/// Has the same object for every id.
#[derive(Clone)]
pub(super) struct Same(pub(super) Bytes);

impl Origin for Same {
    type Object = Bytes;

    async fn open(&self, _: ObjectId) -> Result<Bytes, Error> {
        Ok(self.0.clone())
    }
}

/// Makes sure that an object arrived as it was sent, and takes it away.
pub(super) fn settle(place: &Path, landed: Landed, object: &Bytes) -> Result<()> {
    ensure!(landed.length == object.len() as u64, "{} bytes arrived of {}", landed.length, object.len());
    std::fs::remove_file(place)?;
    Ok(())
}
