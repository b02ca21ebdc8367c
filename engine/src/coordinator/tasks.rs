//! The tasks of a job, in order of their chunks.

use crate::units::ChunkIndex;

use super::event::NewTask;
use super::task::Task;

/// The tasks of a job, in order of their chunks. Chunks are mostly numbered from 0 on, so that each is found at its place.
#[derive(Debug)]
pub(super) struct Tasks(Vec<(ChunkIndex, Task)>);

impl Tasks {
    /// Refuses a list that names a chunk twice; the error is that chunk.
    pub(super) fn new(new: &[NewTask]) -> Result<Self, ChunkIndex> {
        let mut tasks: Vec<_> = new.iter().map(|it| (it.chunk, Task::new(it.cost, it.needs))).collect();
        tasks.sort_by_key(|(chunk, _)| *chunk);
        match tasks.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(pair[0].0),
            None => Ok(Self(tasks)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, chunk: ChunkIndex) -> Option<&Task> {
        self.place(chunk).map(|place| &self.0[place].1)
    }

    pub(super) fn get_mut(&mut self, chunk: ChunkIndex) -> Option<&mut Task> {
        self.place(chunk).map(|place| &mut self.0[place].1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ChunkIndex, &Task)> {
        self.0.iter().map(|(chunk, task)| (*chunk, task))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Task> {
        self.0.iter_mut().map(|(_, task)| task)
    }

    fn place(&self, chunk: ChunkIndex) -> Option<usize> {
        let place = chunk.0 as usize;
        match self.0.get(place) {
            Some((its, _)) if *its == chunk => Some(place),
            _ => self.0.binary_search_by_key(&chunk, |(its, _)| *its).ok(),
        }
    }
}
