//! What records change in the tables. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ledger::{Outcome, Record, State, Submission, Task};
use crate::messages::{AttemptId, Why};

/// Rows as they are to be; written in the order of the fields.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    /// Jobs and tasks that are new, in the order of submission.
    pub(super) submitted: Vec<Arc<Submission>>,
    pub(super) attempts: BTreeMap<AttemptId, Attempt>,
    /// By job and chunk.
    pub(super) tasks: BTreeMap<(u64, u32), Standing>,
    /// None of their attempts is under way any longer.
    pub(super) ended: BTreeMap<u64, Outcome>,
    pub(super) forgotten: BTreeSet<u64>,
}

/// An attempt.
#[derive(Debug, PartialEq)]
pub(super) struct Attempt {
    /// To whom it was given; `None` where that is in its row.
    pub(super) given: Option<Given>,
    pub(super) state: AttemptState,
}

/// To whom an attempt was given.
#[derive(Debug, PartialEq)]
pub(super) struct Given {
    pub(super) worker: u64,
    pub(super) pool: String,
    pub(super) lease: u64,
}

/// What has become of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum AttemptState {
    Running,
    Accepted,
    Failed(Why),
    /// Another counts.
    GivenUp,
}

/// How a task stands.
#[derive(Debug, PartialEq)]
pub(super) struct Standing {
    pub(super) failures: u32,
    pub(super) crashes: u32,
    pub(super) accepted: Option<(u32, Vec<u8>)>,
}

impl From<&Task> for Standing {
    fn from(task: &Task) -> Self {
        Self { failures: task.failures, crashes: task.crashes, accepted: task.accepted.clone() }
    }
}

/// Folds records that were checked into `state`, and says what has changed: in one part, but where a job's number is forgotten and
/// taken again.
pub(super) fn fold(state: &mut State, records: &[Record]) -> Vec<Changes> {
    let mut parts = vec![];
    let mut changes = Changes::default();
    for record in records {
        if matches!(record, Record::Submitted(new) if changes.forgotten.contains(&new.job)) {
            parts.push(std::mem::take(&mut changes));
        }
        changes.take(state, record);
    }
    parts.push(changes);
    parts
}

impl Changes {
    fn take(&mut self, state: &mut State, record: &Record) {
        let before = attempt_of(record).and_then(|id| state.task(id.job, id.chunk));
        let running: Vec<u32> =
            before.map(|task| task.running.iter().map(|it| it.attempt).collect()).unwrap_or_default();
        let was_accepted = before.and_then(|task| task.accepted.as_ref()).map(|(attempt, _)| *attempt);
        state.fold(record);
        let Some(id) = attempt_of(record) else { return self.take_job(state, record) };
        let Some(task) = state.task(id.job, id.chunk) else { return };
        if let Record::Leased { worker, pool, .. } = record {
            let lease = task.running.last().map_or(0, |it| it.lease);
            let given = Some(Given { worker: *worker, pool: pool.to_string(), lease });
            self.attempts.insert(id, Attempt { given, state: AttemptState::Running });
        }
        let gone = running.into_iter().filter(|attempt| task.running.iter().all(|it| it.attempt != *attempt));
        gone.for_each(|attempt| self.turn(AttemptId { attempt, ..id }, AttemptState::GivenUp));
        match record {
            Record::Accepted { .. } => self.turn(id, AttemptState::Accepted),
            // What was accepted stays that.
            Record::Failed { why, .. } if was_accepted != Some(id.attempt) => self.turn(id, AttemptState::Failed(*why)),
            _ => {}
        }
        if !matches!(record, Record::Leased { .. }) {
            self.tasks.insert((id.job, id.chunk), task.into());
        }
    }

    fn take_job(&mut self, state: &State, record: &Record) {
        match record {
            Record::Submitted(submission) => {
                self.submitted.extend(state.job(submission.job).map(|job| Arc::clone(&job.submission)));
            }
            Record::Ended { job, outcome } => drop(self.ended.insert(*job, outcome.clone())),
            Record::Forgotten { job } => drop(self.forgotten.insert(*job)),
            // No driver writes these.
            Record::Claimed { .. } | Record::Kept(_) => {}
            Record::Leased { .. } | Record::Accepted { .. } | Record::Failed { .. } => {}
        }
    }

    fn turn(&mut self, id: AttemptId, state: AttemptState) {
        self.attempts.entry(id).or_insert(Attempt { given: None, state }).state = state;
    }
}

fn attempt_of(record: &Record) -> Option<AttemptId> {
    match record {
        Record::Leased { id, .. } | Record::Accepted { id, .. } | Record::Failed { id, .. } => Some(*id),
        Record::Claimed { .. }
        | Record::Submitted(_)
        | Record::Ended { .. }
        | Record::Forgotten { .. }
        | Record::Kept(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::check::check;
    use crate::ledger::suite::{accepted, id, leased, submission};

    /// Anything that a driver may write of two jobs of two tasks, and much that it may not.
    fn record() -> impl Strategy<Value = Record> {
        let attempt = (1u64..3, 0u32..2, 1u32..5).prop_map(|(job, chunk, attempt)| id(job, chunk, attempt));
        let ended = |job| Record::Ended { job, outcome: Outcome::Done };
        prop_oneof![
            2 => (1u64..3).prop_map(|job| Record::Submitted(submission(job, 2))),
            9 => (attempt.clone(), 0u64..4).prop_map(|(id, worker)| leased(id, worker)),
            3 => attempt.clone().prop_map(accepted),
            3 => attempt.prop_map(|id| Record::Failed { id, why: Why::Retryable }),
            1 => (1u64..3).prop_map(ended),
            1 => (1u64..3).prop_map(|job| Record::Forgotten { job }),
        ]
    }

    /// What the table of attempts does with changes; its rules are those of the statements.
    fn write(rows: &mut BTreeMap<AttemptId, AttemptState>, changes: &Changes) {
        for (id, attempt) in &changes.attempts {
            let before = rows.insert(*id, attempt.state);
            assert_eq!(before.is_none(), attempt.given.is_some(), "{id} is made once, before it is changed");
            assert_ne!(before, Some(AttemptState::Accepted), "{id} was accepted, and stays that");
        }
        let ended = |id: &AttemptId| changes.ended.contains_key(&id.job);
        let running = rows.iter_mut().filter(|(id, state)| ended(id) && **state == AttemptState::Running);
        running.for_each(|(_, state)| *state = AttemptState::GivenUp);
        rows.retain(|id, _| !changes.forgotten.contains(&id.job));
    }

    proptest! {
        #[test]
        fn the_rows_say_what_the_state_says_however_records_are_parted_into_calls(
            calls in prop::collection::vec(prop::collection::vec(record(), 1..12), 1..12)
        ) {
            let (mut state, mut rows) = (State::default(), BTreeMap::new());
            for records in calls {
                // Of each call what agrees, as far as it does.
                let mut agreed = Vec::new();
                for record in records {
                    agreed.push(record);
                    if check(&state, &agreed).is_err() {
                        agreed.pop();
                    }
                }
                fold(&mut state, &agreed).iter().for_each(|changes| write(&mut rows, changes));
            }
            let of = |wanted: AttemptState| -> Vec<_> { rows.iter().filter(|it| *it.1 == wanted).map(|it| *it.0).collect() };
            let (mut running, mut counted) = (vec![], vec![]);
            for job in state.jobs() {
                for (chunk, task) in &job.tasks {
                    let id = |attempt| id(job.submission.job, *chunk, attempt);
                    running.extend(task.running.iter().map(|it| id(it.attempt)));
                    counted.extend(task.accepted.iter().map(|it| id(it.0)));
                    prop_assert!((1..=task.holders.len() as u32).all(|attempt| rows.contains_key(&id(attempt))));
                }
            }
            prop_assert_eq!(of(AttemptState::Running), running);
            prop_assert_eq!(of(AttemptState::Accepted), counted);
        }
    }
}
