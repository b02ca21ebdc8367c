//! Where clients ask about their jobs: how each stands, who tends it, and what nobody tends any longer. Pure; the clock is a
//! parameter.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use vtp_engine::coordinator::Now;

use super::Notice;
use super::lives::{Came, Lives};
use crate::ledger::{self, State};
use crate::messages::{JobNumber, Made, NodeId, Standing};

/// After what silence of its client a job that is tended is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// For how long a job that its client has given up is not taken: its submission may have been on its way.
const OVERTAKEN: Duration = Duration::from_secs(60);

/// For how long it is known which life of a client was the last, after it was heard of.
const LIVES: Duration = Duration::from_secs(3600);

/// For how long it is known how a job has ended that nobody lets go of.
const MEMORY: Duration = Duration::from_secs(24 * 3600);

/// What clients may ask about.
#[derive(Debug, Default)]
pub struct Desk {
    /// Jobs under way, and what has come of them so far.
    active: BTreeMap<u64, Vec<Made>>,
    ended: BTreeMap<u64, (Standing, Now)>,
    /// The life that each client is in.
    clients: Lives<u32>,
    /// When each session was heard of last.
    heard: HashMap<u32, Now>,
    /// Jobs that were given up and are not to be taken, until then.
    given_up: HashMap<u64, Now>,
}

/// Jobs that nobody wants any longer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Unwanted {
    /// To be cancelled.
    pub active: Vec<u64>,
    /// To be let go of.
    pub ended: Vec<u64>,
}

impl Desk {
    /// What the ledger knows. Every session counts as heard of at `now`.
    pub(super) fn restore(state: &State, now: Now) -> Self {
        let mut desk = Self::default();
        for job in state.jobs() {
            let (number, made) = (job.submission.job, made(job));
            desk.hear(number, now);
            let standing = match &job.outcome {
                None => {
                    desk.active.insert(number, made);
                    continue;
                }
                Some(ledger::Outcome::Done) => Standing::Done { made },
                Some(ledger::Outcome::Failed { chunk, message }) => {
                    Standing::Failed { chunk: *chunk, message: message.clone() }
                }
                Some(ledger::Outcome::Cancelled) => Standing::Cancelled,
            };
            desk.ended.insert(number, (standing, now));
        }
        desk
    }

    /// A job is taken.
    pub fn taken(&mut self, job: u64, now: Now) {
        self.hear(job, now);
        if !self.ended.contains_key(&job) {
            self.active.entry(job).or_default();
        }
    }

    /// A job was not taken after all.
    pub fn untaken(&mut self, job: u64) {
        self.active.remove(&job);
    }

    /// A client gives a job up. It may have done so before the job was taken, and of a job that it tends it has nothing more to say.
    pub fn given_up(&mut self, job: u64, now: Now) {
        if JobNumber(job).session().is_some() || self.standing(job) == Standing::Unknown {
            self.given_up.insert(job, Now(now.0 + OVERTAKEN));
        }
    }

    /// Whether a job was given up lately, and is not to be taken.
    pub fn is_given_up(&self, job: u64) -> bool {
        self.given_up.contains_key(&job)
    }

    /// A job is let go of.
    pub fn forgotten(&mut self, job: u64) {
        self.ended.remove(&job);
    }

    /// Takes note of what the driver says. A job that ended by it is to be told of.
    pub fn notice(&mut self, notice: Notice, now: Now) -> Option<(u64, Standing)> {
        let (job, standing) = match notice {
            Notice::Accepted { id, result } => {
                let made = Made { chunk: id.chunk, attempt: id.attempt, result };
                self.active.entry(id.job).or_default().push(made);
                return None;
            }
            Notice::Done { job } => (job, Standing::Done { made: self.active.remove(&job).unwrap_or_default() }),
            Notice::Failed { job, chunk, message } => (job, Standing::Failed { chunk, message }),
            Notice::Cancelled { job } => (job, Standing::Cancelled),
            Notice::Progress { .. } | Notice::NobodyCan { .. } | Notice::DeadlineMissed { .. } => return None,
        };
        self.active.remove(&job);
        self.ended.insert(job, (standing.clone(), now));
        Some((job, standing))
    }

    /// How a job stands.
    pub fn standing(&self, job: u64) -> Standing {
        match self.ended.get(&job) {
            Some((standing, _)) => standing.clone(),
            None if self.active.contains_key(&job) => Standing::Active,
            None if self.is_given_up(job) => Standing::Cancelled,
            None => Standing::Unknown,
        }
    }

    /// A client says that it is there, in this life. What is unwanted by that is what its life before has left; `None` if this is a
    /// life whose place another has taken, which tends nothing.
    pub fn tend(&mut self, client: &NodeId, session: u32, now: Now) -> Option<Unwanted> {
        let before = match self.clients.come(client, session, now) {
            Came::Over => return None,
            Came::New(before) => before,
            Came::Known => None,
        };
        self.heard.insert(session, now);
        let Some(before) = before else { return Some(Unwanted::default()) };
        self.heard.remove(&before);
        Some(self.of(|job| job.session() == Some(before)))
    }

    /// Nobody can be heard, so nobody is silent.
    pub fn stand_still(&mut self, now: Now) {
        self.heard.values_mut().for_each(|at| *at = now);
    }

    /// What nobody has asked about for too long.
    pub fn tick(&mut self, now: Now) -> Unwanted {
        let earlier = |span| Now(now.0.saturating_sub(span));
        self.heard.retain(|_, at| *at >= earlier(SILENCE));
        self.clients.forget(earlier(LIVES), |_| false);
        self.given_up.retain(|_, until| *until > now);
        let silent = |job: JobNumber| job.session().is_some_and(|session| !self.heard.contains_key(&session));
        let mut unwanted = self.of(silent);
        let old = self.ended.iter().filter(|(_, (_, at))| *at < earlier(MEMORY)).map(|(job, _)| *job);
        let all: BTreeSet<u64> = unwanted.ended.into_iter().chain(old).collect();
        unwanted.ended = all.into_iter().collect();
        unwanted
    }

    fn of(&self, is_meant: impl Fn(JobNumber) -> bool) -> Unwanted {
        let meant = |job: &&u64| is_meant(JobNumber(**job));
        Unwanted {
            active: self.active.keys().filter(meant).copied().collect(),
            ended: self.ended.keys().filter(meant).copied().collect(),
        }
    }

    fn hear(&mut self, job: u64, now: Now) {
        if let Some(session) = JobNumber(job).session() {
            self.heard.insert(session, now);
        }
    }
}

fn made(job: &ledger::Job) -> Vec<Made> {
    let made = job.tasks.iter().filter_map(|(chunk, task)| {
        let (attempt, result) = task.accepted.clone()?;
        Some(Made { chunk: *chunk, attempt, result })
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::AttemptId;

    fn at(seconds: u64) -> Now {
        Now(Duration::from_secs(seconds))
    }

    fn client() -> NodeId {
        NodeId::new("stitcher-1").expect("a name")
    }

    fn made(desk: &mut Desk, job: u64, now: Now) {
        let id = AttemptId { job, chunk: 3, attempt: 2 };
        assert_eq!(desk.notice(Notice::Accepted { id, result: vec![7] }, now), None);
        let ended = desk.notice(Notice::Done { job }, now);
        let standing = Standing::Done { made: vec![Made { chunk: 3, attempt: 2, result: vec![7] }] };
        assert_eq!(ended, Some((job, standing)));
    }

    #[test]
    fn a_job_is_known_from_when_it_is_taken_until_it_is_let_go_of() {
        let (mut desk, job) = (Desk::default(), JobNumber::kept(5).0);
        assert_eq!(desk.standing(job), Standing::Unknown);
        desk.taken(job, at(0));
        assert_eq!(desk.standing(job), Standing::Active);
        made(&mut desk, job, at(1));
        // Asked for once more, as whoever lost the answer does.
        desk.taken(job, at(2));
        assert!(matches!(desk.standing(job), Standing::Done { .. }));
        desk.forgotten(job);
        assert_eq!(desk.standing(job), Standing::Unknown);
    }

    #[test]
    fn a_job_that_was_given_up_before_it_came_is_not_taken_for_a_while() {
        let (mut desk, kept, tended) = (Desk::default(), JobNumber::kept(5).0, JobNumber::tended(9, 1).0);
        desk.taken(tended, at(0));
        [kept, tended].into_iter().for_each(|job| desk.given_up(job, at(1)));
        assert!(desk.is_given_up(kept) && desk.is_given_up(tended));
        assert_eq!(desk.standing(kept), Standing::Cancelled);
        desk.tick(at(70));
        assert!(!desk.is_given_up(kept) && !desk.is_given_up(tended));
        assert_eq!(desk.standing(kept), Standing::Unknown);
        // Whoever keeps a job may give the same number again.
        desk.taken(kept, at(80));
        desk.given_up(kept, at(81));
        assert!(!desk.is_given_up(kept));
    }

    #[test]
    fn what_a_silent_client_tended_is_given_up_and_what_is_kept_is_not() {
        let mut desk = Desk::default();
        let (tended, ended, kept) = (JobNumber::tended(9, 1).0, JobNumber::tended(9, 2).0, JobNumber::kept(1).0);
        [tended, ended, kept].into_iter().for_each(|job| desk.taken(job, at(0)));
        made(&mut desk, ended, at(1));
        assert_eq!(desk.tend(&client(), 9, at(20)), Some(Unwanted::default()));
        assert_eq!(desk.tick(at(49)), Unwanted::default());
        assert_eq!(desk.tick(at(51)), Unwanted { active: vec![tended], ended: vec![ended] });
        made(&mut desk, kept, at(60));
        assert_eq!(desk.tick(at(60 + 24 * 3600)).ended, [ended]);
        assert_eq!(desk.tick(at(61 + 24 * 3600)).ended, [ended, kept]);
    }

    #[test]
    fn a_client_in_a_new_life_gives_up_what_it_had_in_the_one_before() {
        let mut desk = Desk::default();
        let (before, now) = (JobNumber::tended(9, 1).0, JobNumber::tended(10, 1).0);
        [before, now].into_iter().for_each(|job| desk.taken(job, at(0)));
        assert_eq!(desk.tend(&client(), 9, at(1)), Some(Unwanted::default()));
        assert_eq!(desk.tend(&client(), 10, at(2)).map(|it| it.active), Some(vec![before]));
        assert_eq!(desk.tend(&client(), 10, at(3)), Some(Unwanted::default()));
        assert_eq!(desk.tend(&client(), 9, at(4)), None, "it does not come back");
        assert_eq!(
            desk.tend(&client(), 10, at(5)),
            Some(Unwanted::default()),
            "and takes nothing from the one after it"
        );
    }
}
