//! Names that are part of subjects, and the name of an attempt.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};
use vtp_engine::coordinator::{JobId, TaskId};
use vtp_engine::units::{Attempt, ChunkIndex};

/// A word that can't be part of a subject.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name:?} is no name of a {what}: use 1 to {most} of a-z, A-Z, 0-9, - and _")]
pub struct NoName {
    name: String,
    what: &'static str,
    most: usize,
}

fn fits(name: &str, most: usize) -> bool {
    (1..=most).contains(&name.len()) && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
}

/// A node, by a name that nobody else in the fleet has.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct NodeId(String);

/// A pool: nodes that can do the same, by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct Pool(String);

macro_rules! name {
    ($name:ident, $what:literal, $most:literal) => {
        impl $name {
            /// This name.
            ///
            /// # Errors
            /// [`NoName`], for a word that can't be part of a subject.
            pub fn new(name: impl Into<String>) -> Result<Self, NoName> {
                let name = Self(name.into());
                if name.is_valid() { Ok(name) } else { Err(NoName { name: name.0, what: $what, most: $most }) }
            }

            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub(super) fn is_valid(&self) -> bool {
                fits(&self.0, $most)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(NodeId, "node", 64);
name!(Pool, "pool", 32);

/// What a job's number says. Jobs of one life of a client, its *session*, are tended by it: where nobody asks about them for a
/// while they are cancelled. Others are kept, whatever becomes of who wanted them.
///
/// ```text
///  63        62 ... 32          31 ... 0
///  1                random                 kept
///  0         session (not 0)    count      tended
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobNumber(pub u64);

const KEPT: u64 = 1 << 63;

impl JobNumber {
    /// A number by chance for a job that is kept: 63 bits, so that two are hardly the same.
    pub fn kept(random: u64) -> Self {
        Self(random | KEPT)
    }

    /// The number of a session's job. Of the session's number 31 bits count, and are not all 0.
    pub fn tended(session: u32, count: u32) -> Self {
        Self((u64::from(session) << 32 | u64::from(count)) & !KEPT)
    }

    /// The session that tends the job, if one does.
    pub fn session(self) -> Option<u32> {
        u32::try_from(self.0 >> 32).ok().filter(|_| self.0 & KEPT == 0)
    }
}

/// One try at one task.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct AttemptId {
    /// The job.
    pub job: u64,
    /// The chunk.
    pub chunk: u32,
    /// Which try, from 1.
    pub attempt: u32,
}

impl AttemptId {
    /// The task that is tried.
    pub fn task(self) -> TaskId {
        TaskId { job: JobId(self.job), chunk: ChunkIndex(self.chunk) }
    }

    /// Which try.
    pub fn attempt(self) -> Attempt {
        Attempt(self.attempt)
    }
}

impl From<(TaskId, Attempt)> for AttemptId {
    fn from((task, attempt): (TaskId, Attempt)) -> Self {
        Self { job: task.job.0, chunk: task.chunk.0, attempt: attempt.0 }
    }
}

/// `job:chunk:attempt`, which is what the bus knows duplicates by.
impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.job, self.chunk, self.attempt)
    }
}
