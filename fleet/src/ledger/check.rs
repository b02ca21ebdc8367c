//! Whether records agree with what is known, and with each other. Pure.

use std::collections::HashMap;

use super::record::{Record, Submission};
use super::{Error, State};
use crate::messages::AttemptId;

/// What records before the one in question would change.
#[derive(Default)]
struct Ahead<'a> {
    /// Whether a job has ended; `None` where it is forgotten.
    jobs: HashMap<u64, Option<bool>>,
    new: HashMap<u64, &'a Submission>,
    /// How often a task was given out, and whether it is accepted.
    tasks: HashMap<(u64, u32), (usize, bool)>,
}

/// # Errors
/// [`Error::Conflict`] for the first record that doesn't agree.
pub(super) fn check(state: &State, records: &[Record]) -> Result<(), Error> {
    let mut ahead = Ahead::default();
    for record in records {
        ahead.take(state, record).map_err(Error::Conflict)?;
    }
    Ok(())
}

impl<'a> Ahead<'a> {
    fn take(&mut self, state: &State, record: &'a Record) -> Result<(), String> {
        match record {
            Record::Claimed { .. } | Record::Kept(_) => Err("a driver doesn't write that".to_owned()),
            Record::Submitted(submission) => self.submit(state, submission),
            Record::Leased { id, .. } => {
                let (given, accepted) = self.open_task(state, *id)?;
                if accepted || id.attempt as usize != given + 1 {
                    return Err(format!("attempt {id} is given out after {given}, accepted: {accepted}"));
                }
                self.tasks.insert((id.job, id.chunk), (given + 1, false));
                Ok(())
            }
            Record::Accepted { id, .. } => {
                let (given, accepted) = self.open_task(state, *id)?;
                if accepted || !(1..=given).contains(&(id.attempt as usize)) {
                    return Err(format!("attempt {id} is accepted, of {given}, accepted before: {accepted}"));
                }
                self.tasks.insert((id.job, id.chunk), (given, true));
                Ok(())
            }
            Record::Failed { id, .. } => {
                let (given, _) = self.open_task(state, *id)?;
                if (1..=given).contains(&(id.attempt as usize)) {
                    Ok(())
                } else {
                    Err(format!("attempt {id} has failed, of {given}"))
                }
            }
            Record::Ended { job, .. } => match self.ended(state, *job)? {
                true => Err(format!("job {job} has ended before")),
                false => {
                    self.jobs.insert(*job, Some(true));
                    Ok(())
                }
            },
            Record::Forgotten { job } => match self.ended(state, *job)? {
                true => {
                    self.jobs.insert(*job, None);
                    Ok(())
                }
                false => Err(format!("job {job} has not ended")),
            },
        }
    }

    fn submit(&mut self, state: &State, submission: &'a Submission) -> Result<(), String> {
        let job = submission.job;
        let known = match self.jobs.get(&job) {
            Some(ahead) => ahead.is_some(),
            None => state.job(job).is_some(),
        };
        if known {
            return Err(format!("job {job} is known"));
        }
        let mut chunks: Vec<u32> = submission.tasks.iter().map(|row| row.chunk).collect();
        chunks.sort_unstable();
        if chunks.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("job {job} lists a chunk twice"));
        }
        if self.jobs.get(&job) == Some(&None) {
            // What is known of its tasks is of the one before, which is forgotten.
            self.tasks.retain(|(of, _), _| *of != job);
        }
        self.jobs.insert(job, Some(false));
        self.new.insert(job, submission);
        Ok(())
    }

    fn ended(&self, state: &State, job: u64) -> Result<bool, String> {
        let known = match self.jobs.get(&job) {
            Some(ahead) => *ahead,
            None => state.job(job).map(|job| job.outcome.is_some()),
        };
        known.ok_or_else(|| format!("no job {job}"))
    }

    fn open_task(&self, state: &State, id: AttemptId) -> Result<(usize, bool), String> {
        if self.ended(state, id.job)? {
            return Err(format!("job {} has ended", id.job));
        }
        if let Some(ahead) = self.tasks.get(&(id.job, id.chunk)) {
            return Ok(*ahead);
        }
        let new = self.new.get(&id.job).and_then(|job| job.tasks.iter().find(|row| row.chunk == id.chunk));
        if new.is_some() {
            return Ok((0, false));
        }
        let task = state.task(id.job, id.chunk).ok_or_else(|| format!("no task of attempt {id}"))?;
        Ok((task.holders.len(), task.accepted.is_some()))
    }
}
